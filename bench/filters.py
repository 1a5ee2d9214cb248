"""Filter rules beside datatrove's: the same verdicts, and documents per CPU-second.

    python bench/filters.py [--quick] [--json]

Both are given the same real documents, in memory, one after the other in this process. `ratios` are medians of CPU
seconds: "datatrove gopher_quality" is datatrove as it comes, with spaCy's blank English tokenizer, which takes most of
its time; "..., words by white space" is datatrove with str.split in its place, so that only the rules are compared;
"both" runs both rules on each document, where datatrove tokenizes it once. `agree`: the verdicts are the same on at
least 98 % of the documents, once with spaCy's words given to both, once with white space. How often they are the same
when each splits words its own way is printed too: spaCy makes words of punctuation marks, and the documents are full of
them; `marks_apart` does so too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
from _corpus import documents
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import split_into_words

from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.data.filter import filter as filter_step
from loomwork.data.filters.c4 import c4
from loomwork.data.filters.fineweb import fineweb
from loomwork.data.filters.gopher_quality import gopher_quality
from loomwork.data.filters.gopher_repetition import gopher_repetition
from loomwork.text import spans

PEERS = {
    "gopher_quality": (gopher_quality, GopherQualityFilter),
    "gopher_repetition": (gopher_repetition, GopherRepetitionFilter),
    "fineweb": (fineweb, FineWebQualityFilter),
    "c4": (c4, C4QualityFilter),
}
MODULES = {
    "gopher_quality": "gopher_quality_filter",
    "gopher_repetition": "gopher_repetition_filter",
    "fineweb": "fineweb_quality_filter",
}  # where datatrove's rules look up split_into_words
GOPHER = ["gopher_quality", "gopher_repetition"]
LEAST_AGREEMENT = 0.98
Verdicts = np.ndarray  # True where a document is kept, bool (documents,)


def by_white_space(text: str, language: str = "") -> list[str]:
    return text.split()


def theirs(names: list[str], texts: list[str], split: Callable[..., list[str]] | None = None) -> Verdicts:
    """datatrove's verdicts; a document is kept if each of its rules keeps it. All rules see all documents."""
    rules = [PEERS[name][1]() for name in names]
    patches = [patch(f"datatrove.pipeline.filters.{MODULES[n]}.split_into_words", split) for n in names if split]
    for one in patches:
        one.start()
    try:
        kept = [
            all([rule.filter(Document(text=text, id="")) is True for rule in rules])  # noqa: C419 (no short cut)
            for text in texts
        ]
    finally:
        for one in patches:
            one.stop()
    return np.array(kept)


def ours(names: list[str], texts: pl.DataFrame, **settings: Any) -> Verdicts:
    rules = [PEERS[name][0](None, column="text", **settings) for name in names]  # type: ignore[operator]
    return np.all([(rule(texts) == "").to_numpy() for rule in rules], axis=0)


def with_words(texts: list[str]) -> Callable[[np.ndarray, np.ndarray], spans.Words]:
    """A word split for our kernels that gives the words of datatrove's tokenizer, found in the bytes of the texts."""
    starts, ends, rows, place = [], [], [0], 0
    for text in texts:
        raw, at = text.encode(), 0
        for word in split_into_words(text):
            spelled = word.encode()
            at = raw.index(spelled, at)
            starts.append(place + at)
            ends.append(place + at + len(spelled))
            at += len(spelled)
        rows.append(len(starts))
        place += len(raw)

    def split(data: np.ndarray, offsets: np.ndarray, *, marks_apart: bool) -> spans.Words:
        if offsets[0] != 0 or offsets.size != len(rows):
            raise RuntimeError("these words are of another block")
        return spans.words_at(data, np.array(starts), np.array(ends), np.array(rows))

    return split


def agreement(texts: list[str]) -> dict[str, dict[str, float]]:
    """By rule: the share of equal verdicts with spaCy's words, with white space, and with each one's own words."""
    frame, found = pl.DataFrame({"text": texts}), {}
    words = with_words(texts)
    for name in MODULES:
        own, peer = ours([name], frame), theirs([name], texts)
        with patch.object(spans, "split_words", words), patch("loomwork.data.filters._measured.BLOCK_BYTES", 1 << 40):
            own_spacy = ours([name], frame)
        same = {
            "spaCy's words": (own_spacy == peer).mean(),
            "white space": (ours([name], frame, marks_apart=False) == theirs([name], texts, by_white_space)).mean(),
            "own words": (own == peer).mean(),
            "own words, marks apart": (ours([name], frame, marks_apart=True) == peer).mean(),
            "kept by ours": own.mean(),
            "kept by datatrove": peer.mean(),
        }
        found[name] = {what: round(float(share), 4) for what, share in same.items()}
    own, peer = ours(["c4"], frame), theirs(["c4"], texts)
    same = {"own words": (own == peer).mean(), "kept by ours": own.mean(), "kept by datatrove": peer.mean()}
    found["c4"] = {what: round(float(share), 4) for what, share in same.items()}
    return found


def cpu_seconds(work: Callable[[], Any], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return statistics.median(spent)


def speeds(texts: list[str], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Documents per CPU-second of each, and the ratios."""
    frame, per_second, ratios = pl.DataFrame({"text": texts}), {}, {}
    for names in ([n] for n in PEERS):
        _compare(names[0], names, texts, frame, rounds, per_second, ratios)
    _compare("gopher, both", GOPHER, texts, frame, rounds, per_second, ratios)
    return per_second, ratios


def _compare(
    what: str,
    names: list[str],
    texts: list[str],
    frame: pl.DataFrame,
    rounds: int,
    per_second: dict[str, float],
    ratios: dict[str, float],
) -> None:
    mine = cpu_seconds(lambda: ours(names, frame), 5 * rounds)
    per_second[what] = len(texts) / mine
    peer = cpu_seconds(lambda: theirs(names, texts), rounds)
    per_second[f"datatrove {what}"] = len(texts) / peer
    ratios[f"datatrove {what}"] = peer / mine
    if all(name in MODULES for name in names):
        plain = cpu_seconds(lambda: theirs(names, texts, by_white_space), rounds)
        ratios[f"datatrove {what}, words by white space"] = plain / mine


def step_speed(texts: list[str]) -> float:
    """Documents per CPU-second of the whole step with both Gopher rules, Parquet in and out."""
    with TemporaryDirectory() as folder, use_context(Context()):
        source, out = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        out.mkdir()
        with DatasetWriter(source) as writer:
            writer.write([{"text": text} for text in texts])
        start = time.process_time()
        filter_step(Dataset(source), rules=list(GOPHER), out=out)
        return len(texts) / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer documents and rounds")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    compared, timed, rounds = (1500, 500, 1) if arguments.quick else (1500, 1500, 3)
    texts = documents(30_000)
    ours([*MODULES, "c4"], pl.DataFrame({"text": texts[:10]}))  # compiles the kernels, or reads them from the cache
    theirs(list(PEERS), texts[:10])
    same = agreement(texts[:compared])
    per_second, ratios = speeds(texts[:timed], rounds)
    per_second["whole step, both gopher rules"] = step_speed(texts if not arguments.quick else texts[:5000])
    agree = all(same[n][w] >= LEAST_AGREEMENT for n in GOPHER for w in ("spaCy's words", "white space"))
    ratios = {name: round(ratio, 1) for name, ratio in ratios.items()}
    if arguments.json:
        figures = {name: round(value) for name, value in per_second.items()}
        print(json.dumps({"ratios": ratios, "agree": agree, "agreement": same, "documents_per_cpu_second": figures}))
        return
    print(f"the same verdict on {compared:,} documents (and the share that is kept)")
    for name, shares in same.items():
        print(f"  {name:18} " + ", ".join(f"{what} {share:.1%}" for what, share in shares.items()))
    print("documents per CPU-second")
    for name, value in per_second.items():
        print(f"  {name:32} {value:10,.0f}")
    print("times faster than")
    for name, ratio in ratios.items():
        print(f"  {name:60} {ratio:8.1f}")
    print("verdicts agree" if agree else "VERDICTS DO NOT AGREE")


if __name__ == "__main__":
    main()
