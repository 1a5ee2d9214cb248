"""The step: what happens to rows, shards, ids, the Card and the ledger."""

from __future__ import annotations

import pytest

from bench._personal import labelled
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
from loomwork.data.redact import redact

NAME = "LOOMWORK_TEST_KEY"
KEY = "3f9a0c77d1e24b5896f0ab13cd57e2048b6d1f93a5c7e80b"
TEXTS = [
    "write to jane@acme.io or bob@acme.io",
    "nothing here",
    None,
    "",
    "card 4111 1111 1111 1111 of jane@acme.io",
    "at 8.8.8.8",
]


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv(NAME, KEY)
    return NAME


def test_rows_ids_and_counts(make_dataset, run_step):
    data = make_dataset([{"text": text, "n": n} for n, text in enumerate(TEXTS)])
    made, card = run_step(redact, data=data, kinds={"email": "mask", "card": "drop", "ip": "mask"})
    old = {row["n"]: row for row in data.rows()}
    kept = list(made.select("data").rows())
    assert [row["n"] for row in kept] == [0, 1, 2, 3, 5]
    assert [row["text"] for row in kept] == ["write to [EMAIL] or [EMAIL]", "nothing here", None, "", "at [IP]"]
    for row in kept:
        if row["n"] in (0, 5):
            assert row["row_id"] != old[row["n"]]["row_id"]
            assert row["origin_ids"] == [old[row["n"]]["row_id"]]
        else:
            assert row == old[row["n"]]
    (dropped,) = made.select("dropped").rows()
    assert dropped["reason"] == "personal data: card"
    assert {name: dropped[name] for name in old[4]} == old[4]
    assert card.metrics == {
        "rows": 5,
        "rows_dropped": 1,
        "dropped: personal data": 1,
        "rows_changed": 2,
        "found: email": 3,
        "found: card": 1,
        "found: ip": 1,
    }
    again, card = run_step(redact, data=made.select("data"))
    assert list(again.rows()) == kept
    assert card.metrics["rows_changed"] == 0


def test_the_reason_of_a_dropped_row_names_all_kinds_and_no_value(make_dataset, run_step):
    data = make_dataset([{"text": "jane@acme.io 4111 1111 1111 1111 8.8.8.8"}, {"text": "x"}])
    made, _ = run_step(redact, data=data, kinds={"email": "drop", "card": "drop", "ip": "mask"})
    assert [row["reason"] for row in made.select("dropped").rows()] == ["personal data: card, email"]


def test_shards_without_findings_are_shared_and_order_is_kept(tmp_path, run_step):
    (tmp_path / "in").mkdir()
    with DatasetWriter(tmp_path / "in", shard_rows=3) as writer:
        for n in range(9):
            writer.write([{"text": f"row {n} jane@acme.io" if n in (4, 7) else f"row {n}", "n": n}])
    data = Dataset(tmp_path / "in")
    made, _ = run_step(redact, data=data)
    assert [row["n"] for row in made.rows()] == list(range(9))
    assert made.shards()[0].stat().st_ino == data.shards()[0].stat().st_ino


def test_every_row_dropped_or_kept_once(make_dataset, run_step):
    rows = [{"text": sample.text} for sample in labelled(2, seed=11)]
    data = make_dataset(rows)
    made, card = run_step(redact, data=data, mode="drop")
    assert card.metrics["rows"] + card.metrics["rows_dropped"] == len(rows)
    kept = {row["row_id"] for row in made.select("data").rows()}
    dropped = {row["row_id"] for row in made.select("dropped").rows()}
    assert kept | dropped == {row["row_id"] for row in data.rows()}
    assert not kept & dropped


def test_same_input_same_bytes(make_dataset, run_step, key):
    data = make_dataset([{"text": sample.text} for sample in labelled(2, seed=12)])
    first, _ = run_step(redact, data=data, mode="pseudonymise", key_from=key)
    second, _ = run_step(redact, data=data, mode="pseudonymise", key_from=key)
    assert [s.read_bytes() for s in first.shards()] == [s.read_bytes() for s in second.shards()]


def test_sidecars_stay_with_their_rows(tmp_path, make_dataset, run_step):
    data = make_dataset([{"text": text} for text in TEXTS])
    (tmp_path / "scored").mkdir()
    with DatasetWriter(tmp_path / "scored") as writer:
        writer.extend(data.shards()[0], [{"score": n} for n in range(len(TEXTS))], "quality")
    made, _ = run_step(redact, data=Dataset(tmp_path / "scored"), kinds={"email": "mask", "card": "drop"})
    assert [(row["text"], row["score"]) for row in made.select("data").rows()] == [
        ("write to [EMAIL] or [EMAIL]", 0),
        ("nothing here", 1),
        (None, 2),
        ("", 3),
        ("at 8.8.8.8", 5),
    ]
    assert [row["score"] for row in made.select("dropped").rows()] == [4]


def test_kinds_leave_and_allow(make_dataset, run_step):
    data = make_dataset([{"text": "jane@acme.io help@acme.io 8.8.8.8"}])
    for settings, text in (
        ({"kinds": ["email"]}, "[EMAIL] [EMAIL] 8.8.8.8"),
        ({"leave": ["email"]}, "jane@acme.io help@acme.io [IP]"),
        ({"allow": ["help@*"]}, "[EMAIL] help@acme.io [IP]"),
        ({"allow": ["*"]}, "jane@acme.io help@acme.io 8.8.8.8"),
    ):
        made, card = run_step(redact, data=data, **settings)
        assert [row["text"] for row in made.rows()] == [text]
        assert card.metrics["rows_changed"] == (text != "jane@acme.io help@acme.io 8.8.8.8")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ["emial"]}, "did you mean 'email'"),
        ({"leave": ["emial"]}, "did you mean 'email'"),
        ({"kinds": ["email"], "leave": ["email"]}, "no kind is left"),
        ({"mode": "pseudonymise"}, "pseudonyms need a key"),
        ({"mode": "pseudonymise", "key_from": "LOOMWORK_TEST_NO_KEY"}, "is not set"),
        ({"regions": ["UK"]}, "no region 'UK'"),
        ({"column": "txt"}, "did you mean 'text'"),
        ({"column": "n"}, "where text is needed"),
    ],
)
def test_settings_that_cannot_be_are_refused(make_dataset, run_step, settings, message):
    data = make_dataset([{"text": "a", "n": 1}])
    with pytest.raises(InputError, match=message):
        run_step(redact, data=data, **settings)


def test_a_column_of_nulls_is_carried(make_dataset, run_step):
    data = make_dataset([{"text": None, "n": 1}, {"text": None, "n": 2}])
    made, card = run_step(redact, data=data)
    assert list(made.rows()) == list(data.rows())
    assert card.metrics["rows"] == 2


def test_a_line_of_ten_megabytes(make_dataset, run_step):
    """Of every shape that makes backtracking searches quadratic: it ends, and what stands at its end is found."""
    shapes = ["a", "1", "1 ", "a@", "a.b@c.", "(0 1-", "GB82 ", "x:", "://a:b", "password=", "eyJhbGciOi.", "ab:cd:"]
    size = 2_000_000 // len(shapes)
    text = "words of no interest " * 400_000 + " ; ".join((shape * size)[:size] for shape in shapes)
    made, _ = run_step(redact, data=make_dataset([{"text": text + " jane@acme.io"}]))
    (row,) = made.rows()
    assert row["text"].endswith(" [EMAIL]")
    assert len(row["text"]) > 9_000_000


def test_values_and_key_are_in_neither_card_nor_ledger_nor_log(tmp_path, key):
    (tmp_path / "in.jsonl").write_text('{"text": "jane.doe@acme.io, card 4111 1111 1111 1111"}\n{"text": "y"}\n')
    home = Home(tmp_path / "home")
    steps = {
        "raw": {"use": "data.read", "path": str(tmp_path / "in.jsonl")},
        "safe": {"use": "data.redact", "data": "$raw", "mode": "pseudonymise", "key_from": key},
        "few": {"use": "data.redact", "data": "$raw", "kinds": {"card": "drop"}},
    }
    result = run_recipe({"recipe": "r", "steps": steps}, home=home)
    assert not result.failed
    outside = [f for f in (tmp_path / "home").rglob("*") if f.is_file() and "store" not in f.parts]
    assert any(b"found: card" in f.read_bytes() for f in outside)
    for file in outside:
        content = file.read_bytes()
        assert b"jane.doe" not in content, file
        assert b"4111 1111" not in content, file
        assert KEY.encode() not in content, file
    for file in (tmp_path / "home").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def test_what_is_left_on_purpose_is_counted(make_dataset, run_step):
    text = "ann@example.com, bob@mail.example.org at 10.0.0.7, 192.168.1.20 and 192.0.2.1, key AKIAIOSFODNN7EXAMPLE"
    made, card = run_step(redact, data=make_dataset([{"text": text}, {"text": "jane@acme.io at 8.8.8.8"}]))
    assert [row["text"] for row in made.rows()] == [text, "[EMAIL] at [IP]"]
    left = {name: n for name, n in card.metrics.items() if name.startswith("left")}
    assert left == {"left: example domain": 2, "left: special address": 3, "left: example key": 1}
