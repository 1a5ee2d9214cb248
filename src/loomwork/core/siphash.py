"""SipHash with 128-bit results, over many byte strings at once: NumPy works on all of them, word by word.

By default SipHash-1-3, one round a word and three at the end, which Rust and Python use for their own tables.

Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; the 128-bit variant is that of the authors'
reference code (https://github.com/veorq/SipHash).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    State = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]

Rounds = tuple[int, int]
CHUNK = 1 << 13  # strings at once: the state of so many stays in the processor's cache


def hash_words(words: Sequence[np.ndarray], key: bytes, rounds: Rounds = (1, 3)) -> np.ndarray:
    """The hash of each row of words, read as little-endian bytes.

    Args:
        words: uint64 arrays of one length, (columns)(rows,).
        key: 16 bytes.
        rounds: of mixing, after each word and at the end.

    Returns: uint64, (rows, 2); its little-endian bytes are the hash.
    """
    import numpy as np

    rows = len(words[0])
    found = np.empty((rows, 2), "<u8")
    last = np.uint64((8 * len(words) % 256) << 56)
    for start in range(0, rows, CHUNK):
        part = slice(start, min(start + CHUNK, rows))
        state = _start(part.stop - start, key)
        for column in words:
            _absorb(state, column[part], rounds[0])
        _absorb(state, last, rounds[0])
        _finish(state, found[part], rounds[1])
    return found


def hash_slices(
    content: Any, starts: np.ndarray, lengths: np.ndarray, key: bytes, rounds: Rounds = (1, 3)
) -> np.ndarray:
    """The hash of many pieces of one buffer.

    Args:
        content: bytes, or a buffer.
        starts: where each piece begins, in bytes, (pieces,).
        lengths: how long it is, in bytes, (pieces,).
        key: 16 bytes.
        rounds: of mixing, after each word and at the end.

    Returns: uint64, (pieces, 2).
    """
    import numpy as np

    size = memoryview(content).nbytes
    if size < 8:
        content, size = bytes(content).ljust(8, b"\0"), 8
    word_at = np.ndarray((size - 7,), "<u8", content, strides=(1,))  # the word that begins at each byte
    whole = lengths >> 3
    # the longest first, so that those that are done are at the end; short whole numbers are sorted by radix
    rank = -whole if whole.max(initial=0) >= 1 << 15 else (-whole).astype(np.int16)
    order = np.argsort(rank, kind="stable")
    found = np.empty((len(order), 2), "<u8")
    for begin in range(0, len(order), CHUNK):
        chosen = order[begin : begin + CHUNK]
        at, left = starts[chosen], lengths[chosen]
        state = _start(len(chosen), key)
        for active in _active(whole[chosen]):
            v0, v1, v2, v3, spare = (v[:active] for v in state)
            _absorb((v0, v1, v2, v3, spare), word_at[at[:active]], rounds[0])
            at[:active] += 8
        rest = (left & 7).astype(np.uint64)
        inside = np.minimum(at, size - 8)  # the last bytes are read from a word that ends with the buffer
        tail = word_at[inside] >> ((at - inside) << 3).astype(np.uint64)
        tail &= (np.uint64(1) << (rest << np.uint64(3))) - np.uint64(1)
        _absorb(state, tail | ((left & 255).astype(np.uint64) << np.uint64(56)), rounds[0])
        hashes = np.empty((len(chosen), 2), "<u8")
        _finish(state, hashes, rounds[1])
        found[chosen] = hashes
    return found


def _active(whole: np.ndarray) -> list[int]:
    """For each word, how many of the pieces, sorted by falling number of whole words, have it."""
    import numpy as np

    return [int(n) for n in np.searchsorted(-whole, -np.arange(1, int(whole[0]) + 1), side="right")]


def _start(rows: int, key: bytes) -> State:
    import numpy as np

    first, second = (int.from_bytes(key[i : i + 8], "little") for i in (0, 8))
    constants = (0x736F6D6570736575, 0x646F72616E646F6D ^ 0xEE, 0x6C7967656E657261, 0x7465646279746573)
    keys = (first, second, first, second)
    v0, v1, v2, v3 = (np.full(rows, c ^ k, np.uint64) for c, k in zip(constants, keys, strict=True))
    return v0, v1, v2, v3, np.empty(rows, np.uint64)


def _absorb(state: State, word: np.ndarray | np.uint64, rounds: int) -> None:
    v0, _, _, v3, _ = state
    v3 ^= word
    _rounds(state, rounds)
    v0 ^= word


def _finish(state: State, found: np.ndarray, rounds: int) -> None:
    import numpy as np

    v0, v1, v2, v3, _ = state
    v2 ^= np.uint64(0xEE)
    _rounds(state, rounds)
    found[:, 0] = v0 ^ v1 ^ v2 ^ v3
    v1 ^= np.uint64(0xDD)
    _rounds(state, rounds)
    found[:, 1] = v0 ^ v1 ^ v2 ^ v3


def _rounds(state: State, count: int) -> None:
    import numpy as np

    add, xor, either, left, right = np.add, np.bitwise_xor, np.bitwise_or, np.left_shift, np.right_shift
    v0, v1, v2, v3, spare = state

    def turn(v: np.ndarray, bits: int) -> None:
        left(v, np.uint64(bits), spare)
        right(v, np.uint64(64 - bits), v)
        either(v, spare, v)

    for _ in range(count):
        add(v0, v1, v0)
        turn(v1, 13)
        xor(v1, v0, v1)
        turn(v0, 32)
        add(v2, v3, v2)
        turn(v3, 16)
        xor(v3, v2, v3)
        add(v0, v3, v0)
        turn(v3, 21)
        xor(v3, v0, v3)
        add(v2, v1, v2)
        turn(v1, 17)
        xor(v1, v2, v1)
        turn(v2, 32)
