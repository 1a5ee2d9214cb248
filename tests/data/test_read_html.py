"""The main content of pages, by the measure of the article extraction benchmark, and what pages say of themselves."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from statistics import mean

import pytest

from loomwork.data.read import read
from loomwork.data.readers._page import page
from tests.data.read_rows import reasons, rows_of

trafilatura = pytest.importorskip("trafilatura")


def shingles(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[i : i + 4]) for i in range(max(1, len(words) - 3)) if words)


def f1(pairs: list[tuple[str, str]]) -> float:
    """The benchmark's F1: precision and recall of 4-word shingles averaged over pages, then their harmonic mean."""
    precision, recall = [], []
    for true, found in ((shingles(t), shingles(f)) for t, f in pairs):
        both = (true & found).total()
        if found:
            precision.append(both / found.total())
        if true:
            recall.append(both / true.total())
    p, r = mean(precision), mean(recall)
    return 2 * p * r / (p + r)


def pages(folder: Path) -> dict[str, bytes]:
    files = sorted((folder / "html").iterdir())
    return {f.name.removesuffix(".gz"): gzip.decompress(f.read_bytes()) for f in files if f.suffix == ".gz"}


def test_the_measure_is_the_benchmarks():
    assert f1([("a b c d e", "a b c d e")]) == 1
    assert f1([("a b c d e", "a b c d x")]) == 0.5  # one of two shingles
    assert f1([("a b c d", "a b c d"), ("e f g h", "")]) == pytest.approx(2 / 3)  # precision leaves the second out


def test_main_content_is_not_below_trafilaturas_own(test_data):
    folder = test_data / "web" / "article-extraction"
    truth = {k: v["articleBody"] for k, v in json.loads((folder / "ground-truth.json").read_text()).items()}
    found = {name.split(".")[0]: content for name, content in pages(folder).items()}
    assert found.keys() == truth.keys()
    rows = {key: page(content) for key, content in found.items()}
    ours = f1([(truth[key], row["text"] if isinstance(row, dict) else "") for key, row in rows.items()])
    theirs = f1([(truth[key], trafilatura.extract(content) or "") for key, content in found.items()])
    assert ours >= theirs
    assert ours > 0.955


def test_metadata_and_passages_of_annotated_pages(test_data):
    folder = test_data / "web" / "trafilatura-eval"
    truth = {v["file"]: v for v in json.loads((folder / "ground-truth.json").read_text()).values()}
    right: Counter[str] = Counter()
    given: Counter[str] = Counter()
    ours, theirs = Counter(), Counter()
    for name, content in pages(folder).items():
        row, known = page(content), truth[name]
        assert isinstance(row, dict), name
        for column in ("title", "date"):
            given[column] += bool(known.get(column))
            right[column] += bool(known.get(column)) and row.get(column) == known[column]
        for text, counts in ((row["text"], ours), (trafilatura.extract(content) or "", theirs)):
            counts["right"] += sum(s in text for s in known["with"]) + sum(s not in text for s in known["without"])
    assert ours["right"] >= theirs["right"]
    assert right["date"] / given["date"] > 0.75
    assert right["title"] / given["title"] > 0.55


PAGE = """<!DOCTYPE html><html lang="de"><head><title>Ein Titel</title><meta name="author" content="Ann Meier">
<meta property="article:published_time" content="2021-03-04T10:00:00Z">
<link rel="canonical" href="https://example.org/seite"></head><body><nav><a href="/">Start</a></nav>
<article><h1>Ein Titel</h1><p>Der erste Absatz hat Wörter: grün, schön, süß.</p><p>Der zweite Absatz hat auch
welche, und noch ein paar mehr, damit er lang genug ist.</p></article>
<footer><a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a></footer></body></html>"""


def test_a_page_says_what_it_is(tmp_path, run_step):
    (tmp_path / "a.html").write_text(PAGE)
    data, _ = run_step(read, path=tmp_path / "a.html")
    (row,) = rows_of(data)
    assert "Der erste Absatz" in row.pop("text")
    assert row == {
        "source": "a.html",
        "title": "Ein Titel",
        "author": "Ann Meier",
        "date": "2021-03-04",
        "licence": "CC BY 4.0",
        "language": "de",
        "url": "https://example.org/seite",
    }
    lines, _ = run_step(read, path=tmp_path / "a.html", text_unit="paragraph")
    assert [r["text"] for r in rows_of(lines)][-2].startswith("Der erste Absatz")


@pytest.mark.parametrize(("tag", "language"), [("de-DE", "de"), ("EN_us", "en"), ("pt, en", "pt"), ("", None)])
def test_the_language_is_named_without_its_region(tag, language, tmp_path, run_step):
    (tmp_path / "a.html").write_text(PAGE.replace('lang="de"', f'lang="{tag}"'))
    (row,) = rows_of(run_step(read, path=tmp_path / "a.html")[0])
    assert row.get("language") == language


ENCODED = {
    "utf-8": "utf-8",
    "utf-16": "utf-16",
    "utf-8-sig": "utf-8-sig",
    "windows-1251": "cp1251",
    "iso-8859-1": "cp1252",  # which is what pages mean by it
    "iso-2022-jp": "iso-2022-jp",
    "gb2312": "gb18030",
    "shift_jis": "cp932",
}


@pytest.mark.parametrize("label", ENCODED)
def test_the_encoding_is_found(label):
    text = {"windows-1251": "Привет, мир, это страница", "iso-8859-1": "Grüße – „schön“", "utf-16": "Grüße, 日本"}.get(
        label, "これは日本の文章" if "jp" in label or "jis" in label else "你好世界" if label == "gb2312" else "Ünïcödé"
    )
    declared = "" if label.startswith("utf") else f"<meta charset={label}>"
    content = f"<html><head>{declared}</head><body><p>{text}</p></body></html>".encode(ENCODED[label])
    assert page(content) == {"text": text}
    if label == "windows-1251":  # what HTTP says counts where the page says nothing
        assert page(content.replace(declared.encode(), b""), "windows-1251") == {"text": text}


BAD = {
    "empty.html": (b"", "empty file"),
    "no_text.html": (
        b"<html><head><title>T</title></head><body><script>x()</script></body></html>",
        "HTML without text",
    ),
    "binary.html": (b"PK\x03\x04\x00\x00\x00\x08" * 50, "not HTML"),
    "words.html": (b"only words", "not HTML"),
    "deep.html": (b"<html><body>" + b"<div>" * 50000 + b"deep" + b"</div>" * 50000, "HTML without text"),
    "nul.html": (b"\0" * 5000, "empty file"),
}


def test_what_is_no_page_is_set_aside_and_the_rest_is_read(tmp_path, run_step):
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "cut.html").write_text("<html><body><p>One two three four five.</p><p>Cut off he")
    (tmp_path / "part.htm").write_text("<p>Only a part of a page</p>")
    data, card = run_step(read, path=tmp_path)
    assert dict(reasons(data)) == {name: reason for name, (_, reason) in BAD.items()}
    assert [r["text"] for r in rows_of(data)] == ["One two three four five.\nCut off he", "Only a part of a page"]
    assert card.metrics["dropped: not HTML"] == 2


def test_a_page_that_is_too_large_is_set_aside(tmp_path, run_step):
    (tmp_path / "a.html").write_text(PAGE)
    (tmp_path / "b.html").write_text("<html><body><p>" + "words " * 1000 + "</p></body></html>")
    data, _ = run_step(read, path=tmp_path, max_row_bytes=3000)
    assert reasons(data) == [("b.html", "too large for one document")]
