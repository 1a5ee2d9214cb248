"""Near duplicates planted in the benchmarks' corpus, and what is true of them, told without any of our own code."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from _corpus import documents

DOCUMENTS = 30_000
PLANTED = 3_930 / DOCUMENTS  # near duplicates at Jaccard 0.8 to 1, of all documents
COPIES = 1_000 / DOCUMENTS
WORD = re.compile(r"[\u3000-\u9fff]|(?:(?![\u3000-\u9fff])[A-Za-z0-9_\u0080-\U0010ffff])+")
SPACE = re.compile(r"(\s+)")


def shingles(text: str, words: int = 5) -> set[tuple[str, ...]]:
    """The set of all runs of five words: no hash."""
    found = [w for w in WORD.findall(text.lower()) if not "\u3000" <= w <= "\u303f"]
    length = min(words, len(found))
    return {tuple(found[i : i + length]) for i in range(len(found) - length + 1)} if found else set()


def jaccard(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    return len(a & b) / len(a | b) if a or b else 0.0


def edited(text: str, chance: random.Random, vocabulary: list[str]) -> str:
    """A text in which up to 3 % of the words are replaced or left out."""
    pieces = SPACE.split(text)
    words = range(0, len(pieces), 2)
    for place in chance.sample(words, chance.randint(1, max(1, len(words) * 3 // 100))):
        pieces[place] = chance.choice(vocabulary) if chance.random() < 0.7 else ""
    return "".join(pieces)


def planted(count: int, seed: int = 1) -> tuple[list[str], list[tuple[int, int]]]:
    """Real documents, edited copies of some of them and exact copies, shuffled.

    Returns: the texts; the planted pairs (places in the texts) whose true Jaccard similarity is in [0.8, 1).
    """
    chance = random.Random(seed)
    edits, copies = round(count * PLANTED), round(count * COPIES)
    real = documents(DOCUMENTS)[: count - edits - copies]
    vocabulary = [word for text in real[:500] for word in text.split()]
    texts, pairs = list(real), []
    while len(pairs) < edits:
        source = chance.randrange(len(real))
        text = edited(real[source], chance, vocabulary)
        if 0.8 <= jaccard(shingles(real[source]), shingles(text)) < 1:
            pairs.append((source, len(texts)))
            texts.append(text)
    texts += chance.choices(real, k=copies)
    places = list(range(len(texts)))
    chance.shuffle(places)
    shuffled = [""] * len(texts)
    for old, new in enumerate(places):
        shuffled[new] = texts[old]
    return shuffled, [(places[a], places[b]) for a, b in pairs]


def combined(count: int, seed: int = 2) -> Iterator[list[str]]:
    """Documents without end made of real ones, a few thousand at a time: about 1.3 KB each.

    Eight in ten are paragraphs of three real documents put together; the others are edits and copies of those.
    """
    chance = random.Random(seed)
    real = documents(DOCUMENTS)
    vocabulary = [word for text in real[:500] for word in text.split()]
    left = count
    while left:
        size = min(left, 8192)
        fresh = [_cut(chance.choices(real, k=3), chance) for _ in range(size * 8 // 10)]
        other = [edited(text, chance, vocabulary) for text in chance.choices(fresh, k=size * 15 // 100)]
        batch = fresh + other
        batch += chance.choices(fresh, k=size - len(batch))
        chance.shuffle(batch)
        yield batch
        left -= size


def _cut(texts: list[str], chance: random.Random) -> str:
    pieces = []
    for text in texts:
        start = chance.randrange(max(1, len(text) - 450))
        pieces.append(text[start : start + 450])
    return "\n\n".join(pieces)
