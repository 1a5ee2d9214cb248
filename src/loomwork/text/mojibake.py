"""Text that was decoded with the wrong encoding, decoded again with the right one: "schÃ¶n" becomes "schön".

Source: ftfy 6.3 (Speer), of which only the repairs of encodings are used, line by line: its other fixes change
quotes, widths and ligatures that were meant.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# What ftfy's own search for bad text finds has this in it: two characters in a row that are not ASCII, a C1 control, or
# one of four letters. Few texts do, and Rust looks a hundred times as fast.
SUSPECT = r"[^\x00-\x7f][^\x00-\x7f]|[\x{80}-\x{9f}ŒœÃÂ]"


def repair(texts: pl.Series) -> pl.Series:
    """The texts with wrongly decoded lines repaired. Most texts cost one search.

    Args:
        texts: a column of texts without nulls.
    """
    import polars as pl
    from ftfy import TextFixerConfig, fix_text
    from ftfy.badness import is_bad

    config = TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )
    rows = texts.str.contains(SUSPECT)
    if not rows.any():
        return texts
    suspect = re.compile(SUSPECT.replace(r"\x{80}-\x{9f}", r"\x80-\x9f")).search

    def repaired(text: str) -> str:
        lines = text.split("\n")
        for i, line in enumerate(lines):
            if suspect(line):
                end = "\n" if i + 1 < len(lines) else ""  # ftfy looks at what follows a letter
                if is_bad(line + end):  # and repairs nothing that this search does not find
                    lines[i] = fix_text(line + end, config).removesuffix(end)
        return "\n".join(lines)

    found = [repaired(text) for text in texts.filter(rows).to_list()]
    return texts.clone().scatter(rows.arg_true(), pl.Series(found, dtype=pl.String))  # scatter works in place
