"""Which rows a training step sees: a pure function of the step, so that a run can be resumed, and looked up."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def rows_at(step: int, *, rows: int, batch: int, seed: int) -> list[int]:
    """The rows of one step's batch. Every epoch is its own permutation of all rows; a batch may span two.

    Args:
        step: from 0.
        rows: how many rows there are.
        batch: how many one step takes.
        seed: of the permutations.
    """
    places = range(step * batch, (step + 1) * batch)
    return [int(_permutation(seed, place // rows, rows)[place % rows]) for place in places]


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, rows: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(rows)
