"""The Vendi score: how many different items a set has in effect, by the similarities of its items."""

from __future__ import annotations

import numpy as np


def vendi_score(gram: np.ndarray) -> float:
    """exp of the entropy of the eigenvalues of K / n: 1 where all items are alike, n where no two are.

    Args:
        gram: similarities K, symmetric, positive semi-definite, ones on the diagonal.  # (n, n)

    Raises:
        ValueError: it is not square or its diagonal is not 1.

    Source: Friedman and Dieng (2023), The Vendi score, definition 3.1.
    """
    n = len(gram)
    if gram.shape != (n, n) or n == 0 or not np.allclose(np.diagonal(gram), 1.0, atol=1e-4):
        raise ValueError(f"similarities must be square with ones on the diagonal; these are {gram.shape}")
    return _of_eigenvalues(np.linalg.eigvalsh(np.asarray(gram, np.float64) / n))


def vendi_of_vectors(vectors: np.ndarray) -> float:
    """The Vendi score under the cosine of vectors, from the smaller of X X' and X' X, which share their eigenvalues.

    Args:
        vectors: none of length zero.  # (n, dim)
    """
    x = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if len(x) == 0 or (lengths == 0).any():
        raise ValueError("the cosine needs vectors, none of length zero")
    x = x / lengths
    small = x.T @ x if x.shape[1] < len(x) else x @ x.T
    return _of_eigenvalues(np.linalg.eigvalsh(small / len(x)))


def _of_eigenvalues(found: np.ndarray) -> float:
    shares = found[found > 1e-12]
    shares = shares / shares.sum()  # rounding leaves the trace a little off 1
    return float(np.exp(-(shares * np.log(shares)).sum()))
