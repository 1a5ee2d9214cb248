"""Gates on metrics of sums, end to end: from files to a verdict."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loomwork.core.errors import InputError
from loomwork.core.score import Scores
from loomwork.evals._sums import sums_of, with_sums
from loomwork.evals.compare import compare
from loomwork.evals.glue import glue
from loomwork.metrics.classification import binary_f1


@pytest.fixture
def mrpc(tmp_path, run_step):
    """mrpc(share right) -> the scores of made predictions on made data in MRPC's format."""
    generator = np.random.default_rng(0)
    gold = generator.random(600) < 0.6
    data = tmp_path / "dev.tsv"
    head = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    data.write_text(head + "".join(f"{int(g)}\t{i}\t{i}\tone {i}\ttwo {i}\n" for i, g in enumerate(gold)))

    def make(right: float, seed: int) -> Scores:
        said = np.where(np.random.default_rng(seed).random(600) < right, gold, ~gold)
        file = tmp_path / f"said{seed}.tsv"
        file.write_text("index\tprediction\n" + "".join(f"{i}\t{int(s)}\n" for i, s in enumerate(said)))
        return run_step(glue, task="mrpc", data=data, predictions=file)[0]

    return make


def test_a_gate_on_f1(mrpc, run_step):
    good, alike, bad = mrpc(0.9, 1), mrpc(0.9, 2), mrpc(0.7, 3)
    verdict, _ = run_step(compare, candidate=bad, baseline=good, metric="f1", not_worse_than=0.02)
    assert verdict.ruling.decision == "refuse"
    assert verdict.ruling.numbers["difference"] == pytest.approx(bad.score("f1").value - good.score("f1").value)
    assert "paired BCa item bootstrap of sums" in verdict.ruling.reason
    assert "found 4 times in 5" in verdict.ruling.reason
    verdict, _ = run_step(compare, candidate=good, baseline=bad, metric="f1", better_than="5%")
    assert verdict.ruling.decision == "pass"
    assert verdict.ruling.numbers["low"] > verdict.ruling.numbers["margin"]
    verdict, _ = run_step(compare, candidate=alike, baseline=good, metric="f1", not_worse_than=0.1, better_than=0.2)
    assert verdict.ruling.decision == "refuse"
    verdict, _ = run_step(compare, candidate=good, baseline=good, metric="f1", not_worse_than=0.01)
    assert verdict.ruling.decision == "pass"
    assert verdict.ruling.numbers["difference"] == 0


def test_the_column_names_its_function_and_no_other_is_called(tmp_path):
    rows = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], float)
    items = with_sums(pa.table({"row_id": [b"a", b"b", b"c"]}), "f1", rows, binary_f1, scale=100)
    pq.write_table(items, tmp_path / "items.parquet")  # the name outlives the file
    sums, metric = sums_of(pq.read_table(tmp_path / "items.parquet"), "f1")
    assert metric(sums.sum(axis=0)) == pytest.approx(100 * 2 / 3)
    assert sums_of(items, "other") is None
    for path in ("os.system", "loomwork.metrics.classification._share", "", "loomwork.metrics.nothing_here"):
        field = pa.field("f1:sums", pa.list_(pa.float64()), metadata={"statistic": path})
        forged = pa.table([items.column("f1:sums")], schema=pa.schema([field]))
        with pytest.raises(InputError, match=r"names no function|is not there"):
            sums_of(forged, "f1")
    with pytest.raises(InputError, match=r"no function of loomwork\.metrics"):
        with_sums(items, "f1", rows, np.mean)
