"""Entities of tag sequences, and precision, recall and F1 of them, as conlleval counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Scheme = Literal["conlleval", "IOB1", "IOB2", "BIOES"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

OUT, BEGIN, INSIDE, END, SINGLE = range(5)
PREFIXES = {"O": OUT, "B": BEGIN, "I": INSIDE, "M": INSIDE, "E": END, "L": END, "S": SINGLE, "U": SINGLE}  # BILOU, too
TAG = re.compile(r"O|[BIMELSU](-.+)?")


def tag_codes(tags: Sequence[str], types: dict[str, int]) -> tuple[Ints, Ints]:
    """Tags as numbers: what each is of its entity, and its type.

    Args:
        tags: "O", "B-person"..., each known to match TAG.
        types: the number of each type; new ones are added.

    Returns: prefixes, types (-1 outside).  # (tags,), (tags,)
    """
    known: dict[str, tuple[int, int]] = {}
    for tag in dict.fromkeys(tags):
        prefix, _, kind = tag.partition("-")
        known[tag] = (PREFIXES[prefix], types.setdefault(kind, len(types)) if prefix != "O" else -1)
    codes = np.array([known[tag] for tag in tags], dtype=np.int64).reshape(-1, 2)
    return codes[:, 0], codes[:, 1]


def entities(prefixes: Ints, types: Ints, starts: npt.NDArray[np.bool_], scheme: Scheme = "conlleval") -> Ints:
    """The entities of sentences that stand one after another.

    Args:
        prefixes, types: from `tag_codes`.  # (tokens,)
        starts: where a sentence begins.  # (tokens,)
        scheme: conlleval takes any tag that can begin an entity as its beginning, whatever stood before it, and so
            reads IOB1, IOB2 and BIOES alike. The others take only what is well formed under them.

    Returns: first token, last token and type of each, in order.  # (entities, 3)

    Source: Tjong Kim Sang and De Meulder (2003), the script conlleval; seqeval 1.2.2 (mode="strict") for the others.
    """
    before = np.where(starts, OUT, np.roll(prefixes, 1))
    type_before = np.where(starts, -1, np.roll(types, 1))
    inside, was = prefixes != OUT, before != OUT
    changed = types != type_before
    if scheme == "conlleval":
        begins = inside & (
            (prefixes == BEGIN)
            | (prefixes == SINGLE)
            | (np.isin(before, (END, SINGLE, OUT)) & np.isin(prefixes, (END, INSIDE)))
            | changed
        )
        ends = was & (np.isin(before, (END, SINGLE)) | np.isin(prefixes, (BEGIN, SINGLE, OUT)) | changed)
        # Between sentences `before` says O, though an entity may run to the last token of one.
        ends |= starts
        return _spans(begins, ends, types)
    goes_on = ~changed & inside
    if scheme == "IOB2":
        begins = prefixes == BEGIN
        ends = ~(goes_on & (prefixes == INSIDE))
    elif scheme == "IOB1":
        after_own = np.isin(before, (BEGIN, INSIDE)) & ~changed
        # B is only for an entity next to another of its type; elsewhere it begins none, and an I after it does.
        next_to = (prefixes == BEGIN) & after_own
        after_stray = (before == BEGIN) & ~np.roll(next_to, 1)
        begins = next_to | ((prefixes == INSIDE) & (~after_own | after_stray))
        ends = ~(goes_on & (prefixes == INSIDE))
        # seqeval takes no entity of a B alone that a B of another type follows.
        unended = next_to & np.roll((prefixes == BEGIN) & (before == BEGIN) & changed, -1)
        begins &= ~unended
    else:
        spans = _spans(np.isin(prefixes, (BEGIN, SINGLE)), ~(goes_on & np.isin(prefixes, (INSIDE, END))), types)
        spans = _cut_after_end(spans, prefixes)
        first, last = prefixes[spans[:, 0]], prefixes[spans[:, 1]]
        single = spans[:, 0] == spans[:, 1]
        return np.asarray(spans[np.where(single, first == SINGLE, (first == BEGIN) & (last == END))])
    return _spans(begins, ends, types)


def _spans(begins: npt.NDArray[np.bool_], ends: npt.NDArray[np.bool_], types: Ints) -> Ints:
    """From each beginning to before the next place where an entity ends."""
    first = np.flatnonzero(begins)
    stops = np.append(np.flatnonzero(ends), len(types))
    last = stops[np.searchsorted(stops, first, side="right")] - 1
    return np.stack([first, last, types[first]], axis=1).astype(np.int64)


def _cut_after_end(spans: Ints, prefixes: Ints) -> Ints:
    """An entity of BIOES stops at its first E."""
    marks = np.append(np.flatnonzero(np.isin(prefixes, (END, SINGLE))), len(prefixes))
    spans = spans.copy()
    spans[:, 1] = np.minimum(spans[:, 1], marks[np.searchsorted(marks, spans[:, 0])])
    return spans


def entity_counts(gold: Ints, said: Ints, starts: npt.NDArray[np.bool_], kinds: int) -> Ints:
    """Hits, found and wanted entities of each sentence and type: a hit has the same tokens and the same type.

    Args:
        gold, said: from `entities`.  # (entities, 3)
        starts: where a sentence begins.  # (tokens,)
        kinds: how many types there are.

    Returns: (sentences, kinds, 3)
    """
    size = len(starts)
    sentence = np.cumsum(starts) - 1
    keys = [(e[:, 0] * size + e[:, 1]) * kinds + e[:, 2] for e in (gold, said)]
    hit = said[np.isin(keys[1], keys[0])]
    counts = np.zeros((int(sentence[-1]) + 1, kinds, 3), dtype=np.int64)
    for place, found in enumerate((hit, said, gold)):
        np.add.at(counts[..., place], (sentence[found[:, 0]], found[:, 2]), 1)
    return counts


def precision(sums: Floats) -> Floats:
    """Hits of those found, from (hits, found, wanted); 0 where none is.  # (..., 3) -> (...)"""
    return _share(sums[..., 0], sums[..., 1])


def recall(sums: Floats) -> Floats:
    """Hits of those wanted; 0 where none is.  # (..., 3) -> (...)"""
    return _share(sums[..., 0], sums[..., 2])


def f1(sums: Floats) -> Floats:
    """The harmonic mean of precision and recall.  # (..., 3) -> (...)"""
    return _share(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def _share(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros(np.shape(below)), where=np.asarray(below) > 0)
