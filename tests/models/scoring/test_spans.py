"""How texts are cut, held to lm-evaluation-harness 0.4.13 (its code where it is installed, its rules elsewhere)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.models.scoring.requests import LogLikelihood, Rolling
from loomwork.models.scoring.spans import Cutter

lengths = (st.integers(0, 60), st.integers(2, 12))


class Counting:
    """A tokenizer of which each character is a token."""

    def __call__(self, texts, **_):
        return {"input_ids": [self.encode(t) for t in texts]}

    def encode(self, text, **_):
        return [ord(c) for c in text]

    def decode(self, ids, **_):
        return "".join(map(chr, ids))


def cutter(most, overlapping=None):
    tokenizer = Counting()
    decoder = SimpleNamespace(tokenizer=tokenizer, first_id=7, encode=tokenizer.encode)
    return Cutter(decoder, most, overlapping or most)


def rolling(count, size, windows):
    text = "".join(chr(100 + i) for i in range(count))
    (cut,) = cutter(size).cut([Rolling(text, windows)])
    return [ord(c) for c in text], cut.spans


@given(*lengths)
def test_overlapping_windows_score_each_token_once_with_enough_before_it(count, size):
    ids, spans = rolling(count, size, "overlapping")
    scored = []
    for number, span in enumerate(spans):
        assert len(span.ids) - 1 <= size
        assert (span.ids[0] == 7) == (number == 0)
        if number:
            assert span.start >= size - size // 2
        scored += span.targets.tolist()
    assert scored == ids


def harness_windows(token_list, prefix_token, max_seq_len):
    """lm_eval.utils: make_disjoint_window of each of get_rolling_token_windows(..., context_len=1)."""
    if not token_list:
        return
    predicted = first = min(max_seq_len, len(token_list))
    yield [prefix_token], token_list[:first]
    while predicted < len(token_list):
        count = min(len(token_list) - predicted, max_seq_len)
        end = predicted + count
        a, b = token_list[end - max_seq_len - 1 : end - 1], token_list[end - count : end]
        yield a[: len(a) - (len(b) - 1)], b
        predicted += count


@given(*lengths)
def test_disjoint_windows_are_lm_evaluation_harness_s(count, size):
    ids, spans = rolling(count, size, "disjoint")
    found = [(s.ids[: s.start].tolist(), s.targets.tolist()) for s in spans]
    assert found == list(harness_windows(ids, 7, size))


def test_the_harness_itself_cuts_so():
    utils = pytest.importorskip("lm_eval.utils", reason="lm-eval, or accelerate with it, is not installed")
    for count in range(40):
        for size in range(2, 12):
            ids = list(range(100, 100 + count))
            windows = utils.get_rolling_token_windows(ids, 7, size, 1)
            assert [utils.make_disjoint_window(w) for w in windows] == list(harness_windows(ids, 7, size))


@settings(max_examples=50, deadline=None)
@given(st.text("ab \n.é", min_size=1, max_size=12), st.text("ab \n.é", max_size=8))
def test_pairs_are_cut_where_the_context_ends_its_last_spaces_moved(stories, context, continuation):
    tokenizer = stories.tokenizer
    spaces = len(context) - len(context.rstrip())
    read = tokenizer.encode(context[: len(context) - spaces])
    whole = tokenizer.encode(context + continuation)
    (cut,) = Cutter(stories, 512, 512).cut([LogLikelihood(context, continuation)])
    if len(whole) == len(read):
        assert cut.spans == ()
    else:
        (span,) = cut.spans
        assert span.ids.tolist() == whole
        assert span.start == len(read)


def test_a_context_that_begins_with_the_beginning_of_text_gets_no_second(stories):
    plain, marked = Cutter(stories, 512, 512).cut([LogLikelihood("Once", " upon"), LogLikelihood("<s>Once", " upon")])
    assert plain.spans[0].ids.tolist() == stories.tokenizer.encode("Once upon")
    assert marked.spans[0].ids.tolist().count(stories.first_id) == 1


def test_without_a_context_the_first_token_starts_and_is_not_doubled():
    (begun,), (marked,) = (c.spans for c in cutter(9).cut([LogLikelihood("", "ab"), LogLikelihood("", "\x07ab")]))
    assert begun.ids.tolist() == marked.ids.tolist() == [7, 97, 98]
    assert begun.start == marked.start == 1


def test_what_the_model_cannot_read_is_cut_at_the_beginning_and_counted():
    cut, whole, refused = cutter(5).cut(
        [LogLikelihood("abcdefgh", "xyz"), LogLikelihood("abc", "xyz"), LogLikelihood("abc", "x" * 6)]
    )
    assert cut.spans[0].ids.tolist() == [ord(c) for c in "fghxyz"]
    assert (cut.cut_tokens, cut.spans[0].start) == (5, 3)
    assert whole.cut_tokens == 0
    assert refused.spans == ()
    assert "6 tokens" in refused.failed
