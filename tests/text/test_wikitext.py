"""Plain text of wiki markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.text.wikitext import plain_text

CASES = {
    "'''Bold''' and ''italic''": "Bold and italic",
    "[[a|the words]], [[b]]s, [[:Category:C]], [[Help:D|]], [[E (f)|]]": "the words, bs, Category:C, D, E",
    "[[File:A.jpg|thumb|A [[caption|long caption]] of it]]Text": "Text",
    "Text[[Category:C]][[category:d]]": "Text",
    "{{a|{{b|c}}|d={{{1|}}}}}Text{{e}}": "Text",
    "({{lang-el|λόγος}}), {{lang|fr|mot}}": "(λόγος), mot",
    "x ({{IPA|y}}) z": "x z",
    "a<ref name='x'>b</ref><ref name=y /> c<!-- d --> e": "a c e",
    "== Title ==\nText\n=== Sub ===\nMore": "Title\n\nText\n\nSub\n\nMore",
    "* one\n** two\n# three\n:four": "- one\n- two\n- three\nfour",
    "before\n{| class=x\n|-\n| a || {{b}}\n{|\n| inner\n|}\n|}\nafter": "before\n\nafter",
    "[http://a.org words] and [https://b.org]": "words and",
    "<nowiki>[[x]] {{y}}</nowiki> &amp; &lt;z&gt;": "[[x]] {{y}} & <z>",
    "a<br />b<sub>2</sub>": "a\nb2",
    "never {{closed\nand more": "never {{closed\nand more",
    "never [[closed\nand more": "never [[closed\nand more",
    "__NOTOC__Text": "Text",
    "f{|x|}": "f{|x|}",
}


@pytest.mark.parametrize("markup", CASES)
def test_each_kind_of_markup(markup):
    assert plain_text(markup) == CASES[markup]


@given(st.text(st.sampled_from("a b[]{}|=*#:'<>!-/\n&;refFile"), max_size=80))
def test_any_text_is_taken(markup):
    assert isinstance(plain_text(markup), str)


@given(st.lists(st.sampled_from(["word", "another", "5", "end."]), min_size=1).map(" ".join))
def test_prose_stays(text):
    assert plain_text(text) == text


def test_deep_nesting_is_linear():
    deep = 20000
    assert plain_text("{{a|" * deep + "x" + "}}" * deep + "end") == "end"
    assert plain_text("[[" * deep + "x" + "]]" * deep).strip("[]") == "x"


def test_tags_that_are_never_closed_cost_one_search():
    """A search for each would take minutes."""
    for tag, left in (("<nowiki>", ""), ("<ref>", ""), ("<ref>a<math>", "a")):
        assert plain_text(tag * 200_000) == left * 200_000  # tags are taken out, what they would hide stays
    assert plain_text("a( " + " " * 200_000 + "[http:" + "b" * 200_000).startswith("a(")
    assert plain_text("=" + " " * 200_000) == "="
    assert plain_text("{{" * 100_000 + "|}" * 100_000).startswith("{{")
