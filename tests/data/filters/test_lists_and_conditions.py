"""Rules that look at lists, licences, addresses, scripts, conditions and functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loomwork.core.errors import InputError
from loomwork.data.filters import ready_rules
from loomwork.data.filters.expression import parsed


@pytest.fixture
def verdicts(make_dataset):
    """verdicts(rule, column=[...], ...): the reasons for rows with these columns, "" for what is kept."""

    def judge(call: dict[str, Any], text_column: str = "text", **columns: list[Any]) -> list[str]:
        frame = pl.DataFrame(columns)
        data = make_dataset(frame.to_dicts())
        ((_, rule),) = ready_rules(data, [call], text_column)
        found = rule(frame)
        assert found.dtype == pl.String
        return found.to_list()

    return judge


def test_length(verdicts) -> None:
    texts = ["", "éé\né", " \n\na b\n", None, "a b c d"]
    assert verdicts({"length": {"min_chars": 4}}, text=texts)[1:3] == ["", ""]
    assert verdicts({"length": {"max_chars": 3}}, text=texts)[1] == "too many characters: 4"
    assert verdicts({"length": {"min_lines": 1, "max_lines": 1}}, text=texts) == [
        "too few lines: 0",
        "too many lines: 2",
        "",
        "too few lines: 0",
        "",
    ]
    assert verdicts({"length": {"max_words": 3}}, text=texts)[4] == "too many words: 4"
    with pytest.raises(InputError, match="has no limit"):
        verdicts({"length": {}}, text=texts)
    for unit in ("chars", "words", "lines"):  # the names of the settings
        with pytest.raises(InputError, match=f"max_{unit} 3 is below min_{unit} 5"):
            verdicts({"length": {f"min_{unit}": 5, f"max_{unit}": 3}}, text=texts)


def test_script(verdicts) -> None:
    texts = ["Latin text", "Ελληνικά", "日本語のテキスト", "Latin и русский", "12 !?", None, "e\u0301te\u0301"]
    assert verdicts({"script": {"keep": ["Latin"]}}, text=texts) == [
        "",
        "few letters of the script: 0.0",
        "few letters of the script: 0.0",
        "few letters of the script: 0.385",
        "no letters",
        "no letters",
        "",
    ]
    japanese = verdicts({"script": {"keep": ["Han", "Hiragana", "Katakana"], "min_share": 1.0}}, text=texts)
    assert [not r for r in japanese] == [False, False, True, False, False, False, False]


def test_terms(verdicts, tmp_path: Path) -> None:
    texts = ["A class of its own", "an ass", "Project-X, here", "Bad bad.BAD", "", None, "Straße"]
    assert verdicts({"terms": {"drop": ["ass", "project x"]}}, text=texts) == [
        "",
        "listed term: ass",
        "listed term: project x",
        *[""] * 4,
    ]
    assert verdicts({"terms": {"drop": ["bad"], "max_count": 2}}, text=texts)[3] == "listed term: bad"
    assert verdicts({"terms": {"drop": ["bad"], "max_count": 3}}, text=texts)[3] == ""
    assert verdicts({"terms": {"drop": ["bad"], "ignore_case": False, "max_count": 1}}, text=texts)[3] == ""
    assert verdicts({"terms": {"drop": ["ass"], "whole_words": False}}, text=texts)[0] == "listed term: ass"
    listed = tmp_path / "terms.txt"
    listed.write_text("\ufeff# a comment\n  straße  \n\nclass of\n", "utf-8")
    assert [bool(r) for r in verdicts({"terms": {"file": str(listed)}}, text=texts)] == [True, *[False] * 5, True]


def test_terms_refuses_empty_lists(verdicts, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no words to look for"):
        verdicts({"terms": {}}, text=["a"])
    with pytest.raises(InputError, match="'!!' has no letter or digit"):
        verdicts({"terms": {"drop": ["!!"]}}, text=["a"])
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="has no entries"):
        verdicts({"terms": {"file": str(tmp_path / "empty.txt")}}, text=["a"])
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="is not UTF-8"):
        verdicts({"terms": {"file": str(tmp_path / "latin.txt")}}, text=["a"])


URLS = [
    "https://www.spam.example/a",
    "http://user:pw@spam.example:8080/login?x=1",
    "https://notspam.example",
    "HTTPS://Sub.Good.org./page",
    "",
    None,
    "not a url",
    "//spam.example/x",
    "http://[2001:db8::1]/x",
]


def test_url(verdicts) -> None:
    drop = verdicts({"url": {"drop_domains": ["SPAM.example"]}}, text=[""] * 9, url=URLS)
    assert [bool(r) for r in drop] == [True, True, False, False, False, False, False, True, False]
    assert drop[0] == "listed domain: www.spam.example"
    keep = verdicts({"url": {"keep_domains": ["good.org", "2.org"], "missing": "drop"}}, text=[""] * 9, url=URLS)
    assert keep[3:7] == ["", "no url", "no url", "not a listed place: "]
    both = {"keep_patterns": ["^https?:"], "drop_patterns": ["/login"]}
    assert verdicts({"url": both}, text=[""] * 9, url=URLS)[:3] == ["", "listed pattern: /login", ""]


def test_url_without_a_scheme(verdicts) -> None:
    spam = ["spam.example/page", "//spam.example/x", "SPAM.Example", "www.spam.example:8080/x", "spam.example.?q=1"]
    spam += ["me@spam.example#top", " spam.example. ", "HTTP://SPAM.EXAMPLE.:80"]
    others = ["notspam.example/", "/spam.example/x", "page?u=spam.example", "mailto:a@spam.example", "not spam.example"]
    found = verdicts({"url": {"drop_domains": ["spam.example"]}}, text=[""] * 13, url=[*spam, *others])
    assert [bool(reason) for reason in found] == [True] * 8 + [False] * 5
    assert set(found[:8]) == {"listed domain: spam.example", "listed domain: www.spam.example"}


def test_url_lists_may_lie_in_files(verdicts, tmp_path: Path) -> None:
    (tmp_path / "blocked.txt").write_text("# spam\nexample\n*.org\n")
    found = verdicts({"url": {"drop_domains_file": str(tmp_path / "blocked.txt")}}, text=[""] * 9, url=URLS)
    assert [bool(r) for r in found] == [True, True, True, True, False, False, False, True, False]
    with pytest.raises(InputError, match="nothing to look for"):
        verdicts({"url": {}}, text=[""], url=["x"])
    with pytest.raises(InputError, match="no column 'url'"):
        verdicts({"url": {"drop_domains": ["x"]}}, text=[""])


def test_licence(verdicts) -> None:
    names = ["MIT License", "CC BY-SA 4.0", "CC BY-NC 4.0", "Proprietary", "", None]
    allowed = {"keep": ["mit", "CC-BY-*"], "drop": ["*-NC-*"]}
    assert verdicts({"licence": allowed}, text=[""] * 6, licence=names) == [
        "",
        "",
        "unwanted licence: CC BY-NC 4.0",
        "other licence: Proprietary",
        "no licence",
        "no licence",
    ]
    both = ["MIT OR CC-BY-NC-4.0", "MIT AND CC-BY-NC-4.0", "MIT OR Proprietary", "MIT AND Proprietary"]
    assert verdicts({"licence": allowed}, text=[""] * 4, licence=both) == [
        "",
        "unwanted licence: MIT AND CC-BY-NC-4.0",
        "",
        "other licence: MIT AND Proprietary",
    ]
    two = verdicts(
        {"licence": {"keep": ["MIT"]}}, text=[""] * 3, licence=["MIT", None, None], license=[None, "mit", "x"]
    )
    assert two == ["", "", "other licence: x"]
    kept = verdicts({"licence": {"drop": ["proprietary"], "missing": "keep"}}, text=[""] * 6, licence=names)
    assert [bool(r) for r in kept] == [False, False, False, True, False, False]


def test_expression(verdicts) -> None:
    rows = {"text": ["a", "b", "c", "d"], "n": [1, 5, None, 9], "language": ["en", "en", "en", "de"]}
    assert verdicts({"expression": {"keep": "language = 'en' AND n > 3"}}, **rows) == [
        "not so",
        "",
        "unknown: a value is null",
        "not so",
    ]
    assert verdicts({"expression": {"keep": "1 = 1"}}, **rows) == [""] * 4
    assert verdicts({"expression": {"keep": "text IN ('Len', 'Agg', 'now')"}}, **rows) == ["not so"] * 4
    with pytest.raises(InputError, match="no column 'langage'"):
        verdicts({"expression": {"keep": "langage = 'en'"}}, **rows)
    with pytest.raises(InputError, match="gives Int64, not true or false"):
        verdicts({"expression": {"keep": "n + 1"}}, **rows)


def test_function(verdicts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_filter_rules.py").write_text(
        "import polars as pl\n"
        "def keep(row): return row['n'] > 2\n"
        "def why(row): return '' if row['n'] > 2 else f'small: {row[\"n\"]}'\n"
        "def frame(rows): return rows['n'] > 2\n"
        "def nothing(row): pass\n"
        "def numbers(row): return 1.5\n"
        "def one(rows): return True\n"
        "def few(rows): return [True]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    rows = {"text": ["a", "b"], "n": [1, 3]}

    def judged(name: str, **more: str) -> list[str]:
        return verdicts({"function": {"use": f"own_filter_rules:{name}", **more}}, **rows)

    assert judged("keep") == ["rejected by keep", ""]
    assert judged("why") == ["small: 1", ""]
    assert judged("frame", per="shard") == ["rejected by frame", ""]
    for name, per, message in [
        ("nothing", "row", "answered nothing"),
        ("numbers", "row", "answered Float64"),
        ("one", "shard", "one answer a shard is needed"),
        ("few", "shard", "gave 1 answers for 2 rows"),
    ]:
        with pytest.raises(InputError, match=message):
            judged(name, per=per)
    with pytest.raises(InputError, match="defines no 'kepe'"):
        judged("kepe")


def test_a_condition_that_makes_more_rows_is_refused():
    with pytest.raises(ValueError, match="more than one row"):
        parsed("unnest(tags) = 'a'")
