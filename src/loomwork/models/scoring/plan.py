"""A plan for scoring token sequences: what they begin with alike is computed once.

The sequences, sorted, are the leaves of a trie. A small piece of it becomes one row: its tokens lie one after another,
each attends to the tokens on its own path, and so one pass scores a context with all of its continuations. A prefix
that many rows share, as a few-shot prompt, becomes a trunk: it is computed first, and its keys and values are read by
all rows that hang from it. Which of the two, or neither, is decided by the work it saves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from loomwork.models.scoring.spans import Span

ROW_TOKENS = 2048  # of a row that branches: what hangs from it copies the keys of its path
COPY_PAIRS = 16  # to copy a key and a value takes as long as so many pairs of a query and a key
WORTH = 0.98  # of the cost of rows apart is what one row may cost: for a first token alone rows are not joined
TRUNK_COST_TOKENS = 96  # of a trunk's own pass, beside its tokens: it is often too short to fill the processor


@dataclass(frozen=True)
class Row:
    """Tokens for one row of a forward pass.

    Args:
        ids: int64 (tokens).
        positions: int64 (tokens), of each in its own sequence.
        branches: (first, last, path): the tokens `first` to `last` (exclusive) follow one another, and the first of
            them follows the tokens `path` of this row. Parents come before children.
        needs: int64 (needs), the tokens after which the next one's probability is asked for; sorted.
        pair_needs: int64 (pairs), which of `needs` is asked.
        pair_targets: int64 (pairs), for which next token.
        pair_spans: int64 (pairs), on whose behalf: the number of a span.
    """

    ids: np.ndarray
    positions: np.ndarray
    branches: list[tuple[int, int, np.ndarray]]
    needs: np.ndarray
    pair_needs: np.ndarray
    pair_targets: np.ndarray
    pair_spans: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def sees(self) -> np.ndarray:
        """Which token of the row attends to which. bool (tokens, tokens)"""
        seen = np.zeros((len(self), len(self)), bool)
        for first, last, path in self.branches:
            seen[first:last, path] = True
            seen[first:last, first:last] = np.tri(last - first, dtype=bool)
        return seen


@dataclass
class Trunk:
    """A shared prefix, and what hangs from it. The root's row is None.

    Args:
        row: its tokens after those of the trunks below it.
        end: how many tokens the prefix has in all.
        rows: whose positions go on at `end`.
        trunks: likewise.
    """

    row: Row | None
    end: int
    rows: list[Row] = field(default_factory=list)
    trunks: list[Trunk] = field(default_factory=list)

    def tokens(self) -> int:
        """How many tokens the whole plan computes."""
        total, left = 0, [self]
        while left:
            trunk = left.pop()
            left += trunk.trunks
            total += sum(len(row) for row in trunk.rows) + (len(trunk.row) if trunk.row else 0)
        return total


class _Sorted:
    """The sequences in order, and how much each shares with the one before it."""

    def __init__(self, spans: Sequence[Span]) -> None:
        read = [s.ids[:-1] for s in spans]
        keys = [r.astype(">i4").tobytes() for r in read]  # big-endian: bytes sort as the numbers do
        order = sorted(range(len(spans)), key=keys.__getitem__)
        self.read: list[np.ndarray] = []
        self.spans: list[list[tuple[int, Span]]] = []  # that read this sequence
        last = None
        for number in order:
            if keys[number] != last:
                self.read.append(read[number])
                self.spans.append([])
                last = keys[number]
            self.spans[-1].append((number, spans[number]))
        self.lengths = np.array([len(r) for r in self.read])
        self.shared = np.zeros(len(self.read), np.int64)
        for i in range(1, len(self.read)):
            size = min(self.lengths[i - 1], self.lengths[i])
            differ = self.read[i - 1][:size] != self.read[i][:size]
            self.shared[i] = differ.argmax() if differ.any() else size
        self.sums = np.concatenate([[0], np.cumsum(self.lengths - self.shared)])
        self.pair_sums = np.concatenate([[0], np.cumsum((self.lengths - self.shared + COPY_PAIRS) * self.lengths)])

    def tokens(self, low: int, high: int, start: int) -> int:
        """Of the trie of some sequences, those after their first `start`."""
        rest = self.sums[high] - self.sums[low + 1]
        return int(max(0, self.lengths[low] - start) + rest)

    def pairs(self, low: int, high: int, start: int) -> int:
        """What attention costs for the same tokens as one row, in pairs of a query and a key."""
        rest = self.pair_sums[high] - self.pair_sums[low + 1]
        apart = (max(0, self.lengths[low] - start) + COPY_PAIRS) * self.lengths[low] + rest
        size = self.tokens(low, high, start)
        return int(min(apart, (size + COPY_PAIRS) * (size + start)))


def plan(spans: Sequence[Span], *, pairs_per_token: float, share: bool = True) -> Trunk:
    """Plan the computing of spans.

    Args:
        spans: none of them twice.
        pairs_per_token: how many query-key pairs of attention cost as much as all else does for one token.
        share: False for one row a sequence (but for a sequence that only begins another), and no trunks.

    Returns: the root, whose rows and trunks together score each span.
    """
    root = Trunk(None, 0)
    if not spans:
        return root
    all_ = _Sorted(spans)
    if not share:
        ends = [i for i in range(1, len(all_.read)) if all_.shared[i] < all_.lengths[i - 1]]
        for low, high in zip([0, *ends], [*ends, len(all_.read)], strict=True):
            root.rows.append(_row(all_, low, high, 0, None))
        return root
    left = [(0, len(all_.read), root)]
    while left:
        low, high, trunk = left.pop()
        fork, pieces = _fork(all_, low, high)
        start = trunk.end

        def cost(a: int, b: int, at: int) -> float:
            return float(all_.tokens(a, b, at) + all_.pairs(a, b, at) / pairs_per_token)

        if len(pieces) == 1:
            trunk.rows.append(_row(all_, low, high, start, None))
            continue
        joined = cost(low, high, start) if all_.tokens(low, high, start) <= ROW_TOKENS else np.inf
        split = sum(cost(a, b, start) for a, b in pieces)
        edge = fork - start
        shared = np.inf
        if edge > 0:
            shared = TRUNK_COST_TOKENS + edge + (edge + COPY_PAIRS) * fork / pairs_per_token
            shared += sum(cost(a, b, fork) for a, b in pieces)
        if joined <= WORTH * split and joined <= shared:
            trunk.rows.append(_row(all_, low, high, start, None))
        elif split <= shared:
            left += [(a, b, trunk) for a, b in pieces]
        else:
            child = Trunk(_row(all_, low, high, start, fork), fork)
            trunk.trunks.append(child)
            left += [(a, b, child) for a, b in pieces]
    return root


def _fork(all_: _Sorted, low: int, high: int) -> tuple[int, list[tuple[int, int]]]:
    """Where some sequences first part, and the pieces they part into; one piece where they never do.

    A sequence that all the others begin with is on the way, and goes with the first piece.
    """
    shared = all_.shared
    # below[i]: the least that sequence i shares with any of those after it
    below = np.minimum.accumulate(shared[low + 1 : high][::-1])[::-1]
    first = low
    while first + 1 < high and all_.lengths[first] == below[first - low]:
        first += 1
    if first + 1 == high:
        return int(all_.lengths[first]), [(low, high)]
    fork = int(below[first - low])
    cuts = [int(c) for c in np.flatnonzero(shared[first + 1 : high] == fork) + first + 1]
    return fork, list(zip([low, *cuts], [*cuts, high], strict=True))


def _row(all_: _Sorted, low: int, high: int, start: int, end: int | None) -> Row:
    """The tokens of some sequences from `start` on, each shared one once; up to `end`, where they share all."""
    ids, positions, branches = [], [], []
    pairs: list[tuple[np.ndarray, np.ndarray, int]] = []
    path = np.zeros(0, np.int64)
    count = 0
    for i in range(low, high):
        sequence = all_.read[i] if end is None else all_.read[i][:end]
        begin = start if i == low else max(start, int(all_.shared[i]))
        new = max(0, len(sequence) - begin)
        path = path[: begin - start]
        if new:
            branches.append((count, count + new, path))
            ids.append(sequence[begin:])
            positions.append(np.arange(begin, begin + new))
            path = np.concatenate([path, np.arange(count, count + new)])
            count += new
        for number, span in all_.spans[i]:
            asked = np.arange(span.start - 1, len(span.ids) - 1)  # in the sequence
            here = (asked >= start) & (asked < len(sequence))
            if here.any():
                pairs.append((path[asked[here] - start], span.targets[here], number))
    places = np.concatenate([p for p, _, _ in pairs]) if pairs else np.zeros(0, np.int64)
    needs, pair_needs = np.unique(places, return_inverse=True)
    return Row(
        np.concatenate(ids).astype(np.int64),
        np.concatenate(positions),
        branches,
        needs,
        pair_needs,
        np.concatenate([t for _, t, _ in pairs]).astype(np.int64) if pairs else np.zeros(0, np.int64),
        np.concatenate([np.full(len(p), n) for p, _, n in pairs]) if pairs else np.zeros(0, np.int64),
    )


def batches(rows: list[Row], budget: int, prefix: int = 0) -> Iterator[list[Row]]:
    """Rows in batches of like length, the longest first.

    Args:
        rows: of one trunk.
        budget: the most tokens of a batch, its attention's padding included; a longer row goes alone.
        prefix: how many tokens the trunk has: each row of a batch attends to a copy of them.
    """
    left = sorted(rows, key=len, reverse=True)
    at = 0
    while at < len(left):
        longest = len(left[at])
        count = max(1, min(budget // longest, 8 * budget // (longest + prefix)))
        yield left[at : at + count]
        at += count
