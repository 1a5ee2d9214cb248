"""Paragraphs between blank lines of any kind, and what is left as it was."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loomwork.data.paragraph_dedup import paragraph_dedup

PASSAGE = "This paragraph stands in several texts, and is longer than the eighty characters that are looked at at all."


def cut(run_step, make_dataset, texts, **more):
    """The texts after the step, by their numbers, and what was cut."""
    rows = [{"text": text, "n": n} for n, text in enumerate(texts)]
    made, card = run_step(paragraph_dedup, data=make_dataset(rows), **more)
    return {r["n"]: r["text"] for r in made.select("data").rows()}, card


def test_blank_lines_of_windows_and_with_spaces_are_borders(make_dataset, run_step):
    texts = [
        f"B\r\n\r\n{PASSAGE}\r\n\r\nC",
        f"D\r\n\r\n{PASSAGE}\r\n\r\nE\r\nE \r\n\r\n\r\nE",
        f"F \n \n{PASSAGE}\n\t\nG\n\n",
        f"{PASSAGE}\r\n\r\n  H",
        f"I\n\n{PASSAGE}\r\n",
        "J\r\n\r\nK",
    ]
    found, card = cut(run_step, make_dataset, texts)
    assert card.metrics["paragraphs_cut"] == 4
    assert found == {
        0: texts[0],
        1: "D\r\n\r\nE\r\nE \r\n\r\n\r\nE",
        2: "F \n\t\nG\n\n",
        3: "  H",
        4: "I",
        5: texts[5],
    }


def test_lines_of_windows_lose_no_part_of_their_ends(make_dataset, run_step):
    found, card = cut(run_step, make_dataset, ["a\r\nsame\r\nb\r\nsame", "same\r\n\r\nc"], unit="line", min_chars=2)
    assert (found, card.metrics["lines_cut"]) == ({0: "a\r\nsame\r\nb", 1: "\r\nc"}, 2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text("aé \r\n\t", max_size=14), min_size=1, max_size=6),
    unit=st.sampled_from(["paragraph", "line"]),
)
@pytest.mark.parametrize("min_chars", [1, 2])
def test_equals_the_definition_paragraph_by_paragraph(texts, unit, min_chars, make_dataset, run_step):
    border = re.compile(r"(\r?\n(?:[^\S\n]*\n)+)" if unit == "paragraph" else r"(\r?\n)")
    seen, expected = set(), {}
    for n, text in enumerate(texts):
        parts = ["", *border.split(text)]  # borders and pieces in turn
        left = []
        for before, piece in zip(parts[::2], parts[1::2], strict=True):
            folded = " ".join(piece.split()).lower()
            if len(folded) < min_chars or folded not in seen:
                left.append((before if left else "") + piece)
            if len(folded) >= min_chars:
                seen.add(folded)
        whole = len(left) == len(parts) // 2
        if whole or "".join(left).strip():
            expected[n] = text if whole else "".join(left)
    rows = [{"text": text, "n": n} for n, text in enumerate(texts)]
    made, _ = run_step(paragraph_dedup, data=make_dataset(rows), unit=unit, min_chars=min_chars)
    found = {r["n"]: r["text"] for r in made.select("data").rows()} if "data" in made.parts else {}
    assert found == expected
