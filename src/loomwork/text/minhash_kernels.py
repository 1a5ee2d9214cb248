"""The compiled loops behind `loomwork.text.minhash`: bytes to shingles to sketches, bands, exact Jaccard.

The byte pass looks at 64 bytes at a time: which of them are letters is one comparison of a vector, the ends of words
are the bits that change, and a word is hashed eight bytes at a time. Numba has no names for the instructions that
this needs, so the first functions say them in LLVM's own language; LLVM has them on every processor.

All loops release the interpreter lock. They are compiled once per machine: Numba keeps them beside this file, or in
the user's cache folder where this one cannot be written. It sees changes of this file only, so they all stand in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BINS = 128  # of a sketch
ROUNDS = 15  # of hashing into random bins; the round is kept in a value's upper four bits

_u32, _u64 = np.uint32, np.uint64
_GOLDEN, _MIX_A, _MIX_B = _u64(0x9E3779B97F4A7C15), _u64(0xBF58476D1CE4E5B9), _u64(0x94D049BB133111EB)
_BASE = _u64(0xD6E8FEB86659FD93)  # of the rolling polynomial over word hashes
_ODD = np.array([(i + 1) * int(_GOLDEN) * 2 + int(_MIX_A) & (1 << 64) - 1 | 1 for i in range(ROUNDS + BINS)], _u64)
_ALL, _ONE, _CASE_BITS = _u64(0xFFFFFFFFFFFFFFFF), _u64(1), _u64(0x2020202020202020)
_EMPTY, _VALUE_BITS = _u32(0xFFFFFFFF), _u64(0x0FFFFFFF)
_LONG = ir.IntType(64)
_BLOCK = ir.VectorType(ir.IntType(8), 64)


def _instruction(function: Callable[..., Any]) -> Any:
    return intrinsic(function)  # whose own type says nothing of how it is called


def _load(context: Any, builder: Any, signature: Any, arguments: Any, kind: Any) -> Any:
    """LLVM: what lies at arguments[1] of the byte array arguments[0], which need not be aligned."""
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    place = builder.gep(data, [arguments[1]])
    return builder.load(builder.bitcast(place, kind.as_pointer()), align=1)


def _in_range(builder: Any, block: Any, first: int, last: int) -> Any:
    """LLVM: which of 64 bytes lie between two values."""
    lowest, width = ir.Constant(_BLOCK, [first] * 64), ir.Constant(_BLOCK, [last - first] * 64)
    return builder.icmp_unsigned("<=", builder.sub(block, lowest), width)


@_instruction
def _letters(typing: Any, data: Any, at: Any) -> Any:
    """Which of the 64 bytes from data[at] belong to words: ASCII letters, digits, underscores, all of non-ASCII."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = _load(context, builder, signature, arguments, _BLOCK)
        small = builder.or_(block, ir.Constant(_BLOCK, [0x20] * 64))
        found = _in_range(builder, block, 0x80, 0xFF)
        for bytes_, first, last in ((small, ord("a"), ord("z")), (block, ord("0"), ord("9")), (block, 0x5F, 0x5F)):
            found = builder.or_(found, _in_range(builder, bytes_, first, last))
        return builder.bitcast(found, _LONG)

    return types.uint64(data, types.int64), code


@_instruction
def _wide(typing: Any, data: Any, at: Any) -> Any:
    """Which of the 64 bytes from data[at] begin a character of U+3000 to U+9FFF, which is a word of its own."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = _load(context, builder, signature, arguments, _BLOCK)
        return builder.bitcast(_in_range(builder, block, 0xE3, 0xE9), _LONG)

    return types.uint64(data, types.int64), code


@_instruction
def _load_eight(typing: Any, data: Any, at: Any) -> Any:
    """The eight bytes from data[at] on as one number, the first byte lowest."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(context, builder, signature, arguments, _LONG)

    return types.uint64(data, types.int64), code


@_instruction
def _lowest_bit(typing: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; at least one must be."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), code


@_instruction
def _fold(typing: Any, a: Any, b: Any) -> Any:
    """Both halves of the 128-bit product of two numbers, one xor the other."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        product = builder.mul(*(builder.zext(a, ir.IntType(128)) for a in arguments))
        upper = builder.trunc(builder.lshr(product, ir.Constant(product.type, 64)), _LONG)
        return builder.xor(upper, builder.trunc(product, _LONG))

    return types.uint64(types.uint64, types.uint64), code


@njit(nogil=True, inline="always")
def _eight(data: np.ndarray, at: int) -> Any:
    """As `_load_eight` where fewer than eight bytes may be left: zeros follow. No branch, which would cost double."""
    inside = min(at, data.size - 8)
    return _load_eight(data, inside) >> _u64(8 * (at - inside))


@njit(nogil=True, inline="always")
def _folded(value: Any) -> Any:
    """Eight bytes with the case of ASCII letters folded; other bytes of words keep their differences."""
    return value | ((~value >> _u64(2)) & _CASE_BITS)


@njit(nogil=True, inline="always")
def _word(data: np.ndarray, start: int, end: int) -> Any:
    """The hash of the word data[start:end]."""
    left = end - start
    hashed = _u64(left) * _GOLDEN
    while left > 8:
        hashed = _fold(hashed ^ _folded(_load_eight(data, start)), _MIX_A)
        start += 8
        left -= 8
    rest = _folded(_eight(data, start)) & (_ALL >> _u64(64 - 8 * left))
    return _fold(hashed ^ rest ^ _MIX_B, _GOLDEN)


@njit(nogil=True, inline="always")
def _short(hashed: Any) -> Any:
    return _u32(((hashed ^ (hashed >> _u64(32))) * _MIX_A) >> _u64(32))


@njit(nogil=True, cache=True)
def _shingles(data: np.ndarray, start: int, end: int, ring: np.ndarray, lead: Any, out: np.ndarray, at: int) -> int:
    """Write the shingle hashes of data[start:end] to out[at:], in order of the text; return their number.

    `ring` has room for the words of one shingle, `lead` is the weight of the word that leaves it.
    """
    ring[:] = _u64(0)
    rolled, turn, count, made, opened = _u64(0), 0, 0, at, -1
    letters_over, wide_over = _u64(0), _u64(0)  # what the block before leaves for this one
    for block in range(start, end + 1, 64):  # at `end` itself, so that a word of the last whole block is closed
        if block + 64 <= data.size:
            letters, wide = _letters(data, block), _wide(data, block)
        else:
            padded = np.zeros(64, np.uint8)
            padded[: data.size - block] = data[block:]
            letters, wide = _letters(padded, 0), _wide(padded, 0)
        if end - block < 64:
            inside = (_ONE << _u64(end - block)) - _ONE
            letters &= inside
            wide &= inside
        before = (letters << _ONE) | letters_over
        letters_over = letters >> _u64(63)
        starts, ends = letters & ~before, before & ~letters
        if wide | wide_over:
            edges = wide | (wide << _u64(3)) | wide_over
            wide_over = wide >> _u64(61)
            starts, ends = starts | (letters & edges), ends | (before & edges)
        if opened < 0 and starts:
            opened = block + _lowest_bit(starts)
            starts &= starts - _ONE
        while ends:
            place = block + _lowest_bit(ends)
            ends &= ends - _ONE
            mark = data[opened] == 0xE3 and opened + 1 < end and data[opened + 1] == 0x80  # U+3000 to U+303F
            if not mark:
                hashed = _word(data, opened, place)
                rolled = rolled * _BASE + hashed - ring[turn] * lead
                ring[turn] = hashed
                turn = turn + 1 if turn + 1 < ring.size else 0
                count += 1
                if count >= ring.size:
                    out[made] = _short(rolled)
                    made += 1
            opened = block + _lowest_bit(starts) if starts else -1
            starts &= starts - _ONE
    if 0 < count < ring.size:
        out[made] = _short(rolled)
        made += 1
    return made - at


@njit(nogil=True, cache=True)
def _sketch(shingles: np.ndarray, start: int, end: int, sketch: np.ndarray) -> None:
    """A fast similarity sketch: two sets agree in a bin with a probability equal to their Jaccard similarity."""
    sketch[:] = _EMPTY
    for turn in range(ROUNDS if end > start else 0):
        tag = _u32(turn) << _u32(28)
        factor = _ODD[turn]
        for i in range(start, end):
            x = _u64(shingles[i]) * factor
            slot = x >> _u64(57)
            sketch[slot] = min(sketch[slot], tag | _u32((x >> _u64(29)) & _VALUE_BITS))
        empty = 0
        for b in range(BINS):
            empty += sketch[b] == _EMPTY
        if empty == 0:
            return
    tag = _u32(ROUNDS) << _u32(28)
    for b in range(BINS):  # few shingles: an ordinary MinHash for each bin that is still empty
        if sketch[b] == _EMPTY:
            for i in range(start, end):
                x = _u64(shingles[i]) * _ODD[ROUNDS + b]
                sketch[b] = min(sketch[b], tag | _u32(x >> _u64(36)))


@njit(nogil=True, cache=True)
def _content(data: np.ndarray, start: int, end: int) -> Any:
    """A hash of the bytes."""
    total = _u64(end - start)
    key = _GOLDEN
    for at in range(start, end - 7, 8):
        x = _load_eight(data, at) + key
        total += (x & _u64(0xFFFFFFFF)) * (x >> _u64(32))
        key += _GOLDEN
    left = (end - start) & 7
    if left:
        x = (_eight(data, end - left) & (_ALL >> _u64(64 - 8 * left))) + key
        total += (x & _u64(0xFFFFFFFF)) * (x >> _u64(32))
    return _fold(total ^ _MIX_B, _GOLDEN)


@njit(nogil=True, cache=True)
def sketch_rows(
    data: np.ndarray,
    offsets: np.ndarray,
    first: int,
    last: int,
    words: int,
    shingles: np.ndarray,
    at: int,
    counts: np.ndarray,
    sketches: np.ndarray,
    contents: np.ndarray,
) -> int:
    """Fill the rows first to last of counts, sketches and contents; write shingles from `at`, return their number."""
    ring = np.empty(words, np.uint64)
    lead = _ONE
    for _ in range(words):
        lead *= _BASE
    made = at
    for row in range(first, last):
        start, end = offsets[row], offsets[row + 1]
        count = _shingles(data, start, end, ring, lead, shingles, made)
        counts[row] = count
        contents[row] = _content(data, start, end)
        _sketch(shingles, made, made + count, sketches[row])
        made += count
    return made - at


@njit(nogil=True, inline="always")
def _band_key(sketch: np.ndarray, first: int, bins: int) -> Any:
    key = _u64(first) * _GOLDEN
    if bins == 1:
        return _fold(key ^ _u64(sketch[first]) ^ _MIX_B, _GOLDEN)
    for b in range(0, bins, 2):  # two bins at a time; of an odd number, the last but one comes twice
        key = _fold(key ^ _load_eight(sketch, first + min(b, bins - 2)) ^ _MIX_B, _GOLDEN)
    return key


@njit(nogil=True, cache=True)
def band_keys(
    sketches: np.ndarray, rows: np.ndarray, start: int, end: int, first: int, bins: int, keys: np.ndarray
) -> None:
    """Fill keys (bands, rows), from place start to end, for the bands from `first` on, of `bins` bins each."""
    for i in range(start, end):
        sketch = sketches[rows[i]]
        for band in range(len(keys)):
            keys[band, i] = _band_key(sketch, (first + band) * bins, bins)


@njit(nogil=True, cache=True)
def band_pairs(
    sketches: np.ndarray, order: np.ndarray, left: np.ndarray, keys: np.ndarray, agreeing: int, table: np.ndarray
) -> np.ndarray:
    """Places that fall into one bucket of a band, each with the bucket's first place and with the one before it.

    A place is a position in `order`, and in `keys`, the band's; `left` are the places that are looked at, ascending.
    Returns codes earlier place * places + later place, of those that agree in at least `agreeing` bins. A bucket of m
    rows so gives 2m pairs, not m squared. `table` says how many slots the hash table has, a power of two, and that
    of the keys that one of so many is looked at which leaves this remainder, so that there is room for any number.
    """
    slots, turns, turn = table
    mask = _u64(slots - 1)
    head, tail, known = np.full(slots, -1, np.int32), np.empty(slots, np.int32), np.empty(slots, np.uint64)
    codes = np.empty(1024, np.int64)
    count = 0
    for place in left:
        key = keys[place]
        if turns > 1 and (key >> _u64(40)) % _u64(turns) != _u64(turn):
            continue
        slot = key & mask
        while head[slot] >= 0 and known[slot] != key:
            slot = (slot + _ONE) & mask
        if head[slot] < 0:
            head[slot] = tail[slot] = place
            known[slot] = key
            continue
        if count + 2 > codes.size:
            codes = np.concatenate((codes, np.empty_like(codes)))
        earlier, before = head[slot], tail[slot]
        tail[slot] = place
        for other in (earlier, before):
            one, two = sketches[order[other]], sketches[order[place]]
            same = 0
            for b in range(BINS):
                same += one[b] == two[b]
            if same >= agreeing:
                codes[count] = np.int64(other) * order.size + place
                count += 1
            if earlier == before:
                break
    return codes[:count]


@njit(nogil=True, cache=True)
def key_table(sketches: np.ndarray, bands: int, bins: int, slots: int) -> np.ndarray:
    """The upper halves of the keys of rows in all bands, as a hash table by their lower halves; 0 is free."""
    table = np.zeros(slots, np.uint32)
    for row in range(len(sketches)):
        for band in range(bands):
            key = _band_key(sketches[row], band * bins, bins)
            short, slot = _u32(key >> _u64(32)) | _u32(1), key & _u64(slots - 1)
            while table[slot] != _u32(0) and table[slot] != short:
                slot = (slot + _ONE) & _u64(slots - 1)
            table[slot] = short
    return table


@njit(nogil=True, cache=True)
def touched(sketches: np.ndarray, table: np.ndarray, bands: int, bins: int) -> np.ndarray:
    """Which rows share the key of a band with the rows that the table was made of, bool (rows,)."""
    found = np.zeros(len(sketches), np.bool_)
    mask = _u64(table.size - 1)
    for row in range(len(sketches)):
        for band in range(bands):
            key = _band_key(sketches[row], band * bins, bins)
            short, slot = _u32(key >> _u64(32)) | _u32(1), key & mask
            while table[slot] != _u32(0) and table[slot] != short:
                slot = (slot + _ONE) & mask
            if table[slot] == short:
                found[row] = True
                break
    return found


@njit(nogil=True, cache=True)
def similarities(shingles: np.ndarray, starts: np.ndarray, counts: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The exact Jaccard similarity of each pair of rows, from their sets of shingles."""
    similar = np.zeros(len(pairs))
    table = np.zeros(1024, np.uint64)  # of (shingle, seen in the second, seen in the first), 0 where free
    for p in range(len(pairs)):
        a, b = pairs[p, 0], pairs[p, 1]
        slots = 16
        while slots < 2 * (counts[a] + counts[b]):
            slots *= 2
        if slots > table.size:
            table = np.zeros(slots, np.uint64)
        table[:slots] = _u64(0)
        either = both = 0
        for side in range(2):
            row = b if side else a
            for i in range(starts[row], starts[row] + counts[row]):
                entry = _u64(shingles[i]) << _u64(2)
                slot = (entry * _GOLDEN >> _u64(32)) & _u64(slots - 1)
                while table[slot] != _u64(0) and table[slot] >> _u64(2) != entry >> _u64(2):
                    slot = (slot + _ONE) & _u64(slots - 1)
                if table[slot] == _u64(0):
                    either += 1
                    table[slot] = entry | _u64(side + 1)
                elif side == 1 and table[slot] & _u64(2) == _u64(0):
                    both += 1
                    table[slot] |= _u64(2)
        if either:
            similar[p] = both / either
    return similar


@njit(nogil=True, cache=True)
def covered(places: int, pairs: np.ndarray) -> np.ndarray:
    """For each place the lowest place that is kept and paired with it, or itself: then it is kept.

    Pairs are (lower, higher) place, ordered by the higher and then the lower one: each place is settled in its turn.
    """
    keeper = np.arange(places)
    for p in range(len(pairs)):
        lower, higher = pairs[p, 0], pairs[p, 1]
        if keeper[higher] == higher and keeper[lower] == lower:
            keeper[higher] = lower
    return keeper
