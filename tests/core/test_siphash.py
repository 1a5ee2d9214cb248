"""The published vectors, and agreement with the algorithm written out for one string."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.siphash import CHUNK, hash_slices, hash_words

KEY = bytes(range(16))
MASK = (1 << 64) - 1
# vectors_sip128 of SipHash-2-4 in the authors' reference code: of the bytes 0, 1, 2, ... n - 1
PUBLISHED = {
    0: "a3817f04ba25a8e66df67214c7550293",
    1: "da87c1d86b99af44347659119b22fc45",
    2: "8177228da4a45dc7fca38bdef60affe4",
    15: "5493e99933b0a8117e08ec0f97cfc3d9",
}


def plain(data: bytes, key: bytes = KEY, each: int = 1, last: int = 3) -> bytes:
    """SipHash of one string, 128 bits."""
    first, second = (int.from_bytes(key[i : i + 8], "little") for i in (0, 8))
    v = [0x736F6D6570736575 ^ first, 0x646F72616E646F6D ^ second ^ 0xEE]
    v += [0x6C7967656E657261 ^ first, 0x7465646279746573 ^ second]

    def turned(x: int, bits: int) -> int:
        return ((x << bits) | (x >> (64 - bits))) & MASK

    def rounds(count: int) -> None:
        for _ in range(count):
            for a, b, bits, half in ((0, 1, 13, True), (2, 3, 16, False), (0, 3, 21, False), (2, 1, 17, True)):
                v[a] = (v[a] + v[b]) & MASK
                v[b] = turned(v[b], bits) ^ v[a]
                v[a] = turned(v[a], 32) if half else v[a]

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i : i + 8], "little")
        v[3] ^= word
        rounds(each)
        v[0] ^= word
    v[2] ^= 0xEE
    rounds(last)
    low = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    rounds(last)
    return low.to_bytes(8, "little") + (v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little")


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_vectors(size):
    data = bytes(range(size))
    (found,) = hash_slices(data, np.array([0]), np.array([size]), KEY, (2, 4))
    assert found.tobytes().hex() == PUBLISHED[size] == plain(data, KEY, 2, 4).hex()


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=700), data=st.data(), key=st.binary(min_size=16, max_size=16))
def test_slices_agree_with_the_plain_algorithm(content, data, key):
    places = st.integers(0, len(content))
    spans = data.draw(st.lists(st.tuples(places, places).map(sorted), max_size=12))
    found = hash_slices(
        content, np.array([a for a, _ in spans], np.int64), np.array([b - a for a, b in spans], np.int64), key
    )
    assert [f.tobytes() for f in found] == [plain(content[a:b], key) for a, b in spans]


def test_more_than_a_chunk_at_once():
    rows = CHUNK + 5
    words = [np.arange(rows, dtype=np.uint64) * np.uint64(2**40 + 7), np.full(rows, 3, np.uint64)]
    found = hash_words(words, KEY)
    content = np.stack(words, axis=1).astype("<u8").tobytes()
    again = hash_slices(content, np.arange(rows) * 16, np.full(rows, 16), KEY)
    assert (found == again).all()
    for i in (0, CHUNK - 1, CHUNK, rows - 1):
        assert found[i].tobytes() == plain(content[16 * i : 16 * i + 16])
