"""Multiple choice from log-probabilities: which choice a model takes, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def most_likely(log_probabilities: npt.ArrayLike) -> int:
    """The choice with the highest log-probability; of several, the first.  # (choices,)"""
    return int(np.argmax(np.asarray(log_probabilities, dtype=np.float64)))


def most_likely_by_length(log_probabilities: npt.ArrayLike, lengths: npt.ArrayLike) -> int:
    """The choice with the highest log-probability for each character or byte of it.

    Args:
        log_probabilities: summed, of each choice.  # (choices,)
        lengths: of the choices: characters for `acc_norm`, UTF-8 bytes for `acc_bytes`.  # (choices,)
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # an empty choice has no length
        return most_likely(np.asarray(log_probabilities, dtype=np.float64) / np.asarray(lengths, dtype=np.float64))


def most_informed(log_probabilities: npt.ArrayLike, without_context: npt.ArrayLike) -> int:
    """The choice that the context makes most more likely: the highest pointwise mutual information with it.

    Source: Askell et al. (2021), A General Language Assistant as a Laboratory for Alignment.
    """
    gained = np.asarray(log_probabilities, dtype=np.float64) - np.asarray(without_context, dtype=np.float64)
    return most_likely(gained)


def characters(choices: Sequence[str]) -> list[int]:
    return [len(choice) for choice in choices]


def utf8_bytes(choices: Sequence[str]) -> list[int]:
    return [len(choice.encode()) for choice in choices]


def probabilities(log_probabilities: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The choices' shares of their summed probability.  # (choices,)"""
    x = np.asarray(log_probabilities, dtype=np.float64)
    shares: npt.NDArray[np.float64] = np.exp(x - x.max())
    shares /= shares.sum()
    return shares
