"""Labels of rows survive the steps."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.data.clean import clean
from loomwork.data.exact_dedup import exact_dedup
from loomwork.data.filter import filter as filter_step
from loomwork.data.redact import redact
from loomwork.data.split import split


@pytest.fixture
def labelled(make_dataset, tmp_path) -> Dataset:
    rows = [{"text": f"text {i % 37}" + " \r\n" * (i % 5 == 0) + "\0" * (i % 11 == 0), "n": i} for i in range(100)]
    plain, out = make_dataset(rows), tmp_path / "labelled"
    out.mkdir()
    with DatasetWriter(out) as w:
        for shard, table in zip(plain.shards(), plain.tables(), strict=True):
            w.extend(shard, pa.table({"label": pc.multiply(table["n"], 2)}), "label")
    return Dataset(out)


@pytest.mark.parametrize(
    ("step", "settings"),
    [
        (split, {"holdout": 0.3}),
        (split, {"holdout": 0.3, "group": "label"}),
        (clean, {"min_chars": 7}),
        (exact_dedup, {"columns": ["text"]}),
        (exact_dedup, {"columns": ["label", "text"]}),
        (filter_step, {"rules": [{"expression": {"keep": "label > 50"}}]}),
        (redact, {}),
    ],
)
def test_labels_survive(labelled, run_step, step, settings):
    after, _ = run_step(step, data=labelled, **settings)
    rows = [r for part in after.parts for r in after.select(part).rows()]
    assert sorted(r["n"] for r in rows) == list(range(100))
    assert all(r["label"] == 2 * r["n"] for r in rows)
    assert all((after.path / f"{part}+label").is_dir() for part in after.parts)
