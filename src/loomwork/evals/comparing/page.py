"""The page of a comparison, made from its JSON alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from loomwork.evals.comparing.table import shown_setting, strictest
from loomwork.report import numbers
from loomwork.report.curve import Line, line_chart
from loomwork.report.forest import Estimate, forest_plot
from loomwork.report.page import (
    Block,
    Cell,
    Column,
    Details,
    Figure,
    KeyFigure,
    KeyFigures,
    Page,
    Paragraph,
    Row,
    Section,
    Table,
    Verdict,
    render,
)

WORDS: dict[str, Verdict] = {"checked": "good", "clean subset given": "good", "unknown": "open"}
CLEAN = ", clean subset"


def comparison_page(report: dict[str, Any]) -> str:
    """One HTML file that needs nothing else."""
    first, *others = report["systems"]
    sections = [
        _scores(report),
        _settings(report),
        _differences(report),
        _slices(report),
        _calibration(report),
        _contamination(report),
        _items(report),
    ]
    lead, verdict = _lead(report)
    page = Page(
        title=" and ".join([first, *others]) if len(others) < 3 else f"{len(others) + 1} systems",
        kicker="Comparison",
        lead=lead,
        lead_verdict=verdict,
        facts=[("Compared with", first), ("Metric", report["metrics"][0])],
        blocks=[KeyFigures(_figures(report))],
        sections=[s for s in sections if s is not None],
        footer="Made by Loomwork. This file is complete: it loads nothing from elsewhere. Its numbers stand in "
        "comparison.json beside it.",
    )
    return render(page)


def _of(report: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    return [s for s in report["scores"] if s["name"] == metric]


def _figures(report: dict[str, Any]) -> list[KeyFigure]:
    metric = report["metrics"][0]
    return [
        KeyFigure(
            f"{s['system']}, {metric}", numbers.plain(s["value"]), note=_interval(s["interval"]) + f", n = {s['n']:,}"
        )
        for s in _of(report, metric)
    ]


def _lead(report: dict[str, Any]) -> tuple[str, Verdict]:
    """The first metric's largest difference, in a sentence."""
    own = [d for d in report["differences"] if d["metric"] == report["metrics"][0]]
    found = max(own, key=lambda d: abs(d["difference"]))
    if found["adjusted"] > report["alpha"]:
        return f"{found['words']}.", "open"
    return f"{found['words']}.", "good" if found["difference"] > 0 else "bad"


def _forest(rows: Sequence[Estimate], title: str, x_label: str, caption: str, *, zero: bool = False) -> Figure:
    return Figure.of(lambda w: forest_plot(rows, title=title, x_label=x_label, zero=zero, width=w), caption)


def _estimate(score: dict[str, Any]) -> Estimate:
    interval = score["interval"]
    return Estimate(score["system"], score["value"], interval["low"], interval["high"], note=f"n = {score['n']:,}")


def _interval(interval: dict[str, Any]) -> str:
    digits = numbers.decimals_for(interval["low"], interval["high"])
    return f"[{numbers.plain(interval['low'], digits)}, {numbers.plain(interval['high'], digits)}]"


def _scores(report: dict[str, Any]) -> Section:
    blocks: list[Block] = []
    for metric in report["metrics"]:
        own = _of(report, metric)
        rows = [_estimate(s) for s in own]
        label = f"{metric}, {own[0]['direction']}"
        blocks.append(_forest(rows, label, label, _ways(own)))
    blocks.append(Details("Where each number comes from", [_provenance(report)]))
    return Section("Scores", "Each system by itself, with its interval.", blocks)


def _ways(scores: Sequence[dict[str, Any]]) -> str:
    ways = dict.fromkeys(f"{s['interval']['level']:.0%} by {s['interval']['method']}" for s in scores)
    return f"Intervals: {'; '.join(ways)}."


def _provenance(report: dict[str, Any]) -> Table:
    columns = [Column("System"), Column("Score"), Column("n", "number"), Column("Clusters"), Column("Data", "code")]
    columns += [Column("Model", "code"), Column("Settings", "code")]
    rows = [
        Row(
            [
                s["system"],
                s["name"],
                f"{s['n']:,}" + (f" ({s['failed']:,} failed)" if s["failed"] else ""),
                f"{s['n_clusters']:,} by {s['cluster_unit']}",
                *(Cell(s[k][:12], full=s[k]) for k in ("data", "model", "settings")),
            ]
        )
        for s in report["scores"]
    ]
    return Table(columns, rows, "Digests of data, model and settings")


def _settings(report: dict[str, Any]) -> Section | None:
    """How each system was scored: what differs first, and strong."""
    found, names = report["settings"], report["systems"]
    keys = sorted(dict.fromkeys(k for own in found["of"].values() for k in own), key=lambda k: k not in found["differ"])
    if not keys and not found["words"]:
        return None
    rows = [
        Row([key, *(_setting(found["of"][n].get(key)) for n in names)], strong=key in found["differ"]) for key in keys
    ]
    table: list[Block] = [Table([Column("Setting"), *map(Column, names)], rows, "Settings")] if rows else []
    lead = (
        f"Not all were scored alike: {found['words']}." if found["words"] else "All were scored with the same settings."
    )
    return Section("Settings", lead, table if found["words"] else [Details("Which", table)])


def _setting(value: Any) -> Cell:
    text = shown_setting(value)
    return Cell(text[:12], full=text) if re.fullmatch(r"[0-9a-f]{64}", text) else Cell(text)


def _differences(report: dict[str, Any]) -> Section:
    blocks: list[Block] = []
    for metric in report["metrics"]:
        own = [d for d in report["differences"] if d["metric"] == metric]
        rows = [
            Estimate(
                d["system"],
                d["difference"],
                d["low"],
                d["high"],
                note=f"p = {d['adjusted']:.3g}",
                tone="plain" if d["adjusted"] > report["alpha"] else "on" if d["difference"] > 0 else "off",
            )
            for d in own
        ]
        label = f"difference in {metric} from {own[0]['baseline']}, plus is better"
        found = "; ".join(dict.fromkeys(f"{d['method']}, {d['n']:,} items" for d in own))
        effect = ", ".join(f"{d['minimum_detectable_effect']:.4f}" for d in own)
        caption = f"{own[0]['level']:.0%} intervals: {found}. A true difference of {effect} is found 4 times in 5"
        caption += strictest(len(report["differences"])) + "."
        caption += "".join(f" Compared with {d['system']}, {d['left_out']}." for d in own if d["left_out"])
        blocks.append(_forest(rows, label, label, caption, zero=True))
    count = len(report["differences"])
    lead = "All systems were given the same items, so each item is compared with itself."
    if count > 1:
        lead += f" The p-values are adjusted for {count} comparisons (Holm)."
    return Section("Paired differences", lead, blocks)


def _slices(report: dict[str, Any]) -> Section | None:
    found = report["slices"]
    if not found:
        return None
    blocks: list[Block] = [Paragraph(f"{name}: {words}.") for name, words in found["worst"].items()]
    for by in dict.fromkeys(r["by"] for r in found["rows"]):
        own = [r for r in found["rows"] if r["by"] == by]
        order = sorted(dict.fromkeys(r["value"] for r in own), key=_place)
        own.sort(key=lambda r: (order.index(r["value"]), report["systems"].index(r["system"])))
        rows = [
            Estimate(
                f"{r['value']}",
                r["score"],
                r["low"],
                r["high"],
                note=f"{r['system']}, n = {r['n']:,}",
                tone="off" if r["adjusted"] <= report["alpha"] and r["difference"] < 0 else "plain",
            )
            for r in own
        ]
        label = f"{found['metric']} by {by}"
        blocks.append(
            _forest(
                rows,
                label,
                found["metric"],
                f"{label}. Marked: worse than the rest beyond chance, adjusted over all slices (Holm).",
            )
        )
    lead = "The same score on parts of the items."
    if found["left_out"]:
        lead += f" {numbers.count(found['left_out'], 'slice')} with too few items are left out."
    return Section("Slices", lead, blocks)


def _place(value: str) -> float:
    """Slices of numbers in their order, the others as they come (the worst first)."""
    first = value.partition(" to ")[0]
    try:
        return float(first)
    except ValueError:
        return 0.0


def _calibration(report: dict[str, Any]) -> Section | None:
    found = report["calibration"]
    if not found:
        return None
    curves = {
        c["system"]: Line(c["system"], [(b["confidence"], b["accuracy"]) for b in c["bins"]], smooth=False)
        for c in found
    }
    ideal = Line("perfect", [(0.0, 0.0), (1.0, 1.0)], smooth=False)
    first = report["systems"][0]
    blocks: list[Block] = [
        # One chart a system: with all in one, nobody could tell the lines apart.
        _curves([*([curves[first]] if first in curves else []), curve, ideal])
        for name, curve in curves.items()
        if name != first or len(curves) == 1
    ]
    label = f"expected calibration error ({found[0]['unit']}), {found[0]['direction']}"
    blocks.append(_forest([_estimate(c) for c in found], label, label, _ways(found)))
    lead = "How often answers are right, by how sure the model was of them."
    if silent := [n for n in report["systems"] if n not in curves]:
        lead += f" Not said by: {', '.join(silent)}."
    return Section("Calibration", lead, blocks)


def _curves(lines: Sequence[Line]) -> Figure:
    def draw(width: int) -> Any:
        return line_chart(
            lines, title="Calibration curve", x_label="confidence in the answer", y_label="share right", width=width
        )

    return Figure.of(draw, f"{' and '.join(ln.name for ln in lines[:-1])}: share right in bins of confidence.")


def _contamination(report: dict[str, Any]) -> Section:
    columns = [Column("System"), Column("Word"), Column("Items found", "number"), Column("Longest run", "number")]
    rows = []
    blocks: list[Block] = []
    for c in report["contamination"]:
        word = Cell(c["word"], note=c["note"], verdict=WORDS[c["word"]])
        rows.append(Row([c["system"], word, f"{c['found']:,}" if "found" in c else "not looked for", _words(c)]))
    caption = "Test items in the training data that the ledger knows"
    blocks.append(
        Table(columns, rows, caption, "An item is found where 13 of its words in a row, or all of them, stand there.")
    )
    clean = _clean(report)
    if clean:
        blocks.append(clean)
    for c in report["contamination"]:
        if c.get("examples"):
            shown: Sequence[Block] = [Paragraph(f"“{text}”") for text in c["examples"]]
            blocks.append(Details(f"Runs that {c['system']} has seen", shown))
    return Section("Contamination", "What of the test the models may have been trained on.", blocks)


def _words(c: dict[str, Any]) -> str:
    return numbers.count(c["longest"], "word") if "longest" in c else ""


def _clean(report: dict[str, Any]) -> Table | None:
    """Scores of all items beside those of the items that were not found."""
    rows = []
    for s in report["clean"]:
        name = s["name"].removesuffix(CLEAN)
        whole = next((w for w in report["scores"] if w["system"] == s["system"] and w["name"] == name), None)
        if whole:
            sides = [
                Cell(numbers.plain(x["value"]), note=f"{_interval(x['interval'])}, n = {x['n']:,}") for x in (whole, s)
            ]
            rows.append(Row([s["system"], whole["name"], *sides]))
    if not rows:
        return None
    columns = [Column("System"), Column("Score"), Column("All items", "number"), Column("Clean subset", "number")]
    return Table(columns, rows, "With and without the items that were found")


def _items(report: dict[str, Any]) -> Section:
    found, names = report["items"], report["systems"]
    columns = [Column("Item"), Column("Right answer"), *(Column(n) for n in names), Column("Row", "code")]
    blocks: list[Block] = []
    for kind, rows in found["groups"].items():
        shown = [
            Row(
                [
                    r["text"],
                    r["target"],
                    *(_answer(r["answers"][n], r["values"][n]) for n in names),
                    Cell(r["row_id"][:12], full=r["row_id"]),
                ]
            )
            for r in rows
        ]
        if shown:
            count = found["counts"][kind]
            part = f", {len(shown):,} shown" if len(shown) < count else ""
            title = f"{kind}: {numbers.count(count, 'item')}{part}"
            blocks.append(Details(title, [Table(columns, shown, f"{kind}, by {found['metric']}")]))
    lead = "; ".join(f"{kind}: {count:,}" for kind, count in found["counts"].items())
    return Section("Items side by side", f"{lead}.", blocks)


def _answer(text: str, value: float | None) -> Cell:
    shown = "" if value is None else numbers.plain(value)
    return Cell(text or shown, note=shown if text else "")
