"""Text decoded with the wrong encoding comes back; text that was right is not touched."""

from __future__ import annotations

import polars as pl
import pytest

from loomwork.text.mojibake import repair


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
