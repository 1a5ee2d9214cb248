"""The section about tokenizers."""

from __future__ import annotations

from typing import Any

from loomwork.data.profiling.skew import percent
from loomwork.report import numbers
from loomwork.report.forest import Estimate, forest_plot
from loomwork.report.page import Block, Cell, Column, Details, Figure, Row, Section, Table


def tokenizers_section(report: dict[str, Any]) -> Section | None:
    found = report.get("tokenizers")
    if not found:
        return None
    blocks: list[Block] = [_side_by_side(found)]
    words = [t for t in found if t["all"]["per_word"]]
    if words:
        rows = [Estimate(t["name"], *(t["all"]["per_word"][k] for k in ("value", "low", "high"))) for t in words]
        blocks.append(
            Figure.of(
                lambda w: forest_plot(
                    rows, title="Fertility", x_label="tokens to a word (fertility), lower is shorter", width=w
                ),
                "95 % intervals by a bootstrap over texts. Languages that do not separate words are left out.",
            )
        )
    for group, told in (("languages", "language"), ("sources", "source")):
        tables = [_by_group(t, group, told) for t in found if t[group]]
        if tables:
            blocks.append(Details(f"By {told}", tables))
    texts = found[0]["all"]["texts"]
    return Section(
        "Tokenizers", f"The same {numbers.count(texts, 'text')} of the sample for each, without control tokens.", blocks
    )


def _side_by_side(found: list[dict[str, Any]]) -> Table:
    columns = [
        Column("Tokenizer"),
        *(
            Column(t, "number")
            for t in (
                "Tokens to a word",
                "Words in pieces",
                "Tokens to a character",
                "Bytes to a token",
                "Unknown",
                "Pieces of characters",
            )
        ),
    ]
    rows = [Row([Cell(t["name"], f"{numbers.plain(t['vocabulary'])} tokens"), *_cells(t["all"])]) for t in found]
    note = (
        "Unknown tokens lose their text. Pieces of characters are single bytes, or bytes that are no whole characters."
    )
    return Table(columns, rows, "Tokenizers side by side", note)


def _by_group(tokenizer: dict[str, Any], group: str, told: str) -> Table:
    columns = [
        Column(told.capitalize()),
        *(
            Column(t, "number")
            for t in (
                "Tokens to a word",
                "Words in pieces",
                "Tokens to a character",
                "Bytes to a token",
                "Unknown",
                "Pieces of characters",
            )
        ),
    ]
    rows = [Row([Cell(r["group"], numbers.count(r["texts"], "text")), *_cells(r)]) for r in tokenizer[group]]
    return Table(columns, rows, f"{tokenizer['name']}, by {told}")


def _cells(rates: dict[str, Any]) -> list[Cell | str]:
    def ratio(name: str, share: bool = False) -> Cell | str:
        r = rates[name]
        if r is None:
            return "–"
        if share:
            return percent(r["value"])
        return Cell(f"{r['value']:.3g}", f"[{r['low']:.3g}, {r['high']:.3g}]")

    return [
        ratio("per_word"), ratio("split_words", share=True), ratio("per_character"), ratio("bytes_per_token"),
        percent(rates["unknown"]), percent(rates["byte_pieces"]),
    ]  # fmt: skip
