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
from typing import Literal, NamedTuple

from loomwork.text.personal.find import Detector, Span, find

Mode = Literal["mask", "pseudonymise", "drop"]
LETTERS = "abcdefghijkowxyz"  # no digit, and none of the letters that stand for digits in an Italian tax code
MOST_PASSES = 50


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
    key: bytes = b""
    allow: Sequence[str] = ()
    _known: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)

    @cached_property
    def _by_kind(self) -> dict[str, Detector]:
        return {d.kind: d for d in self.detectors}

    @cached_property
    def _allowed(self) -> re.Pattern[str] | None:
        patterns = [fnmatch.translate(value.casefold().replace("[", "[[]")) for value in self.allow]
        return re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str, spans: Sequence[Span] | None = None) -> Redacted:
        """Redact a text.

        What stands beside a value can hide another ("a@b.cd4539..."), so a changed text is looked through again until
        nothing is found. Redacting twice therefore changes nothing more.

        Args:
            text: any text.
            spans: what `find` finds in it, where that is known.
        """
        counts: Counter[str] = Counter()
        new = text
        for _ in range(MOST_PASSES):
            found = find(new, self.detectors) if spans is None else spans
            found, spans = [s for s in found if not self._is_allowed(new, s)], None
            if not found:
                break
            counts.update(span.kind for span in found)
            drop = sorted({span.kind for span in found if self.modes[span.kind] == "drop"})
            if drop:
                return Redacted(text, counts, drop)
            new = self._without(new, found)
        return Redacted(new, counts, [])

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
