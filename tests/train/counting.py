"""A language with something to learn: four to eight numbers in order."""

from __future__ import annotations

import random

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def counting(rows: int, seed: int) -> list[dict[str, str]]:
    """Texts of it."""
    draw = random.Random(seed)
    starts = [(draw.randrange(12), draw.randint(4, 8)) for _ in range(rows)]
    return [{"text": " ".join(WORDS[(start + i) % 12] for i in range(length))} for start, length in starts]
