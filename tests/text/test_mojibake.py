"""Text decoded with the wrong encoding comes back; text that was right is not touched."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.mojibake import SUSPECT, repair


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("schÃ¶n\nklar", "schön\nklar"),
        ("Itâ€™s fine", "It’s fine"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"),
        ("“quotes” and ﬁne", "“quotes” and ﬁne"),
        ("&lt;b&gt; é", "&lt;b&gt; é"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_repair(wrong, right):
    assert repair(pl.Series([wrong])).to_list() == [right]


def test_real_lines_come_back_from_the_wrong_encoding(test_data, capsys):
    """Declarations and books, as UTF-8 that was read as windows-1252: the commonest accident."""
    import ftfy.bad_codecs  # noqa: F401  registers "sloppy-windows-1252", which maps the five bytes that are undefined

    files = {
        "web/udhr/*-Latin1": "cp1252",
        "web/udhr/*-Latin2": "cp1250",
        "web/udhr/Russian*-Cyrillic": "cp1251",
        "web/udhr/*-Greek": "cp1253",
        "web/encodings/iso-8859-1/*.txt": "cp1252",
        "web/encodings/windows-1250-czech/*.txt": "cp1250",
    }
    right = []
    for pattern, encoding in files.items():
        for file in sorted(test_data.glob(pattern)):
            lines = (" ".join(line.split()) for line in file.read_bytes().decode(encoding, "replace").splitlines())
            right += [x for x in lines if len(x) > 40 and not x.isascii() and "\ufffd" not in x]
    found = repair(pl.Series([line.encode().decode("sloppy-windows-1252") for line in right])).to_list()
    share = sum(a == b for a, b in zip(found, right, strict=True)) / len(right)
    untouched = sum(a == b for a, b in zip(repair(pl.Series(right)).to_list(), right, strict=True)) / len(right)
    with capsys.disabled():
        print(
            f"\n  mojibake: {share:.1%} of {len(right)} broken lines repaired, {untouched:.1%} of right ones untouched"
        )
    assert len(right) > 2000
    assert share >= 0.97
    assert untouched >= 0.99


ODD = "aZ .é\xa0\x85°×²³œŒÃÂâ€™вЂΒ¬“”„ĂŢà√≈‚Äā\u00ad"


@settings(deadline=None, max_examples=1000)
@given(st.text(st.sampled_from(ODD) | st.characters(codec="utf-8"), max_size=8))
def test_the_fast_search_misses_nothing_that_ftfy_would_look_at(text):
    from ftfy.badness import is_bad

    assert pl.Series([text]).str.contains(SUSPECT)[0] or not is_bad(text)


@settings(deadline=None, max_examples=500)
@given(
    st.lists(st.text(st.sampled_from(ODD + "\n"), max_size=9) | st.sampled_from(["schÃ¶n", "ÐŸÑ€Ð¸"]), max_size=5).map(
        "".join
    )
)
def test_line_by_line_as_ftfy_does_it(text):
    from ftfy import TextFixerConfig, fix_text

    config = TextFixerConfig(
        unescape_html=False, remove_terminal_escapes=False, fix_latin_ligatures=False, fix_character_width=False,
        uncurl_quotes=False, fix_line_breaks=False, remove_control_chars=False, normalization=None, explain=False,
        fix_c1_controls=False, fix_surrogates=False,
    )  # fmt: skip
    assert repair(pl.Series([text])).to_list() == [fix_text(text, config)]


def test_every_bad_character_alone_or_in_pairs_is_suspect():
    """All pairs of the characters that ftfy's search names, with a letter and a space around them."""
    import re

    from ftfy.badness import BADNESS_RE, is_bad

    named = sorted(set(re.sub(r"(?m)#.*$", "", BADNESS_RE.pattern)))
    texts = [f"{before}{a}{b}" for a in named for b in named for before in ("", "x", " ")]
    suspect = pl.Series(texts).str.contains(SUSPECT)
    assert not any(is_bad(text) for text, found in zip(texts, suspect, strict=True) if not found)
