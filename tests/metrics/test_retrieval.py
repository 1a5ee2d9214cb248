from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loomwork.metrics.retrieval import ndcg, rank_of, recall, reciprocal_rank


@given(arrays(np.float32, (5, 9), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])))
def test_ranks_match_counting_and_do_not_depend_on_the_order(scores: np.ndarray) -> None:
    right = np.array([0, 3, 8, 1, 5])
    ranks = rank_of(scores, right)
    for query, column in enumerate(right):
        others = np.delete(scores[query], column)
        assert ranks[query] == 1 + (others >= scores[query, column]).sum()
    assert (rank_of(scores[:, ::-1], 8 - right) == ranks).all()


def test_a_scorer_without_opinion_is_last() -> None:
    assert (rank_of(np.zeros((3, 50)), np.array([0, 1, 2])) == 50).all()
    assert (rank_of(np.full((1, 4), np.nan), np.array([2])) == 4).all()


def test_values_at_k() -> None:
    ranks = np.array([1, 2, 10, 11])
    assert reciprocal_rank(ranks, 10).tolist() == [1, 0.5, 0.1, 0]
    assert recall(ranks, 1).tolist() == [1, 0, 0, 0]
    assert recall(ranks, 10).tolist() == [1, 1, 1, 0]


def test_ndcg_of_the_published_example() -> None:
    """Gains 3 2 3 0 1 2 in this order (Wikipedia's worked example): DCG 6.861, ideal 7.141, with two more 8.740."""
    ranks, gains = np.array([1, 2, 3, 5, 6]), [3, 2, 3, 1, 2]
    assert ndcg(ranks, gains, 6) == pytest.approx(6.861 / 7.141, abs=2e-4)
    missed = ndcg(np.append(ranks, [40, 41]), [*gains, 3, 2], 6)
    assert missed == pytest.approx(6.861 / 8.740, abs=2e-4)
    assert ndcg(np.array([2, 1]), [1, 3], 10) == pytest.approx(1)
    assert ndcg(np.array([], dtype=int), [], 6) == 0
