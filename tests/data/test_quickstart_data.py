"""The data half of the quickstart, on the Python that runs the tests."""

from __future__ import annotations

from loomwork.data.clean import clean
from loomwork.data.exact_dedup import exact_dedup
from loomwork.data.near_dedup import near_dedup
from loomwork.data.python_docs import THIS_PYTHON, python_docs
from loomwork.data.query_pairs import query_pairs
from loomwork.data.split import split


def test_the_documentation_of_this_python_becomes_pairs_split_by_module(run_step, record_property):
    steps = {"raw": run_step(python_docs)}
    steps["clean"] = run_step(clean, data=steps["raw"][0])
    steps["pairs"] = run_step(query_pairs, data=steps["clean"][0])
    steps["exact"] = run_step(exact_dedup, data=steps["pairs"][0].select("data"), columns=["query"], ignore_case=True)
    steps["near"] = run_step(near_dedup, data=steps["exact"][0].select("data"), column="passage")
    steps["split"] = run_step(split, data=steps["near"][0].select("data"), group="module", holdout=0.1)
    for name, (_, card) in steps.items():
        record_property(name, card.metrics)
        print(name, card.metrics)
    raw, clean_card, pairs, exact, near = (steps[n][1].metrics for n in ("raw", "clean", "pairs", "exact", "near"))
    sides = steps["split"][0]
    train, held = (list(sides.select(part).rows()) for part in ("train", "holdout"))
    assert raw["rows"] > 3000
    assert clean_card["rows"] + clean_card["rows_dropped"] == raw["rows"]
    assert pairs["rows"] + pairs["rows_dropped"] == clean_card["rows"]
    assert exact["rows"] + exact["rows_dropped"] == pairs["rows"]
    assert near["rows"] + near["rows_dropped"] == exact["rows"]
    assert len(train) + len(held) == near["rows"] > 2500
    assert not {r["module"] for r in train} & {r["module"] for r in held}
    assert 0.08 * near["rows"] < len(held) < 0.15 * near["rows"]
    assert len({r["module"] for r in held}) >= 8
    assert all(len(r["query"].split()) >= 4 and r["passage"] for r in train + held)

    documents = {r["row_id"]: r for r in steps["clean"][0].rows()}
    for row in train[:50] + held[:50]:
        (origin,) = row["origin_ids"]
        assert documents[origin]["name"] == row["name"]


def test_reading_the_same_python_twice_gives_the_same_bytes(run_step):
    folder = THIS_PYTHON / "email"
    assert run_step(python_docs, path=folder)[0].id == run_step(python_docs, path=folder)[0].id
