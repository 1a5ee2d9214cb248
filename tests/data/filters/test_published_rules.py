"""The published rules: their limits one by one, and datatrove's verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest

from loomwork.data.filters import ready_rules
from loomwork.text import spans
from tests.text.text_bytes import as_words

WORDS = ["stone", "river", "quiet", "window", "amber", "forest", "signal", "copper", "velvet", "harbor", "candle"]
WORDS += ["meadow", "thunder", "orchard", "lantern"]
SENTENCE = "The {} of the {} and the {} have a {} with that {}."


def prose(sentences: int = 12) -> str:
    """Lines of one sentence of 14 words each, no two alike."""
    pick = [(i, 2 * i + 1, 3 * i + 2, 5 * i + 3, 7 * i + 4) for i in range(sentences)]
    return "\n".join(SENTENCE.format(*(WORDS[p % 15] + str(i) * (p % 2) for p in five)) for i, five in enumerate(pick))


def test_short_texts_pass_gopher_repetition_where_that_is_asked_for():
    short = "What other form of government, indeed, can so well deserve our esteem and love?"
    assert reason("gopher_repetition", short).startswith("characters in the top")  # as in datatrove
    assert reason("gopher_repetition", short, min_words=50) == ""
    assert reason("gopher_repetition", "so it is " * 30, min_words=50) != ""
    assert reason("gopher_repetition", "", min_words=50).startswith("empty text")


PUBLISHED = ["gopher_quality", "gopher_repetition", "fineweb"]


def verdicts(rule: str, texts: Sequence[str | None], **settings: Any) -> pl.Series:
    ((_, judge),) = ready_rules(None, [{rule: settings}], "text")  # type: ignore[arg-type]
    return judge(pl.DataFrame({"text": texts}, schema={"text": pl.String}))


def reason(rule: str, text: str | None, **settings: Any) -> str:
    return verdicts(rule, [text], **settings)[0]


@pytest.mark.parametrize("rule", [*PUBLISHED, "c4"])
def test_prose_is_kept_and_nothing_is_not(rule: str) -> None:
    assert reason(rule, prose()) == ""
    for text in ("", None):
        assert reason(rule, text).startswith(("too few", "empty text"))


@pytest.mark.parametrize(
    ("text", "settings", "told"),
    [
        (prose(2), {}, "too few words: 28"),
        (prose(), {"max_words": 100}, "too many words: 168"),
        ("a of the " * 40, {}, "short words: 2"),
        ("internationalisation the of " * 40, {"max_mean_word_length": 8}, "long words: 8.333"),
        (prose() + " #" * 20, {}, "hash signs to a word: 0.106"),
        (prose() + " …" * 20, {}, "ellipses to a word: 0.106"),
        ("\n".join("- " + line for line in prose().split("\n")), {}, "lines with a bullet: 1"),
        (prose().replace(".", "..."), {}, "lines ending in an ellipsis: 1"),
        (prose() + " 12" * 60, {}, "few words with a letter: 0.737"),
        (
            prose().replace("The", "Le").replace(" the", " le").replace("of", "de"),
            {"min_stop_words": 5},
            "few stop words: 4",
        ),
    ],
)
def test_gopher_quality(text: str, settings: dict[str, Any], told: str) -> None:
    assert reason("gopher_quality", text, **settings) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (prose(4) + "\n\n" + prose(4), "duplicate paragraphs: 0.5"),
        (prose(8) + "\nx" * 5, "duplicate lines: 0.308"),
        (prose(4) + "\n" + prose(2), "duplicate lines: 0.333"),
        (prose(12) + " go on" * 60, "characters in the top 2-gram: 0.238"),
        (prose(12).replace("\n", " ") + " " + prose(4).replace("\n", " "), "characters in duplicate 5-grams"),
    ],
)
def test_gopher_repetition(text: str, told: str) -> None:
    assert reason("gopher_repetition", text).startswith(told)


def test_a_limit_of_null_is_no_limit() -> None:
    text = prose(4) + "\n\n" + prose(4)
    off = dict.fromkeys(["max_paragraphs", "max_paragraph_chars", "max_lines", "max_line_chars"])
    assert reason("gopher_repetition", text, **off, max_duplicate_ngrams={}) == ""
    assert reason("gopher_repetition", text, **off, max_top_ngrams={1: 0.01}).startswith("characters in the top 1-gram")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (prose().replace(".", ""), "few lines that end a sentence: 0"),
        ("short one.\n" * 1 + "\n".join(f"line {i}." for i in range(9)), "short lines: 1"),
        (prose() + "\n" + prose(1), "characters in duplicate lines: 0.07"),
        ("\n".join(f"internationalisation-{i}-of-everything-else." for i in range(9)), ""),
    ],
)
def test_fineweb(text: str, told: str) -> None:
    assert reason("fineweb", text).startswith(told)


def test_fineweb_counts_line_feeds_to_words() -> None:
    text = "\n".join(f"internationalisation{'x' * 20}{i}." for i in range(9))
    assert reason("fineweb", text, marks_apart=False) == "line feeds to a word: 0.889"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (prose(4), "too few sentences: 4"),
        ('One here now. Two here now! Is three here? "Four is." Five it is.', ""),
        (prose(4) + "\nToo short.", "too few sentences: 4"),
        (prose(4) + "\nThis one goes on and on...", "too few sentences: 4"),
        (prose(4) + "\nThis has no end mark", "too few sentences: 4"),
        (prose(4) + "\nPlease turn JavaScript on now.", "too few sentences: 4"),
        (prose(4) + "\nWe and others use cookies here.", "too few sentences: 4"),
        (prose(4) + f"\nSome {'x' * 1001} thing here.", "too few sentences: 4"),
        (prose(4) + "\nThis is cited here.[12]", ""),
        (prose() + "\nThen Lorem Ipsum dolor sit.", "lorem ipsum"),
        (prose() + "\nfunction f() { return here.", "curly bracket"),
        (prose() + "\nvar x = { y", ""),  # in a line that is not good
        (prose().replace("\n", "\r\n"), ""),
    ],
)
def test_c4(text: str, told: str) -> None:
    assert reason("c4", text) == told


def test_c4_settings() -> None:
    text = prose(2) + "\nPlease turn JavaScript on now {."
    assert reason("c4", text, min_sentences=3, javascript=False, curly_bracket=False) == ""
    assert reason("c4", prose(4).replace(".", "。"), min_sentences=4, end_marks="。") == ""
    assert reason("c4", prose(4) + "\nlorem ipsum it is.", lorem_ipsum=False) == ""
    assert reason("c4", "a b c.\n" * 5, max_word_length=None, min_words_per_line=0) == ""


@pytest.fixture(scope="module")
def pages(test_data: Path) -> list[str]:
    """Web pages that C4 kept, with repeated, cut and mangled ones among them."""
    lines = (test_data / "lm" / "c4_demo.jsonl").read_text("utf-8").split("\n")
    texts = [json.loads(line)["text"][:1500] for line in lines if line][:140]
    worse = (
        [t[:200] * 4 for t in texts[:30]] + ["\n".join(t.split()) for t in texts[30:50]] + [t[:150] for t in texts[:60]]
    )
    return (
        texts + worse + [t.replace("the ", "# ") for t in texts[:20]] + [t.replace(". ", "...\n- ") for t in texts[:40]]
    )


@pytest.fixture(scope="module")
def theirs(pages: list[str]) -> dict[str, np.ndarray]:
    """datatrove's verdicts by rule, True where a page is kept."""
    filters = pytest.importorskip("datatrove.pipeline.filters", reason="datatrove is in the extra bench")
    from datatrove.data import Document

    rules = {
        "gopher_quality": filters.GopherQualityFilter(),
        "gopher_repetition": filters.GopherRepetitionFilter(),
        "fineweb": filters.FineWebQualityFilter(),
        "c4": filters.C4QualityFilter(),
    }
    found = {name: [rule.filter(Document(text=page, id="")) is True for page in pages] for name, rule in rules.items()}
    return {name: np.array(kept) for name, kept in found.items()}


@pytest.fixture(scope="module")
def their_words(pages: list[str], theirs: dict[str, np.ndarray]) -> spans.Words:
    """The words of datatrove's tokenizer."""
    from datatrove.utils.text import split_into_words

    return as_words(pages, [split_into_words(page) for page in pages])


@pytest.mark.parametrize("rule", PUBLISHED)
def test_verdicts_on_the_same_words_are_those_of_datatrove(
    pages: list[str], theirs: dict[str, np.ndarray], their_words: spans.Words, rule: str
) -> None:
    with (
        patch.object(spans, "split_words", lambda data, offsets, *, marks_apart: their_words),
        patch("loomwork.data.filters._measured.BLOCK_BYTES", 1 << 40),
    ):
        kept = verdicts(rule, pages) == ""
    assert 0.05 < theirs[rule].mean() < 0.95
    assert (kept.to_numpy() == theirs[rule]).mean() >= 0.995


@pytest.mark.parametrize("rule", [*PUBLISHED, "c4"])
def test_verdicts_with_marks_apart_are_near_datatroves_own(
    pages: list[str], theirs: dict[str, np.ndarray], rule: str
) -> None:
    settings = {} if rule == "c4" else {"marks_apart": True}
    kept = verdicts(rule, pages, **settings) == ""
    assert (kept.to_numpy() == theirs[rule]).mean() >= 0.95


def test_blocks_give_what_the_whole_gives(pages: list[str]) -> None:
    for rule in PUBLISHED:
        whole = verdicts(rule, pages)
        with patch("loomwork.data.filters._measured.BLOCK_BYTES", 1000):
            assert verdicts(rule, pages).equals(whole)
        assert verdicts(rule, pages[100:200]).equals(whole[100:200])
