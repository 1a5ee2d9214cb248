from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval import scheme as strict
from seqeval.metrics.sequence_labeling import get_entities

from loomwork.metrics.entities import entities, entity_counts, f1, precision, recall, tag_codes

TAGS = ["O", "B-a", "I-a", "E-a", "S-a", "B-b", "I-b", "E-b", "S-b"]
sentences = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=7), min_size=1, max_size=4)


def starts_of(tags):
    starts = np.zeros(sum(map(len, tags)), dtype=bool)
    starts[np.cumsum([0, *map(len, tags)])[:-1]] = True
    return starts


def ours(tags, scheme="conlleval"):
    types = {"a": 0, "b": 1}
    flat = [t for sentence in tags for t in sentence]
    found = entities(*tag_codes(flat, types), starts_of(tags), scheme)
    return [(int(s), int(e), "ab"[k]) for s, e, k in found]


def conlleval(tags):
    """startOfChunk and endOfChunk of the script, token by token, with a boundary after each sentence."""
    found, place = [], 0
    for sentence in tags:
        before, type_before, begun = "O", "", None
        for i, tag in enumerate([*sentence, "O"]):
            now, _, kind = tag.partition("-")
            end = (before, now) in {
                *(("B", x) for x in "BSO"),
                *(("I", x) for x in "BSO"),
                *(("E", x) for x in "BIESO"),
                *(("S", x) for x in "BIESO"),
            } or (before != "O" and type_before != kind)
            start = (
                now in ("B", "S")
                or (before, now) in {("E", "E"), ("E", "I"), ("S", "E"), ("S", "I"), ("O", "E"), ("O", "I")}
                or (now != "O" and type_before != kind)
            )
            if begun is not None and end:
                found.append((place + begun, place + i - 1, type_before))
                begun = None
            if start:
                begun = i
            before, type_before = now, kind
        place += len(sentence)
    return found


@given(sentences)
def test_the_lenient_reading_is_conllevals(tags):
    assert ours(tags) == conlleval(tags)


@settings(deadline=None)
@given(sentences, st.sampled_from(["IOB1", "IOB2", "BIOES", "conlleval"]))
def test_every_reading_is_seqevals(tags, scheme):
    if scheme == "conlleval":
        assert ours(tags[:1]) == [(start, end, kind) for kind, start, end in get_entities(tags[0])]
        return
    allowed = {"IOB1": "OBI", "IOB2": "OBI", "BIOES": "OBIES"}[scheme]
    tags = [[t if t[0] in allowed else "O" for t in sentence] for sentence in tags]
    kind = {"IOB1": strict.IOB1, "IOB2": strict.IOB2, "BIOES": strict.IOBES}[scheme]
    place = np.cumsum([0, *map(len, tags)]).tolist()
    found = enumerate(strict.Entities(tags, kind).entities)
    assert ours(tags, scheme) == [(place[i] + e.start, place[i] + e.end - 1, e.tag) for i, of in found for e in of]


@pytest.mark.parametrize(("scheme", "theirs"), [("IOB1", strict.IOB1), ("IOB2", strict.IOB2), ("BIOES", strict.IOBES)])
def test_every_short_sentence_is_read_as_seqeval_reads_it(scheme, theirs):
    """All of them: what is ill-formed is rare in random ones."""
    allowed = [tag for tag in TAGS if scheme == "BIOES" or tag[0] in "OBI"]
    for length in (1, 2, 3):
        for tags in itertools.product(allowed, repeat=length):
            (found,) = strict.Entities([list(tags)], theirs).entities
            assert ours([tags], scheme) == [(e.start, e.end - 1, e.tag) for e in found], tags


@pytest.mark.parametrize(
    ("scheme", "tags", "expected"),
    [
        ("conlleval", "I-a I-a O I-b B-b", [(0, 1, "a"), (3, 3, "b"), (4, 4, "b")]),
        ("IOB2", "I-a I-a O B-b I-b I-a", [(3, 4, "b")]),
        ("IOB1", "I-a I-a B-a I-b O", [(0, 1, "a"), (2, 2, "a"), (3, 3, "b")]),
        ("IOB1", "B-a I-a I-a O B-b I-a", [(1, 2, "a"), (5, 5, "a")]),  # a B with nothing of its type before it
        ("BIOES", "B-a I-a E-a S-b B-a I-a O B-b E-a", [(0, 2, "a"), (3, 3, "b")]),
        ("BIOES", "S-a I-a E-a", [(0, 0, "a")]),
    ],
)
def test_schemes_by_example(scheme, tags, expected):
    assert ours([tags.split()], scheme) == expected


def test_no_entity_runs_into_the_next_sentence():
    assert ours([["B-a", "I-a"], ["I-a", "O"]]) == [(0, 1, "a"), (2, 2, "a")]
    assert ours([["B-a", "I-a"], ["I-a", "O"]], "IOB2") == [(0, 1, "a")]


@given(st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=6), min_size=1))
def test_counts_are_those_of_sets_of_entities(pairs):
    gold, said = ([[p[side] for p in sentence] for sentence in pairs] for side in (0, 1))
    types = {"a": 0, "b": 1}
    starts = starts_of(gold)
    found = [entities(*tag_codes([t for s in tags for t in s], types), starts) for tags in (gold, said)]
    total = entity_counts(*found, starts, 2).sum(axis=(0, 1))
    right, theirs = set(conlleval(gold)), set(conlleval(said))
    assert total.tolist() == [len(right & theirs), len(theirs), len(right)]
    sums = total.astype(float)
    assert float(precision(sums)) == (len(right & theirs) / len(theirs) if theirs else 0)
    assert float(recall(sums)) == (len(right & theirs) / len(right) if right else 0)
    assert 0 <= float(f1(sums)) <= 1
