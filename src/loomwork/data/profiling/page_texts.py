"""The sections about texts: lengths, duplicates, quality, personal data, diversity, examples."""

from __future__ import annotations

from typing import Any

from loomwork.data.profiling.page_rows import sample_words
from loomwork.data.profiling.skew import percent
from loomwork.report import numbers
from loomwork.report.bars import Bar, bar_chart
from loomwork.report.histogram import histogram
from loomwork.report.page import Block, Cell, Column, Details, Figure, KeyFigure, KeyFigures, Row, Section, Table


def lengths_section(report: dict[str, Any]) -> Section | None:
    text = report.get("text")
    if not text:
        return None
    characters, words = text["characters"], text["words"]
    bars = characters["histogram"]
    median = characters["quantiles"]["0.5"]
    plot = Figure.of(
        lambda w: histogram(
            bars["edges"], bars["counts"], title="Lengths of the texts", x_label="characters of a text",
            y_label="texts", mark=(median, f"median {numbers.plain(median)}"), width=w,
        )
    )  # fmt: skip
    columns = [
        Column("Length"),
        *(Column(t, "number") for t in ("Shortest", "5 %", "25 %", "Median", "75 %", "95 %", "Longest", "Mean")),
    ]
    rows = [
        Row(
            [
                name,
                *(numbers.plain(v) for v in (x["low"], *x["quantiles"].values(), x["high"])),
                numbers.plain(round(x["mean"], 1)),
            ]
        )
        for name, x in (("Characters", characters), ("Words", words))
    ]
    note = "Quantiles are right to 1 %. Words are what stands between white space."
    lead = f"{numbers.count(text['texts'], 'text')}"
    lead += f", and {numbers.count(text['empty'], 'row')} without text." if text["empty"] else ", one in every row."
    return Section("Lengths", lead, [plot, Table(columns, rows, "All texts", note)])


def duplicates_section(report: dict[str, Any]) -> Section | None:
    if "text" not in report:
        return None
    exact, near = report["text"]["exact_duplicates"], report["sampled"]["near_duplicates"]
    figures = [
        KeyFigure(
            "Exact duplicates", percent(exact["share"]), note="of all texts" + ("" if exact["exact"] else ", estimated")
        ),
        KeyFigure(
            "Near-duplicates",
            percent(near["share"]),
            note=f"{sample_words(report)}, 95 % [{percent(near['low'])}, {percent(near['high'])}]",
        ),
    ]
    if near["groups"]:
        groups = f"of {numbers.count(near['groups'], 'group')} of near-duplicates"
        figures.append(KeyFigure("Largest group", numbers.count(near["largest_group"], "text"), note=groups))
    lead = "Rows that deduplication would drop. "
    lead += f"Near: a Jaccard similarity of word 5-grams of {near['threshold']} or more."
    if not report["sampled"]["all"]:
        lead += " A sample sees fewer near-duplicates than the whole: both of a pair must be in it."
    return Section("Duplicates", lead, [KeyFigures(figures)])


def quality_section(report: dict[str, Any]) -> Section | None:
    sampled = report.get("sampled")
    if not sampled:
        return None
    quality, readable = sampled["quality"], sampled["readability"]
    blocks: list[Block] = [_gopher(quality)]
    if readable:
        blocks += _readability(readable)
    outside = percent(quality["outside"] / quality["texts"])
    lead = (
        f"{outside} {sample_words(report)} lie outside of at least one of Gopher's limits, made for English web pages."
    )
    return Section("Quality", lead, blocks)


def _gopher(quality: dict[str, Any]) -> Table:
    def span(q: dict[str, Any]) -> str:
        low, high = (numbers.plain(v) if v is not None else "" for v in (q["low"], q["high"]))
        return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"

    columns = [Column("Quantity"), *(Column(t, "number") for t in ("5 %", "Median", "95 %", "Limit", "Outside"))]
    rows = [
        Row(
            [
                q["name"],
                *(_three(q["quantiles"][k]) for k in ("0.05", "0.5", "0.95")),
                span(q),
                percent(q["outside"] / quality["texts"]),
            ]
        )
        for q in quality["quantities"]
    ]
    return Table(columns, rows, "Gopher's quantities", "Rae et al. (2021), Scaling language models, appendix A.1.")


def _three(value: float) -> str:
    """Three digits of a quantity."""
    return numbers.plain(round(value)) if value >= 100 else f"{value:.3g}"


def _readability(readable: dict[str, Any]) -> list[Block]:
    median, grade = readable["reading_ease"]["0.5"], readable["grade"]["0.5"]
    bars = readable["histogram"]
    words = (
        f"{numbers.count(readable['texts'], 'English text')} with 100 words or more. "
        "The outer bars hold what lies beyond. "
        f"60 to 70 is plain English, under 30 hard. Median Flesch-Kincaid grade: {grade:.1f} years of US school. "
        "Other languages are not measured: the formulas are fitted to English."
    )
    if bars is None:
        return []
    plot = Figure.of(
        lambda w: histogram(
            bars["edges"], bars["counts"], title="Flesch reading ease", x_label="Flesch reading ease, higher is easier",
            y_label="texts", mark=(median, f"median {median:.0f}"), width=w,
        ),
        words,
    )  # fmt: skip
    return [plot]


def personal_section(report: dict[str, Any]) -> Section | None:
    found = (report.get("sampled") or {}).get("personal")
    if not found:
        return None
    share = percent(found["with_any"] / found["texts"])
    interval = f"95 % [{percent(found['low'])}, {percent(found['high'])}]"
    lead = f"{share} {sample_words(report)} hold what looks like personal data or a secret, {interval}."
    if not found["kinds"]:
        return Section("Personal data", lead)
    bars = [
        Bar(
            k["kind"],
            k["texts"] / found["texts"],
            f"{percent(k['texts'] / found['texts'])} · {numbers.plain(k['texts'])}",
        )
        for k in found["kinds"]
    ]
    plot = Figure.of(
        lambda w: bar_chart(bars, title="Texts with personal data, by kind", width=w),
        "Share and number of texts with at least one, by kind.",
    )
    return Section("Personal data", lead, [plot])


def variety_section(report: dict[str, Any]) -> Section | None:
    found = (report.get("sampled") or {}).get("variety")
    if not found:
        return None
    ratios = [d for d in found["distinct"] if d["ngrams"]]
    rows = [
        Row(
            [
                Cell(f"Distinct-{d['n']}", "different n-grams of words by all"),
                f"{d['ratio']:.3f}",
                f"{numbers.plain(d['ngrams'])} n-grams",
            ]
        )
        for d in ratios
    ]
    rows.append(
        Row(
            [
                Cell("Compression ratio", "bytes by bytes after DEFLATE; more is more repetitive"),
                f"{found['compression_ratio']:.2f}",
                "at most 8 MB",
            ]
        )
    )
    vendi = found["vendi"]
    if vendi:
        low, high = min(vendi["scores"]), max(vendi["scores"])
        middle = sum(vendi["scores"]) / len(vendi["scores"])
        about = "meaning (embeddings)" if vendi["kernel"] == "embeddings" else "shared words and word pairs"
        draws = f"{numbers.count(len(vendi['scores']), 'draw')} of {numbers.count(vendi['texts'], 'text')}"
        spread = f", {low:.1f} to {high:.1f}" if len(vendi["scores"]) > 1 else ""
        rows.append(
            Row(
                [
                    Cell("Vendi score", f"how many unlike texts there are in effect, by {about}"),
                    f"{middle:.1f}",
                    f"{draws}{spread}",
                ]
            )
        )
    clusters = found["clusters"]
    if clusters:
        rows.append(
            Row(
                [
                    Cell("Effective clusters", "as even as so many equally large ones"),
                    f"{clusters['effective']:.1f}",
                    f"of {clusters['k']}; {numbers.count(clusters['texts'], 'text')}",
                ]
            )
        )
    table = Table(
        [Column("Measure"), Column("Value", "number"), Column("Of", "number")], rows, "Diversity of the sample"
    )
    blocks: list[Block] = [table]
    if clusters:
        blocks.append(_topics(clusters))
    return Section(
        "Diversity",
        "Compare these numbers between datasets measured alike: they depend on how much is measured.",
        blocks,
    )


def _topics(clusters: dict[str, Any]) -> Details:
    rows = [
        Row([percent(c["share"]), Cell(", ".join(c["words"]) or "no word stands out", note=_short(c["example"], 140))])
        for c in clusters["clusters"]
    ]
    table = Table(
        [Column("Share", "number"), Column("Typical words, and a text near the middle")],
        rows,
        f"k-means on {clusters['vectors']}",
    )
    return Details(f"The {clusters['k']} clusters, with their typical words", [table])


def examples_section(report: dict[str, Any]) -> Section | None:
    found = (report.get("sampled") or {}).get("examples")
    if not found:
        return None
    rows = [
        Row([Cell(e["why"], _example_note(e)), numbers.plain(e["chars"]), Cell(_beginning(e["text"], e["chars"]))])
        for e in found
    ]
    table = Table(
        [Column("Why"), Column("Characters", "number"), Column("Beginning of the text")],
        rows,
        "Rows are counted from 0",
    )
    lead = (
        "Random texts, the longest and shortest of all rows, and those whose pairs of bytes are rarest in the sample."
    )
    return Section("Examples", lead, [table])


def _example_note(example: dict[str, Any]) -> str:
    odd = f", {example['bits_per_byte']:.1f} bits a byte" if "bits_per_byte" in example else ""
    return f"row {numbers.plain(example['row'])}{odd}"


def _beginning(text: str, chars: int) -> str:
    return " ".join(text.split()) + ("…" if chars > len(text) else "")


def _short(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
