"""The page of a profile, made from its JSON alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loomwork.data.profiling import page_compared as compared
from loomwork.data.profiling import page_rows as rows
from loomwork.data.profiling import page_texts as texts
from loomwork.data.profiling import page_tokens as tokens
from loomwork.report import numbers
from loomwork.report.page import KeyFigure, KeyFigures, Page, Ruled, Section, render

SECTIONS = (
    texts.lengths_section,
    rows.languages_section,
    rows.sources_section,
    rows.labels_section,
    texts.duplicates_section,
    texts.quality_section,
    texts.personal_section,
    texts.variety_section,
    compared.target_section,
    compared.people_section,
    tokens.tokenizers_section,
    rows.columns_section,
    texts.examples_section,
)


def write_page(report: dict[str, Any], path: Path) -> None:
    """Write the profile as one HTML file that needs nothing else.

    Args:
        report: the profile as `profile.json` holds it.
        path: of the file.
    """
    path.write_text(render(profile_page(report)), encoding="utf-8")


def profile_page(report: dict[str, Any]) -> Page:
    """The profile as a page of sections."""
    found = len(report["warnings"])
    about = ", ".join(dict.fromkeys(w["about"] for w in report["warnings"]))
    lead = f"To look at: {about}." if found else "Nothing passes a limit of this page."
    return Page(
        title=f"{numbers.count(report['rows'], 'row')}",
        kicker="Dataset profile",
        lead=lead,
        lead_verdict="open" if found else "good",
        facts=_facts(report),
        blocks=[KeyFigures(_figures(report))],
        sections=[_warnings(report), *(s for make in SECTIONS if (s := make(report)) is not None)],
        footer="Made by Loomwork. This file is complete: it loads nothing from elsewhere. Measures that say so were "
        "taken on a random sample; the numbers of this page stand in profile.json beside it.",
    )


def _facts(report: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [("Part", report["part"])]
    facts += [(role.capitalize(), f"column {name}") for role, name in report["roles"].items() if name]
    sampled = report.get("sampled")
    if sampled:
        whole = "all rows" if sampled["all"] else f"{numbers.count(sampled['rows'], 'row')} at random"
        facts += [("Sample", f"{whole}, seed {report['seed']}")]
        if sampled["cut"]:
            facts += [("Cut", f"{numbers.count(sampled['cut'], 'sampled text')} after 10,000 characters")]
    return facts


def _figures(report: dict[str, Any]) -> list[KeyFigure]:
    text = report.get("text")
    if not text:
        return [
            KeyFigure("Rows", numbers.plain(report["rows"])),
            KeyFigure("Columns", numbers.plain(len(report["columns"]))),
        ]
    characters, words = text["characters"], text["words"]
    return [
        KeyFigure("Size of the texts", numbers.bytes_(text["bytes"]), note="UTF-8"),
        KeyFigure("Characters", numbers.short(characters["total"]), note=_middle(characters)),
        KeyFigure("Words", numbers.short(words["total"]), note=f"between white space; {_middle(words)}"),
    ]


def _middle(lengths: dict[str, Any]) -> str:
    return f"median {numbers.plain(lengths['quantiles']['0.5'])} a text"


def _warnings(report: dict[str, Any]) -> Section:
    blocks = [Ruled("", w["about"], "open", w["text"]) for w in report["warnings"]]
    return Section("To look at", "" if blocks else "No share, ratio or rate passes its limit.", blocks)
