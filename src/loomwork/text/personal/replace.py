"""Personal data out of a text: masked, or replaced by pseudonyms that a key decides.

A pseudonym is HMAC-SHA256 of the kind and the value: the same value gets the same one everywhere, and without the key
nobody can say whose it is, nor try values out. Of the 256 bits 64 are kept, so that two values share one with a
probability of n² / 2^65 for n values (2^28 for IPv4, whose form has no more room).
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from loomwork.text.personal.find import Detector, Span, find, find_all

if TYPE_CHECKING:
    import polars as pl

Mode = Literal["mask", "pseudonymise", "drop"]
LETTERS = "abcdefghijkowxyz"  # no digit, and none of the letters that stand for digits in an Italian tax code
MOST_PASSES = 10  # two are the rule


class Redacted(NamedTuple):
    """A text after redaction.

    Args:
        text: the text; as it was where it is to be dropped.
        counts: how many values of each kind were found.
        drop: the kinds that were found and whose texts are dropped, in order.
    """

    text: str
    counts: Counter[str]
    drop: list[str]


@dataclass(frozen=True)
class Redactor:
    """Replaces what detectors find.

    Args:
        detectors: what is looked for.
        modes: what is done, by kind.
        key: of the pseudonyms; needed where a mode asks for them.
        allow: values that stay, as they are written or in their canonical spelling, whatever their case; "*" and "?"
            stand for
            any characters: "*@python.org".
    """

    detectors: Sequence[Detector]
    modes: Mapping[str, Mode]
    key: bytes = field(default=b"", repr=False)
    allow: Sequence[str] = ()
    _known: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)

    @cached_property
    def _by_kind(self) -> dict[str, Detector]:
        return {d.kind: d for d in self.detectors}

    @cached_property
    def _allowed(self) -> re.Pattern[str] | None:
        patterns = [fnmatch.translate(value.casefold().replace("[", "[[]")) for value in self.allow]
        return re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> Redacted:
        """Redact a text.

        What stands beside a value can hide another ("a@b.cd4539..."), so a changed text is looked through again until
        nothing is found. Redacting twice therefore changes nothing more.

        Args:
            text: any text; lone surrogates do no harm.
        """
        result = Redacted(text, Counter(), [])
        for _ in range(MOST_PASSES):
            step = self._once(result.text, find(result.text, self.detectors))
            result = _after(result, step, text)
            if not step.counts or step.drop:
                break
        return result

    def column(self, texts: pl.Series) -> dict[int, Redacted]:
        """The same for a column of texts: what becomes of each row in which anything was found, in order.

        Every pass runs the prefilters over all texts that the last one changed, in compiled code.

        Args:
            texts: strings; null has nothing.
        """
        import polars as pl

        results: dict[int, Redacted] = {}
        originals: dict[int, str] = {}
        rows: list[int] | range = range(len(texts))
        for _ in range(MOST_PASSES):
            changed = []
            for place, text, spans in find_all(texts, self.detectors):
                row, step = rows[place], self._once(text, spans)
                if step.counts:
                    originals.setdefault(row, text)
                    results[row] = _after(results.get(row, Redacted(text, Counter(), [])), step, originals[row])
                    if not step.drop:
                        changed.append(row)
            if not changed:
                break
            rows, texts = changed, pl.Series([results[row].text for row in changed], dtype=pl.String)
        return results

    def _once(self, text: str, spans: Sequence[Span]) -> Redacted:
        """A text after one pass: what was found in it is replaced, but for allowed values."""
        found = [span for span in spans if not self._is_allowed(text, span)]
        counts = Counter(span.kind for span in found)
        drop = sorted(kind for kind in counts if self.modes[kind] == "drop")
        return Redacted(text if drop else self._without(text, found), counts, drop)

    def _without(self, text: str, spans: Sequence[Span]) -> str:
        pieces, end = [], 0
        for span in spans:
            pieces += [text[end : span.start], self._instead(span.kind, text[span.start : span.end])]
            end = span.end
        return "".join([*pieces, text[end:]])

    def _is_allowed(self, text: str, span: Span) -> bool:
        if self._allowed is None:
            return False
        value = text[span.start : span.end]
        spellings = value, self._canonical(span.kind, value)
        return any(self._allowed.match(spelling.casefold()) for spelling in spellings)

    def _canonical(self, kind: str, value: str) -> str:
        """One spelling of a value. Spans that were joined may hold more than a value of their kind: then as it is."""
        try:
            return self._by_kind[kind].canonical(value)
        except ValueError:
            return value

    def _instead(self, kind: str, value: str) -> str:
        if self.modes[kind] != "pseudonymise":
            return f"[{kind.upper()}]"
        if (kind, value) not in self._known:
            if len(self._known) >= 1 << 16:
                self._known.clear()
            self._known[kind, value] = self._pseudonym(kind, value)
        return self._known[kind, value]

    def _pseudonym(self, kind: str, value: str) -> str:
        message = f"{kind}\0{self._canonical(kind, value)}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(hmac.digest(self.key, message, hashlib.sha256)[:16], "big")
        stand_in = self._by_kind[kind].pseudonym
        if stand_in:
            return stand_in(number, value)
        return f"[{kind.upper()}:{''.join(LETTERS[number >> 4 * i & 15] for i in range(16))}]"


def _after(before: Redacted, step: Redacted, original: str) -> Redacted:
    """What has become of a text after one pass more."""
    return Redacted(original if step.drop else step.text, before.counts + step.counts, step.drop)
