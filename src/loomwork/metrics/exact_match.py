"""Exact match of a text with a reference, with the options of the metric `exact_match` of Hugging Face evaluate."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

PUNCTUATION = str.maketrans("", "", string.punctuation)
DIGITS = str.maketrans("", "", string.digits)


def exact_match(
    prediction: str,
    reference: str,
    *,
    regexes_to_ignore: Sequence[str] | None = None,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    ignore_numbers: bool = False,
) -> bool:
    """Whether two texts are the same once what is ignored is taken out of both.

    Args:
        regexes_to_ignore: what they match is taken out, one after the other, before anything else.
        ignore_punctuation: of ASCII.
        ignore_numbers: the digits 0 to 9.

    Source: huggingface/evaluate, metrics/exact_match/exact_match.py.
    """

    def left(text: str) -> str:
        for pattern in regexes_to_ignore or ():
            text = re.sub(pattern, "", text)
        text = text.lower() if ignore_case else text
        text = text.translate(PUNCTUATION) if ignore_punctuation else text
        return text.translate(DIGITS) if ignore_numbers else text

    return left(prediction) == left(reference)
