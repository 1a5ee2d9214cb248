"""How much of each test document stands word for word in the training text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

GRAM_WORDS = 13
_WORD = re.compile(r"\w+")


def overlap(documents: Sequence[str], training: Iterable[str], words: int = GRAM_WORDS) -> npt.NDArray[np.float64]:
    """The share of each document's runs of `words` words that occur in a training text; exact, case ignored.

    Args:
        documents: held in memory; the training texts are read as a stream.
        training: no run goes from one text into the next.
        words: the length of a run.

    Returns: 0 to 1; NaN for a document of fewer words, of which nothing can be said.  # (documents,)

    Source: Brown et al. (2020), Language Models are Few-Shot Learners, appendix C, for runs of 13 words.
    """
    runs = [_runs(text, words) for text in documents]
    wanted = {run for one in runs for run in one}
    found: set[str] = set()
    for text in training:
        if len(found) < len(wanted):
            found.update(run for run in _runs(text, words) if run in wanted)
    return np.array([sum(r in found for r in one) / len(one) if one else np.nan for one in runs])


def _runs(text: str, words: int) -> list[str]:
    tokens = _WORD.findall(text.lower())
    return [" ".join(tokens[start : start + words]) for start in range(len(tokens) - words + 1)]
