"""Exact cosine search over vectors that stay on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

BLOCK_ROWS = 16384  # compared at once; bounds what is held in memory as float32
Precision = Literal["float32", "float16"]


def write_vectors(
    batches: Iterable[np.ndarray], path: Path, *, rows: int, precision: Precision = "float32"
) -> tuple[int, int]:
    """Write vectors to a .npy file as they come.

    Args:
        batches: float arrays (batch, dim), L2-normalised.
        path: the file to make.
        rows: how many vectors there will be.
        precision: how they are stored.

    Returns: the shape written.

    Raises:
        ValueError: there are more or fewer vectors than `rows`.
    """
    stored: np.memmap | None = None
    done = 0
    for batch in batches:
        if stored is None:
            stored = np.lib.format.open_memmap(path, "w+", dtype=precision, shape=(rows, batch.shape[1]))
        if done + len(batch) > rows:
            break
        stored[done : done + len(batch)] = batch
        done += len(batch)
    else:
        if stored is not None and done == rows:
            stored.flush()
            return rows, stored.shape[1]
    raise ValueError(f"{rows} vectors were announced, and {'more' if done + 1 > rows else done} came")


def open_vectors(path: Path) -> np.ndarray:
    """The vectors (rows, dim), memory-mapped."""
    vectors: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors


def cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The cosine of every stored vector with a query.

    Args:
        vectors: L2-normalised (rows, dim).
        query: any length but zero (dim,).

    Returns: float32 (rows,).
    """
    unit = np.asarray(query, np.float32)
    unit = unit / max(float(np.linalg.norm(unit)), 1e-12)
    found = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = np.asarray(vectors[start : start + BLOCK_ROWS], np.float32)
        found[start : start + len(block)] = block @ unit
    return found
