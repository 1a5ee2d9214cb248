from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loomwork.models.scoring.plan import Trunk, batches, plan
from loomwork.models.scoring.spans import Span

sequences = st.lists(st.lists(st.integers(1, 3), min_size=2, max_size=9), min_size=1, max_size=14)


def walk(trunk: Trunk, before: list[int]):
    """Every row with the tokens of the trunks below it."""
    if trunk.row is not None:
        yield trunk.row, before
        before = [*before, *trunk.row.ids.tolist()]
    for row in trunk.rows:
        yield row, before
    for child in trunk.trunks:
        yield from walk(child, before)


@given(sequences, st.data(), st.sampled_from([0.01, 1.0, 30.0, 1e6]), st.booleans())
def test_every_target_is_asked_once_after_its_own_tokens(ids, data, pairs_per_token, share):
    spans = list(
        {s.key: s for s in (Span(np.array(i, np.int32), data.draw(st.integers(1, len(i) - 1))) for i in ids)}.values()
    )
    # sequences this short would never be worth a trunk: many copies of the first token make them so
    root = plan(spans, pairs_per_token=pairs_per_token, share=share)
    asked: dict[int, list[int]] = {}
    for row, before in walk(root, []):
        sees = row.sees()
        assert (row.positions >= len(before)).all()
        for need, target, number in zip(row.pair_needs, row.pair_targets, row.pair_spans, strict=True):
            at = row.needs[need]
            read = before + row.ids[np.flatnonzero(sees[at])].tolist()
            assert row.positions[at] == len(read) - 1
            span = spans[number]
            assert read == span.ids[: len(read)].tolist()
            assert target == span.ids[len(read)]
            asked.setdefault(number, []).append(len(read))
    for number, span in enumerate(spans):
        assert sorted(asked[number]) == list(range(span.start, len(span.ids)))
    if not share:
        assert not root.trunks
        assert all((r.sees() == np.tri(len(r), dtype=bool)).all() for r in root.rows)


def span(*ids, start=1):
    return Span(np.array(ids, np.int32), start)


def test_a_long_prefix_of_many_is_a_trunk_and_a_short_context_is_not():
    shots = list(range(1000, 1300))
    questions = [[*shots, *range(100 * q, 100 * q + 60)] for q in range(8)]
    spans = [span(*q, *range(5000 + c, 5012 + c), start=len(q)) for q in questions for c in range(4)]
    root = plan(spans, pairs_per_token=1000.0)
    (trunk,) = root.trunks
    assert not root.rows
    assert trunk.end == 300
    assert len(trunk.rows) == 8
    assert root.tokens() == 300 + 8 * (60 + 4 * 11)


def test_a_thousand_prefixes_of_one_another_are_one_row():
    ids = list(range(1, 1500))
    spans = [span(*ids[:n], start=n - 1) for n in range(2, 1500)]
    root = plan(spans, pairs_per_token=100.0)
    assert root.tokens() == 1498
    assert len(root.rows) + len(root.trunks) == 1


def test_batches_hold_every_row_once_within_the_budget():
    spans = [span(n, *range(10, 10 + 3 * n)) for n in range(1, 40)]
    rows = plan(spans, pairs_per_token=100.0, share=False).rows
    seen = []
    for batch in batches(rows, 200):
        assert len(batch) == 1 or len(batch) * max(len(r) for r in batch) <= 200
        seen += [id(r) for r in batch]
    assert sorted(seen) == sorted(id(r) for r in rows)


def test_no_spans_make_an_empty_plan():
    assert plan([], pairs_per_token=1.0).tokens() == 0
