"""Which tokens of a batch attend to which, in tables of like size: one call of attention for each.

A row that branches is taken apart where that saves work: its stem, and each continuation with the keys of the tokens on
its path. As one table it would compute the pairs of a continuation with all the others, and mask them. (Rows of 150
tokens with four continuations of 60: 10.4 ms whole, 5.3 apart; 8 heads of width 8, four rows, one core.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from loomwork.models.scoring.plan import COPY_PAIRS, Row

COPIED_TOKENS = 8  # of keys in one table, for each token of the batch's budget
LEAST_PAIRS = 1 << 14  # a table of fewer is not worth a call of its own
FILLING = 4 / 3  # a table's pairs, for each that its pieces need


class Piece(NamedTuple):
    """Queries that attend to the same keys.

    Args:
        queries, keys: tokens of the batch; (queries), (keys).
        sees: bool (queries, keys); None where each query sees its own token and those before it.
        cells: where the result of each query goes, (queries).
    """

    queries: np.ndarray
    keys: np.ndarray
    sees: np.ndarray | None
    cells: np.ndarray


class Group(NamedTuple):
    """Some pieces as tables, the shorter ones filled up with token 0, which nobody sees.

    Args:
        queries, keys: tokens of the batch, (pieces, longest); None where the group is all tokens of the batch in order.
        shape: (pieces, most queries).
        biases: for each window of attention what is added to the scores, (pieces, 1, most queries, prefix + most keys);
            none where attention is plainly causal.
        flat: the cells of the table of queries that hold one, (queries).
        cells: where the result of each goes, (queries).
    """

    queries: Tensor | None
    keys: Tensor | None
    shape: tuple[int, int]
    biases: dict[int, Tensor]
    flat: Tensor
    cells: Tensor


def groups(
    batch: list[Row],
    prefix: int,
    windows: Iterable[int],
    budget: int,
    dtype: torch.dtype,
    device: torch.device,
    needs: np.ndarray | None = None,
) -> list[Group]:
    """The tables of a batch.

    Args:
        batch: rows of one trunk.
        prefix: how many tokens that has; all see it.
        windows: how many tokens back attention reaches in some layer, the token itself included; 0 for all.
        budget: the tokens of a batch, which bound how many keys are copied.
        dtype, device: of the biases.
        needs: the tokens of the batch whose result is asked for, sorted; None for all.
    """
    found = _pieces(batch, prefix)
    if needs is not None:
        found = [piece for whole in found if (piece := _narrowed(whole, needs)) is not None]
    positions = np.concatenate([row.positions for row in batch])
    narrow = {w for w in windows if 0 < w <= int(positions.max())}  # the other windows hold everything
    return [
        _group(pieces, positions, prefix, windows, narrow, dtype, device, whole=needs is None)
        for pieces in _alike(found, prefix, COPIED_TOKENS * budget)
    ]


def _pieces(batch: list[Row], prefix: int) -> list[Piece]:
    found, at = [], 0
    for row in batch:
        size = len(row)
        apart = sum(
            (last - first + COPY_PAIRS) * (prefix + len(path) + last - first) for first, last, path in row.branches
        )
        if apart < (size + COPY_PAIRS) * (prefix + size):
            for first, last, path in row.branches:
                tokens = np.arange(at + first, at + last)
                found.append(Piece(tokens, np.concatenate([path + at, tokens]) if len(path) else tokens, None, tokens))
        else:
            tokens = np.arange(at, at + size)
            found.append(Piece(tokens, tokens, None if len(row.branches) == 1 else row.sees(), tokens))
        at += size
    return found


def _narrowed(piece: Piece, needs: np.ndarray) -> Piece | None:
    """The piece with only the queries that are asked for; None where there are none. `needs` are its new cells."""
    low, high = np.searchsorted(needs, [piece.queries[0], piece.queries[-1] + 1])  # queries follow one another
    if low == high:
        return None
    chosen = needs[low:high] - piece.queries[0]
    sees = piece.sees if piece.sees is not None else _causal(len(piece.queries), len(piece.keys))
    return Piece(piece.queries[chosen], piece.keys, sees[chosen], np.arange(low, high))


def _causal(queries: int, keys: int) -> np.ndarray:
    return np.tri(queries, keys, keys - queries, dtype=bool)


def _alike(pieces: list[Piece], prefix: int, most: int) -> Iterator[list[Piece]]:
    """Pieces of like size together, with at most so many keys to copy."""
    left = sorted(pieces, key=lambda piece: (len(piece.keys), len(piece.queries)), reverse=True)
    group: list[Piece] = []
    queries = pairs = longest = 0  # of the group: most queries, pairs needed, keys of each table
    for piece in left:
        size, keys = len(piece.queries), prefix + len(piece.keys)
        filled = (len(group) + 1) * max(queries, size) * longest
        wasteful = pairs >= LEAST_PAIRS and filled > FILLING * (pairs + size * keys)
        if group and (wasteful or (len(group) + 1) * longest > most):
            yield group
            group, queries, pairs = [], 0, 0
        longest = longest if group else keys
        group.append(piece)
        queries, pairs = max(queries, size), pairs + size * keys
    if group:
        yield group


def _group(
    pieces: list[Piece],
    positions: np.ndarray,
    prefix: int,
    windows: Iterable[int],
    narrow: set[int],
    dtype: torch.dtype,
    device: torch.device,
    *,
    whole: bool,
) -> Group:
    count, most = len(pieces), max(len(piece.queries) for piece in pieces)
    longest = max(len(piece.keys) for piece in pieces)
    queries, keys = np.zeros((count, most), np.int64), np.zeros((count, longest), np.int64)
    for number, piece in enumerate(pieces):
        queries[number, : len(piece.queries)] = piece.queries
        keys[number, : len(piece.keys)] = piece.keys
    flat = np.concatenate([np.arange(len(p.queries)) + n * most for n, p in enumerate(pieces)])
    cells = np.concatenate([piece.cells for piece in pieces])
    plain = not prefix and not narrow and all(p.sees is None and len(p.keys) == len(p.queries) for p in pieces)
    biases = {} if plain else _biases(pieces, (count, most, longest), keys, positions, prefix, windows, narrow, dtype)
    as_they_are = whole and queries.size == len(positions) and (queries.ravel() == np.arange(queries.size)).all()

    def there(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(device)

    return Group(
        None if as_they_are else there(queries),
        None if as_they_are and longest == most and plain else there(keys),
        (count, most),
        {window: bias.to(device) for window, bias in biases.items()},
        there(flat),
        there(cells),
    )


def _biases(
    pieces: list[Piece],
    shape: tuple[int, int, int],
    keys: np.ndarray,
    positions: np.ndarray,
    prefix: int,
    windows: Iterable[int],
    narrow: set[int],
    dtype: torch.dtype,
) -> dict[int, Tensor]:
    count, most, longest = shape
    sees = np.zeros((count, most, prefix + longest), bool)
    away = np.zeros(sees.shape, np.int32) if narrow else None
    for number, piece in enumerate(pieces):
        q, k = len(piece.queries), len(piece.keys)
        sees[number, :q, :prefix] = True
        sees[number, :q, prefix : prefix + k] = piece.sees if piece.sees is not None else _causal(q, k)
        if away is not None:
            before = np.concatenate([np.arange(prefix), positions[keys[number]]])
            away[number, :q] = positions[piece.queries][:, None] - before
    biases: dict[int, Tensor] = {}
    for window in windows:
        seen = sees & (away < window) if away is not None and window in narrow else sees
        bias = torch.zeros(seen.shape, dtype=dtype)
        bias.masked_fill_(torch.from_numpy(~seen), float("-inf"))
        biases[window] = bias[:, None]
    return biases
