"""Detectors of personal data and secrets: one module each, found by path. A new kind is one new module here:

    PREFILTER = r"@"                                           # every text with a finding matches it
    def find(text: str) -> Iterator[tuple[int, int]]: ...      # spans, each start < end, in order

The module's name is the kind. `find` takes time in proportion to the text, whatever the text. PREFILTER is written so
that Python's `re` and Rust's `regex` read it alike: ASCII classes, no word boundaries, no look-around.

Optional are `GATE` (a quicker pattern that every text which PREFILTER matches matches too; kinds that share one share
its pass), `PRIORITY` (which of two equally long findings counts; 0), `canonical(value)` (one spelling for all the
spellings of a value, for pseudonyms and allow lists), `pseudonym(number, value)` (a stand-in that looks like the kind
and that `find` does not find, from a number of 128 bits), and a second parameter of `find`, `regions`.
"""
