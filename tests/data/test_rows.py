"""What holds of every step that keeps, changes or drops rows: none is lost, none comes from nowhere."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.data.balance import balance
from loomwork.data.clean import clean
from loomwork.data.exact_dedup import exact_dedup
from loomwork.data.filter import filter as filter_step
from loomwork.data.paragraph_dedup import paragraph_dedup
from loomwork.data.query_pairs import query_pairs
from loomwork.data.redact import redact
from loomwork.data.split import split
from loomwork.data.substring_dedup import substring_dedup

texts = st.none() | st.text("ab. \n\r\x00é", max_size=12)
corpora = st.lists(st.tuples(texts, st.sampled_from("uvwx")), min_size=1, max_size=25)


def write(rows, folder: Path, shard_rows: int = 4) -> Dataset:
    folder.mkdir()
    with DatasetWriter(folder, shard_rows=shard_rows) as writer:
        for i, (text, group) in enumerate(rows):
            writer.write([{"text": text, "group": group, "n": i}])
    return Dataset(folder)


def call(step, data: Dataset, **arguments) -> Dataset:
    out = Path(tempfile.mkdtemp(dir=data.path.parent))
    step(data, out=out, **arguments)
    return Dataset(out)


def every_row(data: Dataset) -> list[dict]:
    return [row for part in data.parts if part != "cut" for row in data.select(part).rows()]


def check_rows(before: Dataset, after: Dataset) -> None:
    """Kept and dropped rows together stand for each input row once."""
    given_ids = sorted(r["row_id"] for r in before.rows())
    stand_for = []
    for row in every_row(after):
        carried = row["row_id"] in given_ids
        assert carried or len(row["origin_ids"]) == 1
        stand_for.append(row["row_id"] if carried else row["origin_ids"][0])
    assert sorted(stand_for) == given_ids
    texts = {r["row_id"]: r["text"] or "" for r in before.rows()} if "cut" in after.parts else {}
    for cut in after.select("cut").rows() if texts else ():
        assert cut["text"] in texts[cut["origin_ids"][0]]
    for part in after.parts:
        order = [r["n"] for r in after.select(part).rows() if "n" in r]
        assert order == sorted(order)


@pytest.mark.parametrize(
    ("step", "arguments"),
    [
        (clean, {}),
        (clean, {"min_chars": 3}),
        (filter_step, {"rules": [{"length": {"min_words": 2}}]}),
        (paragraph_dedup, {"unit": "line", "min_chars": 1}),
        (substring_dedup, {"words": 2}),
        (redact, {"mode": "drop", "kinds": ["email"]}),
        (balance, {"column": "group", "method": "undersample"}),
        (exact_dedup, {"columns": ["text"]}),
        (exact_dedup, {"columns": ["text", "group"], "ignore_case": True}),
        (query_pairs, {"min_words": 1, "carry": ("n",)}),
    ],
    ids=lambda x: getattr(x, "__name__", "-".join(map(str, x)) if isinstance(x, dict) else None),
)
@settings(max_examples=25, deadline=None)
@given(rows=corpora)
def test_kept_and_dropped_rows_are_the_input_rows(step, arguments, rows):
    with tempfile.TemporaryDirectory() as folder:
        before = write(rows, Path(folder) / "in")
        check_rows(before, call(step, before, **arguments))


@settings(max_examples=40, deadline=None)
@given(rows=corpora, holdout=st.floats(0.05, 0.95), seed=st.integers(0, 5), grouped=st.booleans())
def test_a_split_keeps_every_row_once_and_groups_whole(rows, holdout, seed, grouped):
    with tempfile.TemporaryDirectory() as folder:
        before = write(rows, Path(folder) / "in")
        sizes = Counter(group for _, group in rows).values() if grouped else [1] * len(rows)
        if not grouped and round(holdout * len(rows)) in (0, len(rows)):
            with pytest.raises(InputError, match="empty"):
                call(split, before, holdout=holdout, seed=seed)
            return
        if grouped and (len(sizes) == 1 or min(sizes) > 1.5 * holdout * len(rows) or holdout > 0.5):
            return  # may have to be refused
        after = call(split, before, holdout=holdout, seed=seed, group="group" if grouped else None)
        check_rows(before, after)
        train, held = (list(after.select(p).rows()) for p in ("train", "holdout"))
        assert train
        assert held
        if grouped:
            assert not {r["group"] for r in train} & {r["group"] for r in held}
        else:
            assert abs(len(held) - holdout * len(rows)) <= 0.5 + 1e-9


@settings(max_examples=25, deadline=None)
@given(rows=corpora)
def test_exact_dedup_agrees_with_a_dictionary_and_is_idempotent(rows):
    with tempfile.TemporaryDirectory() as folder:
        before = write(rows, Path(folder) / "in")
        once = call(exact_dedup, before, columns=["text", "group"])
        firsts = {row: i for i, row in reversed(list(enumerate(rows)))}
        assert [r["n"] for r in once.select("data").rows()] == sorted(firsts.values())
        twice = call(exact_dedup, once.select("data"), columns=["text", "group"])
        assert list(twice.rows()) == list(once.select("data").rows())
        assert twice.parts == ["data"]


def test_exact_dedup_says_of_which_row(make_dataset, run_step):
    data = make_dataset([{"text": "A"}, {"text": "b"}, {"text": "a"}])
    same, card = run_step(exact_dedup, data=data, columns=["text"])
    assert (len(same), card.metrics["rows_dropped"]) == (3, 0)
    folded, card = run_step(exact_dedup, data=data, columns=["text"], ignore_case=True)
    first = next(r for r in data.rows() if r["text"] == "A")
    (dropped,) = folded.select("dropped").rows()
    assert dropped["reason"] == f"duplicate: of {first['row_id'].hex()}"
    assert card.metrics["dropped: duplicate"] == 1
    with pytest.raises(InputError, match="did you mean 'text'"):
        run_step(exact_dedup, data=data, columns=["txt"])
    with pytest.raises(InputError, match="plain values"):
        run_step(exact_dedup, data=make_dataset([{"text": ["a"]}]), columns=["text"])


def test_a_clean_shard_is_shared_and_a_changed_row_names_its_origin(make_dataset, run_step):
    data = make_dataset([{"text": "as it is"}])
    kept, card = run_step(clean, data=data)
    assert kept.shards()[0].stat().st_ino == data.shards()[0].stat().st_ino
    assert card.metrics["rows_changed"] == 0
    data = make_dataset([{"text": "as it is"}, {"text": "dirty \r\n"}, {"text": None}, {"text": "\x00"}])
    changed, card = run_step(clean, data=data)
    before, after = list(data.rows()), list(changed.select("data").rows())
    assert after[0] == before[0]
    assert (after[1]["text"], after[1]["origin_ids"]) == ("dirty", [before[1]["row_id"]])
    assert after[1]["row_id"] != before[1]["row_id"]
    assert card.metrics["dropped: empty text"] == 2
    with pytest.raises(InputError, match="where text is needed"):
        run_step(clean, data=make_dataset([{"text": 3}]))
    with pytest.raises(InputError, match="no rows"):
        run_step(clean, data=make_dataset([]))


def test_query_pairs_of_functions_and_pages(make_dataset, run_step):
    rows = [
        {
            "text": "Return the\nnumber of items.  Slow.\n\nReally.",
            "name": "m.f",
            "signature": "(a)",
            "kind": "function",
        },
        {"text": "Loops\n*****\n\nA loop repeats its body. See also.", "name": "for", "signature": "", "kind": "topic"},
        {"text": "Too short.", "name": "m.g", "signature": "", "kind": "function"},
    ]
    data, card = run_step(query_pairs, data=make_dataset(rows))
    pairs = list(data.select("data").rows())
    assert [(p["query"], p["passage"]) for p in pairs] == [
        ("Return the number of items.", "m.f(a) Slow. Really."),
        ("A loop repeats its body.", "for Loops See also."),
    ]
    assert (pairs[0]["name"], pairs[0]["kind"]) == ("m.f", "function")
    assert card.metrics["dropped: first sentence too short"] == 1
    _, card = run_step(query_pairs, data=make_dataset(rows[:2]))
    assert (card.metrics["rows"], card.metrics["rows_dropped"]) == (2, 0)


def test_a_split_depends_on_its_seed_and_not_on_row_order(make_dataset, run_step):
    rows = [{"text": str(i), "group": f"g{i % 20}"} for i in range(200)]
    sides = []
    for given_rows, seed in ((rows, 7), (rows[::-1], 7), (rows, 8)):
        made, _ = run_step(split, data=make_dataset(given_rows), group="group", seed=seed)
        sides.append({r["group"] for r in made.select("holdout").rows()})
    assert sides[0] == sides[1] != sides[2]
    assert [len(s) for s in sides] == [2, 2, 2]


def test_a_split_passes_over_a_group_that_is_far_too_large(make_dataset, run_step):
    rows = [{"g": "large", "n": i} for i in range(90)] + [{"g": f"s{i}", "n": i} for i in range(10)]
    for seed in range(4):
        made, _ = run_step(split, data=make_dataset(rows), group="g", seed=seed)
        assert "large" not in {r["g"] for r in made.select("holdout").rows()}
    with pytest.raises(InputError, match="leaves holdout empty"):
        run_step(split, data=make_dataset(rows[:90]), group="g")
