"""The Vendi score against its closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from loomwork.stats.vendi import vendi_of_vectors, vendi_score


def test_identical_items_are_one_and_orthogonal_items_are_n():
    assert vendi_score(np.ones((9, 9))) == pytest.approx(1)
    assert vendi_score(np.eye(9)) == pytest.approx(9)
    assert vendi_of_vectors(np.ones((9, 4))) == pytest.approx(1)
    assert vendi_of_vectors(3 * np.eye(9)) == pytest.approx(9)


@pytest.mark.parametrize("likeness", [0.0, 0.3, 0.9, 1.0])
def test_two_items_have_eigenvalues_of_one_plus_and_minus_their_likeness(likeness):
    shares = np.array([1 + likeness, 1 - likeness]) / 2
    expected = np.exp(-sum(s * np.log(s) for s in shares if s > 0))
    assert vendi_score(np.array([[1, likeness], [likeness, 1]])) == pytest.approx(expected)


def test_groups_of_copies_count_by_their_entropy():
    groups = np.repeat([0, 1, 2], [10, 5, 1])
    gram = (groups[:, None] == groups).astype(float)
    shares = np.array([10, 5, 1]) / 16
    assert vendi_score(gram) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_the_smaller_product_has_the_same_score(shape):
    x = np.random.default_rng(1).normal(size=shape)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert vendi_of_vectors(x) == pytest.approx(vendi_score(x @ x.T), rel=1e-9)


def test_what_is_no_similarity_is_refused():
    with pytest.raises(ValueError, match="diagonal"):
        vendi_score(2 * np.eye(3))
    with pytest.raises(ValueError, match="length zero"):
        vendi_of_vectors(np.zeros((2, 2)))
