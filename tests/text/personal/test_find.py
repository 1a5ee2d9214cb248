"""Spans of several kinds in one text, and columns against single texts."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench._personal import labelled, negatives
from loomwork.core.errors import InputError
from loomwork.text.personal.find import Detector, Span, detectors, find, find_all, joined, kinds, version

ALL = detectors()
SAMPLES = [sample.text for sample in labelled(3, seed=1)] + [sample.text for sample in negatives(3, seed=1)]


def fixed(kind: str, priority: int, *spans: tuple[int, int]) -> Detector:
    """A detector that always finds the same."""
    return Detector(kind, lambda text: iter(spans), "", "", priority, str, None)


def test_the_longest_of_overlapping_spans_gives_the_kind_and_no_end_stays():
    text = "x" * 30
    short, long = fixed("short", 9, (0, 6)), fixed("long", 0, (4, 20))
    assert joined(text, [short, long]) == [Span(0, 20, "long")]
    equal = fixed("equal", 1, (4, 20))
    assert joined(text, [long, equal]) == [Span(4, 20, "equal")]
    assert joined(text, [equal, fixed("same", 1, (4, 20))]) == [Span(4, 20, "equal")]
    beside = fixed("beside", 0, (6, 9))
    assert joined(text, [short, beside]) == [Span(0, 6, "short"), Span(6, 9, "beside")]
    inner = fixed("inner", 5, (5, 8), (10, 12))
    assert joined(text, [long, inner]) == [Span(4, 20, "long")]


def test_a_password_in_a_url_is_not_taken_for_an_address():
    text = "postgres://app:s3cr3tpw@db.acme.io/x"
    assert [(s.kind, text[s.start : s.end]) for s in find(text, ALL)] == [("url_secret", "app:s3cr3tpw")]


def test_a_column_gives_what_each_text_gives():
    """The prefilters run in Rust over a column, in Python over one text, and neither may hide a finding."""
    column = pl.Series([None, "", *SAMPLES, "nothing here"])
    by_row = {row: spans for row, _, spans in find_all(column, ALL)}
    assert list(by_row) == sorted(by_row)
    for row, text in enumerate(column):
        without_prefilters = joined(text or "", ALL)
        assert by_row.get(row, []) == find(text or "", ALL) == without_prefilters, text
    assert len(by_row) > 200


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(SAMPLES) | st.text(max_size=12), max_size=4).map("".join))
def test_prefilters_and_gates_hide_nothing_in_any_text(text):
    assert find(text, ALL) == joined(text, ALL)
    column = list(find_all(pl.Series([text.encode("utf-8", "replace").decode()]), ALL))
    assert [spans for *_, spans in column] == [s for s in [joined(text.encode("utf-8", "replace").decode(), ALL)] if s]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="0123456789 -.+()/:@abcxyzABXYZ=?&#'\"\n\ud800é漢", max_size=200))
def test_spans_are_in_order_and_apart_in_any_text(text):
    spans = find(text, ALL)
    assert all(0 <= s.start < s.end <= len(text) for s in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))


def test_lone_surrogates_and_null_bytes_do_no_harm():
    text = "\ud800 jane@acme.io \x00 \udfff 8.8.8.8"
    assert [s.kind for s in find(text, ALL)] == ["email", "ip"]


def test_unknown_kinds_and_regions_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'email'"):
        detectors(["emial"])
    with pytest.raises(InputError, match="no region 'UK'"):
        detectors(["phone"], ["UK"])


def test_kinds_are_the_files_in_the_folder():
    assert {"email", "phone", "ip", "mac", "card", "iban", "url_secret", "api_key", "private_key", "password"} <= set(
        kinds()
    )
    assert "phonenumbers" in version()


def test_without_the_library_only_phones_are_refused(monkeypatch):
    import sys

    from loomwork.core.errors import MissingDependency

    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    assert len(detectors(["email", "card"])) == 2
    with pytest.raises(MissingDependency, match=r"pip install 'loomwork\[curate\]'"):
        detectors(["phone"])
