"""Text that was decoded with the wrong encoding, decoded again with the right one: "schÃ¶n" becomes "schön".

Source: ftfy 6.3 (Speer), of which only the repairs of encodings are used, line by line: its other fixes change
quotes, widths and ligatures that were meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


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
    rows = texts.str.len_bytes() != texts.str.len_chars()  # in ASCII nothing can be wrong
    if not rows.any():
        return texts
    # ftfy repairs nothing that its own search does not find bad.
    repaired = [fix_text(text, config) if is_bad(text) else text for text in texts.filter(rows).to_list()]
    return texts.clone().scatter(rows.arg_true(), pl.Series(repaired, dtype=pl.String))  # scatter works in place
