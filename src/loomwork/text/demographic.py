"""How often English texts name groups of people: words of short lists, counted by group. See the lists for limits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from loomwork.text.lexical import letter_words
from loomwork.text.minhash import Texts
from loomwork.text.spans import hashes_of

LISTS = Path(__file__).with_name("demographic_terms.yaml")


@cache
def term_lists() -> dict[str, dict[str, list[str]]]:
    """The words of each group, by axis and group."""
    import yaml

    found: dict[str, dict[str, list[str]]] = yaml.safe_load(LISTS.read_text(encoding="utf-8"))
    return found


def count_terms(texts: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """How many words of each group each text has, int64 (texts,), by axis and group."""
    words = letter_words(Texts.of(text.lower() for text in texts))
    row_of = np.repeat(np.arange(len(texts)), np.diff(words.rows))
    found: dict[str, dict[str, np.ndarray]] = {}
    for axis, groups in term_lists().items():
        found[axis] = {}
        for group, terms in groups.items():
            known = hashes_of(terms)
            place = np.minimum(np.searchsorted(known, words.hashes), known.size - 1)
            found[axis][group] = np.bincount(row_of[known[place] == words.hashes], minlength=len(texts))
    return found
