"""Retrieval metrics of one query, from the ranks of its right passages. Ranks count from 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ranks = npt.NDArray[np.int64]


def rank_of(scores: Floats, right: npt.NDArray[np.integer]) -> Ranks:
    """The rank of each query's one right passage; passages that tie with it count as ranked above it.

    So the rank does not depend on the order of the passages, and a scorer that gives everything one score gets the
    last rank, not the first. A score that is NaN counts as a tie.

    Args:
        scores: of each passage for each query.  # (queries, passages)
        right: the column of each query's right passage.  # (queries,)

    Returns: ranks from 1.  # (queries,)
    """
    own = scores[np.arange(len(scores)), right][:, None]  # (queries, 1)
    ranks: Ranks = scores.shape[1] - (scores < own).sum(axis=1)  # itself, better, equal, or not a number
    return ranks


def reciprocal_rank(ranks: Ranks, k: int) -> npt.NDArray[np.float64]:
    """1 / rank where the rank is at most k, else 0.  # (queries,)"""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


def recall(ranks: Ranks, k: int) -> npt.NDArray[np.float64]:
    """1 where the one right passage is among the first k, else 0.  # (queries,)"""
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: Ranks, gains: npt.ArrayLike, k: int) -> float:
    """One query's discounted cumulative gain of the first k passages over that of the best order; linear gains.

    Args:
        ranks: of each relevant passage.  # (relevant,)
        gains: of each relevant passage, above 0.  # (relevant,)
        k: how many ranks count.

    Returns: 0 to 1; 0 where nothing is relevant.

    Source: Jarvelin and Kekalainen (2002), ACM TOIS 20(4), with the discount 1 / log2(rank + 1) as trec_eval has it.
    """
    values = np.asarray(gains, dtype=np.float64)
    best = np.sort(values)[::-1][:k]
    ideal = float((best / np.log2(np.arange(len(best)) + 2)).sum())
    found = float((values / np.log2(np.asarray(ranks) + 1.0))[np.asarray(ranks) <= k].sum())
    return found / ideal if ideal else 0.0
