"""The run report of a realistic run: everything that was measured is shown, with what makes it believable."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from loomwork.core.score import Ruling
from loomwork.export.run_data import Curve, Example, Gate, Named, RunReport
from loomwork.export.run_report import write_run_report
from loomwork.report.lineage import Node
from tests.export.sample_run import sample_run, score
from tests.report.html_checks import Parsed, check_page

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def show(tmp_path: Path):
    def make(report: RunReport) -> Parsed:
        path = write_run_report(report, tmp_path / "reports" / "run.html")
        return check_page(path.read_text(encoding="utf-8"))

    return make


def words(page: Parsed) -> str:
    return " ".join(page.text.split())


def test_every_score_is_shown_with_its_interval_and_n(show):
    text = words(show(sample_run()))
    for s in sample_run().scores:
        value, low, high = (f"{v:.3f}" for v in (s.score.value, s.score.interval.low, s.score.interval.high))
        row = f"{s.system} {value} [{low}, {high}] 704 in 28 modules {s.score.contamination}"
        assert row in text
    assert "95% intervals by cluster bootstrap, 2000 draws, seed 7." in text


def test_a_refusal_is_shown_with_its_reason(show):
    text = words(show(sample_run()))
    for gate in sample_run().gates:
        assert gate.ruling.reason in text
    assert "Refused int8 naive" in text
    assert "int8 naive was refused." in text
    assert "3 verdicts: 2 passed, 1 refused." in text


def test_the_headline_has_quality_before_and_after_size_and_speed(show):
    text = words(show(sample_run()))
    assert "docs-search@champion is now int8 calibrated." in text
    assert "0.513 → 0.590" in text
    assert "+0.077 [+0.038, +0.107] over MiniLM, n = 704 in 28 modules" in text
    assert "90.9 MB → 24.6 MB 27% of MiniLM" in text
    assert "61.2 → 128 2.1× MiniLM" in text


def test_a_name_that_was_not_moved_is_said_first(show):
    held = Named(name="docs-search@champion", artifact="0" * 64, system="int8 naive", decision="refuse", moved=False)
    text = words(show(dataclasses.replace(sample_run(), names=(held,))))
    assert "docs-search@champion was not moved to int8 naive: the gate refused." in text


def test_dropped_rows_artifacts_and_commands_are_shown(show):
    report = sample_run()
    text = words(show(report))
    assert "1,154 rows were dropped, each with a reason, and kept aside." in text
    assert "291 too short" in text
    for artifact in report.artifacts:
        assert artifact.id[:12] in text
    assert "loom run recipes/quickstart.yaml" in text
    assert f"loom lineage {report.sample_row}" in text
    assert f"loom remake {report.names[0].artifact[:12]}" in text


def test_a_right_passage_that_was_not_found_is_still_named(show):
    example = Example(query="q", right="the answer", before=("a", "b"), after=("b", "c"))
    text = words(show(dataclasses.replace(sample_run(), examples=(example,))))
    assert "not in the first 2" in text
    assert "Right: the answer" in text


def test_sections_without_data_are_left_out(show):
    bare = RunReport(
        recipe="bare", recipe_path="a b.yaml", started="today", seconds=0.0, machine="one core", version="0.1.0"
    )
    page = show(bare)
    assert "Scores" not in page.text
    assert "Lineage" not in page.text
    assert "svg" not in page.tags
    assert "loom run 'a b.yaml'" in page.text


@pytest.mark.parametrize("part", [f.name for f in dataclasses.fields(RunReport) if f.default == ()])
def test_each_part_may_be_missing(show, part):
    show(dataclasses.replace(sample_run(), **{part: ()}))


def test_hostile_text_stays_text(show):
    report = sample_run()
    h = HOSTILE
    ruling = Ruling("refuse", h, 0.05, {h: 1.0})
    page = show(
        dataclasses.replace(
            report,
            recipe=h,
            recipe_path=h,
            machine=h,
            settings={h: h},
            scores=(dataclasses.replace(report.scores[0], system=h, score=score(h, 0.5, 0.4, 0.6, note=h, name=h)),),
            gates=(Gate(name=h, subject=h, ruling=ruling),),
            steps=tuple(dataclasses.replace(s, name=h, step=h, notes=(h,), metrics={h: 1.0}) for s in report.steps),
            data=tuple(dataclasses.replace(d, name=h, dropped={h: 1}, examples=((h, h),)) for d in report.data),
            curves=(Curve(step=h, name=h, points=((1, 2.0), (2, float("nan")))),),
            examples=(Example(query=h, right=h, before=(h,), after=()),),
            lineage_nodes=(Node(h, h, h, h, "refused"),),
            lineage_edges=((h, h),),
            sample_row=h,
        )
    )
    assert "script" not in page.tags
    assert page.text.count(h) > 20
    assert "1 not finite, left out" in page.text
    assert page.text.count("Refused") >= 1
