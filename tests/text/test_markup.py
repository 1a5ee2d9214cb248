"""What markup leaves behind goes, what only looks like it stays, and a second pass finds nothing."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.markup import code_pieces, strip_markup, strip_text

BOTH = ("html", "markdown")
PIECES = [
    "<p>",
    "</p>",
    "<b>",
    "< b",
    "&amp;",
    "&lt;",
    "b&gt;",
    "&#60;",
    "**",
    "*",
    "# ",
    "\n",
    "`",
    "```\n",
    "    ",
    "> ",
]
soup = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=14).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>Hello <b>world</b></p>", "\nHello world\n"),
        ('<a href="/x?a=1&b=2">link</a><br/>next', "link\nnext"),
        ("AT&amp;T &copy; &#8217;&#x41;&nbsp;&amp;amp;lt;", "AT&T © ’A\xa0<"),
        ("before<!-- a > b --><script>if (a<b) x()</script> after", "before after"),
        ("&lt;i&gt;twice&lt;/i&gt;", "twice"),
        ("<div class=wide\ndata-n='1'>in</div>", "\nin\n"),
    ],
)
def test_html(text, expected):
    assert strip_text(text, ("html",)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Title #\n\nText **bold**, *slanted* and ~~gone~~.", "Title\n\nText bold, slanted and gone."),
        ('see [the docs](https://x.y/z_(a) "T") and ![a cat](cat.png)', "see the docs and a cat"),
        ("> > quoted\n\n---\nend", "quoted\n\nend"),
        ("text\n\n[1]: https://x.y\n", "text\n\n"),
        ("- a list\n1. stays", "- a list\n1. stays"),
        ("## C#", "C#"),
    ],
)
def test_markdown(text, expected):
    assert strip_text(text, ("markdown",)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "if a < b and c > d: pass",
        "a List<String> of <your name> in <T>",
        "2*3*4 and x ** y, __init__, snake_case_name, *args",
        "R&D; AT&T; &bogus; &",
        "```html\n<b>**code**</b>\n```",
        "~~~\n# <p>no heading\n~~~",
        "    <b>indented code</b>",
        "call `<b>` or ``**x**`` here",
        "#hashtag and C# and #!/bin/sh",
        "<!-- never closed, and <script> neither",
    ],
)
def test_what_stays(text):
    assert strip_text(text, BOTH) == text


@settings(deadline=None, max_examples=300)
@given(st.lists(soup, max_size=4))
def test_stripping_twice_changes_nothing_more(texts):
    once = strip_markup(pl.Series(texts, dtype=pl.String), BOTH)
    assert strip_markup(once, BOTH).to_list() == once.to_list()
    assert once.to_list() == [strip_text(text, BOTH) for text in texts]  # the search for rows misses none
    assert all("".join(piece for _, piece in code_pieces(text)) == text for text in texts)


@pytest.mark.parametrize(
    "piece", ["<!--", "<script>", "`", "``a", "[", "![a](", "~~~\n", "<a x", "&amp;", "amp;", "# a  "]
)
def test_long_hostile_texts_take_no_time(piece):
    text = "&" + piece * 30_000
    assert len(strip_text(text, BOTH)) <= len(text)


def test_pages_lose_their_tags_and_keep_their_words(test_data):
    """Against lxml, which parses the same pages: no tag is left, and the words of the text are all there."""
    import gzip
    import re

    lxml_html = pytest.importorskip("lxml.html")
    for page in sorted((test_data / "web/article-extraction/html").glob("*.html.gz"))[:12]:
        source = gzip.decompress(page.read_bytes()).decode("utf-8", "replace")
        source = re.sub(r"(?m)^[ \t]+", "", source.replace("`", "'"))  # indentation is layout here, not code
        stripped = strip_text(source, ("html",))
        tree = lxml_html.document_fromstring(source.encode())
        for node in tree.xpath("//script | //style | //noscript | //template | //comment()"):
            node.drop_tree()
        expected = set(re.findall(r"[a-z]{4,}", " ".join(tree.itertext()).lower()))
        found = set(re.findall(r"[a-z]{4,}", stripped.lower()))
        assert len(re.findall(r"</(?:p|div|span|a|li)>", stripped)) == 0
        assert len(expected & found) >= 0.97 * len(expected), page.name


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Suppose a<b and c>d holds.", None),
        ("if (a<b && c>d) { x }", None),
        ("5<em and x>y", None),
        ("y<a>z, new ArrayList<b>()", None),
        ("<b>use `x` now</b>", "use `x` now"),
        ("one <I CLASS=x>three <input disabled>", "one three "),
        ("&lt;script&gt;the text about scripts&lt;/script&gt; stays", "the text about scripts stays"),
        ("<script>var x</script>gone &lt;!-- said --&gt;", "gone  said "),
    ],
)
def test_what_only_looks_like_a_tag_stays_and_what_was_escaped_is_text(text, left):
    assert strip_text(text, ("html",)) == (text if left is None else left)
