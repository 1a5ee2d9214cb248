"""A page parses, escapes what it is given, and needs nothing from elsewhere."""

from __future__ import annotations

import re

import pytest

from loomwork.report.funnel import Stage, funnel
from loomwork.report.page import (
    Cell,
    Column,
    Compared,
    Details,
    Figure,
    KeyFigure,
    KeyFigures,
    Page,
    Paragraph,
    Ranked,
    Row,
    Ruled,
    Section,
    Table,
    Terminal,
    render,
)
from loomwork.report.svg import figure_style
from tests.report.html_checks import check_page

HOSTILE = '"><script>alert(1)</script>\x00\ud800\u202e{{ 7 * 7 }}<img src=https://x.example/a.png onerror=alert(1)>'


def hostile_page() -> Page:
    h = HOSTILE
    blocks = [
        Paragraph(h),
        KeyFigures([KeyFigure(h, h, h, h)]),
        Table([Column(h), Column(h, "number")], [Row([h, Cell(h, h, h, "bad")], strong=True)], h, h),
        Figure.of(lambda w: funnel([Stage(h, 3, {h: 1})], title=h, width=w), h),
        Figure(funnel([Stage(h, 3)], title=h), caption=h, natural=True),
        Figure(funnel([Stage(h, 3)], title=h)),
        Terminal([(h, h)]),
        Ruled(h, h, "bad", h, [(h, h)]),
        Compared(h, Ranked(h, [h, h], 1, h), Ranked(h, [], None, h), h),
    ]
    return Page(h, [Section(h, h, [*blocks, Details(h, blocks)])], h, h, "bad", blocks, [(h, h)], h)


def test_every_block_escapes_what_it_is_given():
    html = render(hostile_page())
    page = check_page(html)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "{{ 7 * 7 }}" in page.text  # shown, not run
    html.encode("utf-8")


def test_a_section_without_content_is_left_out():
    page = check_page(render(Page("t", [Section("Empty"), Section("Full", "A sentence.")])))
    assert "Full" in page.text
    assert "Empty" not in page.text


def test_tables_have_headers_for_columns_and_rows():
    table = Table([Column("system"), Column("n", "number")], [Row(["a", "3"]), Row([Cell("b"), "4"])], "Counts")
    page = check_page(render(Page("t", [Section("Scores", "", [table])])))
    assert page.scopes == ["col", "col", "row", "row"]
    assert "Counts" in page.text


def test_a_row_longer_than_its_columns_is_an_error():
    table = Table([Column("system")], [Row(["a", "b"])], "Counts")
    with pytest.raises(Exception, match="has no element"):
        render(Page("t", [Section("Scores", "", [table])]))


def test_the_same_page_has_the_same_bytes():
    assert render(hostile_page()) == render(hostile_page())


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_stands_out_from_its_ground(scheme):
    """At least 4.5 to 1 (WCAG 2.2, criterion 1.4.3), in light and in dark."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", figure_style().split("@media")[scheme]))
    pairs = [(ink, on) for ink in ("ink", "soft", "accent", "refuse") for on in ("paper", "raised")]
    pairs += [("ink", "wash"), ("accent", "wash"), ("ink", "refuse-wash"), ("soft", "refuse-wash"), ("paper", "accent")]
    for ink, on in pairs:
        light, dark = sorted((luminance(colours[ink]), luminance(colours[on])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, on)
