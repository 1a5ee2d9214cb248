"""Languages beside the data, and the filter rule of the same name."""

from __future__ import annotations

import pytest

from loomwork.core.errors import InputError
from loomwork.data.filter import filter
from loomwork.data.language import language

ROWS = [
    {"text": "The committee met on Tuesday and agreed to publish its report next month."},
    {"text": "Der Ausschuss traf sich am Dienstag und beschloss, seinen Bericht zu veröffentlichen."},
    {"text": "Le comité s'est réuni mardi et a décidé de publier son rapport le mois prochain."},
    {"text": ""},
    {"text": None},
]


def test_the_language_lies_beside_the_data(make_dataset, run_step):
    data = make_dataset(ROWS)
    found, card = run_step(language, data=data)
    rows = list(found.rows())
    assert [r["language"] for r in rows] == ["en", "de", "fr", "und", "und"]
    assert all(0.9 < r["language_score"] <= 1 for r in rows[:3])
    assert [r["row_id"] for r in rows] == [r["row_id"] for r in data.rows()]
    assert found.shards()[0].read_bytes() == data.shards()[0].read_bytes()  # shared, not rewritten
    assert card.metrics["language: en"] == 1
    assert card.metrics["language: und"] == 2
    again, _ = run_step(language, data=found)  # the columns are replaced
    assert list(again.rows()) == rows


def test_another_name_and_fewer_languages(make_dataset, run_step):
    found, _ = run_step(language, data=make_dataset(ROWS[:3]), languages=["en", "nl"], name="tongue", min_score=0.99)
    rows = list(found.rows())
    assert rows[0]["tongue"] == "en"
    assert {r["tongue"] for r in rows} <= {"en", "nl", "und"}
    assert all(r["tongue"] == "und" for r in rows if r["tongue_score"] < 0.99)


def test_the_rule_keeps_what_it_is_told(make_dataset, run_step):
    kept, card = run_step(
        filter, data=make_dataset(ROWS), rules=[{"language": {"keep": ["en", "de"], "min_score": 0.9}}]
    )
    assert [r["text"][:3] for r in kept.rows()] == ["The", "Der"]
    reasons = [r["reason"] for r in kept.select("dropped").rows()]
    assert reasons[0].startswith("language (other language): fr 0.9")
    assert card.metrics["dropped: language (other language)"] == 3
    kept, _ = run_step(filter, data=make_dataset(ROWS), rules=[{"language": {"keep": ["en"], "among": ["de"]}}])
    assert [r["text"][:2] for r in kept.rows()] == ["Th", "Le"]  # French, where it is said that there is none


def test_the_rule_on_real_declarations(test_data, make_dataset, run_step):
    def lines(name, encoding):
        text = (test_data / "web/udhr" / name).read_bytes().decode(encoding, "ignore")
        return [{"text": line, "of": name[:6]} for line in text.splitlines() if len(line) > 60]

    rows = lines("German_Deutsch-Latin1", "cp1252") + lines("Dutch_Nederlands-Latin1", "cp1252")
    rows += lines("Russian_Russky-UTF8", "utf-8")
    kept, card = run_step(filter, data=make_dataset(rows), rules=[{"language": {"keep": ["de", "ru"]}}])
    assert card.metrics["rows"] + card.metrics["rows_dropped"] == len(rows)
    assert {r["of"] for r in kept.rows()} == {"German", "Russia"}
    assert {r["of"] for r in kept.select("dropped").rows()} == {"Dutch_"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"languages": ["en", "klingon"]}, "does not know the language 'klingon'"),
    ],
)
def test_what_cannot_be_found_is_refused(make_dataset, run_step, settings, message):
    with pytest.raises(InputError, match=message):
        run_step(language, data=make_dataset(ROWS), **settings)


def test_a_rule_of_unknown_languages_is_refused(make_dataset, run_step):
    with pytest.raises(InputError, match="'xq'"):
        run_step(filter, data=make_dataset(ROWS), rules=[{"language": {"keep": ["xq"]}}])


def test_a_column_of_that_name_is_refused_before_any_work(make_dataset, run_step):
    data = make_dataset([{"text": "This is English text.", "language": "de"}])
    with pytest.raises(InputError, match="'language' of its own"):
        run_step(language, data=data)
    made, _ = run_step(language, data=data, name="detected")
    again, _ = run_step(language, data=made, name="detected")  # its own are made again
    assert [r["detected"] for r in again.rows()] == ["en"]
