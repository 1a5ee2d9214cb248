"""The sections of a run report about how it was made: training, data, cost, steps, lineage, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

from loomwork.export.run_words import ends, metric, rate, ratio, short_id, tones
from loomwork.report import numbers
from loomwork.report.curve import Line, line_chart
from loomwork.report.funnel import Stage, funnel
from loomwork.report.lineage import lineage_graph
from loomwork.report.lineage_list import lineage_list
from loomwork.report.page import Block, Cell, Column, Details, Figure, Row, Section, Table, Terminal
from loomwork.report.scatter import Mark, scatter

if TYPE_CHECKING:
    from loomwork.export.run_data import Curve, RunReport, StepRun


def training_section(report: RunReport) -> Section | None:
    if not report.curves:
        return None
    blocks: list[Block] = []
    for curve in report.curves:
        blocks.append(_curve(curve))
    return Section("Training", "Faint: every recorded value. Strong: its moving average.", blocks)


def _curve(curve: Curve) -> Figure:
    title = f"{curve.name} of {curve.step}"
    return Figure.of(lambda w: line_chart([Line("", curve.points)], title=title, y_label=title, width=w))


def data_section(report: RunReport) -> Section | None:
    if not report.data:
        return None
    stages = [Stage(s.name, s.kept, s.dropped) for s in report.data]
    lost = sum(s.lost for s in stages)
    blocks: list[Block] = [Figure.of(lambda w: funnel(stages, title="Rows kept and dropped per step", width=w))]
    columns = [Column("Step"), Column("Reason"), Column("Text")]
    rows = [Row([s.name, reason, text]) for s in report.data for reason, text in s.examples]
    if rows:
        blocks.append(Details("Examples of dropped rows", [Table(columns, rows, "Examples of dropped rows")]))
    lead = f"{numbers.count(lost, 'row')} {'was' if lost == 1 else 'were'} dropped, each with a reason, and kept aside."
    return Section("Data", lead, blocks)


def cost_section(report: RunReport) -> Section | None:
    if not report.costs:
        return None
    one = report.costs[0]
    tone = tones(report)
    columns = [Column("System"), Column("Size", "number"), Column("Texts per second", "number")]
    columns += [Column("Latency", "number")]
    rows = []
    for c in report.costs:
        first = c is one
        size = Cell(numbers.bytes_(c.bytes), "" if first else ratio(one.bytes, c.bytes))
        fast = Cell("not measured")
        if c.texts_per_second is not None:
            base = None if first else one.texts_per_second
            fast = Cell(rate(c.texts_per_second), ratio(base, c.texts_per_second) if base else "")
        late = "not measured" if c.latency_seconds is None else numbers.seconds(c.latency_seconds)
        rows.append(Row([c.system, size, fast, late], strong=tone(c.system) == "on"))
    blocks: list[Block] = [Table(columns, rows, f"The small figures compare with {one.system}")]
    pair = ends(report)
    quality = {s.system: s.score for s in report.scores if pair and s.score.name == pair[0].score.name}
    marks = [
        Mark(c.system, c.bytes, q.value, q.interval.low, q.interval.high, tone(c.system))
        for c in report.costs
        if (q := quality.get(c.system))
    ]
    if pair and len(marks) > 1:
        name = metric(pair[0].score)
        blocks.append(
            Figure.of(
                lambda w: scatter(
                    marks,
                    title=f"{name} against size",
                    x_label="size on disk",
                    y_label=name,
                    x_format=numbers.bytes_,
                    width=w,
                )
            )
        )
    return Section("Size and speed", f"Measured on this machine: {report.machine}.", blocks)


def steps_section(report: RunReport) -> Section | None:
    if not report.steps:
        return None
    columns = [Column("Step"), Column("Time", "number"), Column("Peak memory", "number")]
    columns += [Column("Rows in", "number"), Column("Rows out", "number"), Column("From")]

    def rows_of(count: int | None) -> str:
        return "" if count is None else numbers.plain(count)

    rows = [
        Row(
            [
                Cell(s.name, note=s.step),
                numbers.seconds(s.seconds),
                "" if s.peak_memory_bytes is None else numbers.bytes_(s.peak_memory_bytes),
                rows_of(s.rows_in),
                rows_of(s.rows_out),
                "an earlier run" if s.cached else "this run",
            ]
        )
        for s in report.steps
    ]
    told = _told(report.steps)
    blocks: list[Block] = [Table(columns, rows, "Steps in the order they ran")]
    if told:
        blocks.append(
            Details("What each step reported", [Table([Column("Step"), Column("Reported")], told, "Metrics and notes")])
        )
    cached = sum(s.cached for s in report.steps)
    lead = f"{numbers.count(len(rows), 'step')}, {cached} taken from an earlier run."
    return Section("Steps", lead, blocks)


def _told(steps: Sequence[StepRun]) -> list[Row]:
    rows = []
    for s in steps:
        metrics = ", ".join(f"{k.replace('_', ' ')} {numbers.plain(v)}" for k, v in s.metrics.items())
        if metrics or s.notes:
            rows.append(Row([s.name, Cell(metrics or s.notes[0], note=" ".join(s.notes if metrics else s.notes[1:]))]))
    return rows


def lineage_section(report: RunReport) -> Section | None:
    if not report.lineage_nodes:
        return None
    title = f"Lineage of {report.recipe}"
    wide = lineage_graph(report.lineage_nodes, report.lineage_edges, title=title)
    narrow = lineage_list(report.lineage_nodes, report.lineage_edges, title=title)
    return Section(
        "Lineage", "What was made from what. Each box is one artifact.", [Figure(wide, narrow, natural=True)]
    )


def provenance_section(report: RunReport) -> Section | None:
    blocks: list[Block] = []
    if report.artifacts:
        columns = [Column("Name"), Column("Artifact", "code"), Column("Kind"), Column("Size", "number")]
        rows = [
            Row(
                [
                    Cell(a.name or a.kind, note=a.made_by),
                    Cell(short_id(a.id), full=a.id),
                    a.kind,
                    numbers.bytes_(a.bytes),
                ]
            )
            for a in report.artifacts
        ]
        blocks.append(Table(columns, rows, "Every artifact of this run, and the step that made it"))
    digests = _measured(report)
    if digests:
        blocks.append(Details("What each score was measured on", digests))
    if report.settings:
        settings = [Row([k, v]) for k, v in report.settings.items()]
        blocks.append(Table([Column("Setting"), Column("Value", "code")], settings, "Settings of the recipe"))
    return (
        Section("Provenance", "An id is the hash of the bytes: the same id is the same thing.", blocks)
        if blocks
        else None
    )


def _measured(report: RunReport) -> list[Block]:
    columns = [Column("System"), Column("Metric"), *(Column(c, "code") for c in ("Data", "Model", "Settings"))]
    rows = [
        Row(
            [
                s.system,
                s.score.name,
                *(Cell(short_id(d), full=d) for d in (s.score.data, s.score.model, s.score.settings)),
            ]
        )
        for s in report.scores
    ]
    return [Table(columns, rows, "Digests of data, model and settings")] if rows else []


def reproduce_section(report: RunReport) -> Section:
    commands = [(f"loom run {quote(report.recipe_path)}", "Runs the recipe; what has not changed is not done again.")]
    if report.sample_row:
        commands.append((f"loom lineage {quote(report.sample_row)}", "Where one row came from and what it touched."))
    goal = next((n for n in report.names if n.moved), None)
    final = goal.artifact if goal else (report.artifacts[-1].id if report.artifacts else "")
    if final:
        commands.append(
            (
                f"loom remake {quote(short_id(final))}",
                "Makes the artifact again from its lineage and compares the bytes.",
            )
        )
    return Section("Reproduce", "", [Terminal(commands)])
