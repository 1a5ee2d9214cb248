"""Language-modelling metrics from summed log-probabilities (natural logarithms)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def bits(log_probabilities: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Summed natural-log probabilities of texts as bits.  # (texts,)"""
    return -np.asarray(log_probabilities, dtype=np.float64) / math.log(2)


def bytes_of(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """The length of each text in UTF-8 bytes.  # (texts,)"""
    return np.array([len(text.encode()) for text in texts], dtype=np.int64)


def bits_per_byte(log_probabilities: npt.ArrayLike, bytes_: npt.ArrayLike) -> float:
    """Total bits over total bytes: comparable between tokenizers.

    Args:
        log_probabilities: summed natural-log probability of each text.  # (texts,)
        bytes_: UTF-8 bytes of each text.  # (texts,)
    """
    return float(bits(log_probabilities).sum() / np.asarray(bytes_).sum())


def perplexity(log_probabilities: npt.ArrayLike, tokens: npt.ArrayLike) -> float:
    """exp of the mean negative log-probability of a token; comparable only under one tokenizer.

    Args:
        log_probabilities: summed natural-log probability of each text.  # (texts,)
        tokens: scored tokens of each text.  # (texts,)
    """
    return float(np.exp(-np.asarray(log_probabilities, dtype=np.float64).sum() / np.asarray(tokens).sum()))


def perplexity_of_sums(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """exp of minus summed log-probability over summed weight (tokens, words, targets).  # (..., 2) -> (...)"""
    return np.asarray(np.exp(-_ratio(sums)))


def bits_per_byte_of_sums(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Minus summed log-probability, in bits, over summed bytes.  # (..., 2) -> (...)"""
    return np.asarray(-_ratio(sums) / math.log(2))


def _ratio(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above, below = np.asarray(sums[..., 0], np.float64), np.asarray(sums[..., 1], np.float64)
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)
