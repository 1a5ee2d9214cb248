"""How well personal data is found: counts for precision and recall against labelled texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from loomwork.text.personal.find import Span


class Labelled(NamedTuple):
    """A text of which is known what stands in it.

    Args:
        text: the text.
        spans: its personal data; none for a hard negative.
        group: what it is counted under beside its kind, as its language.
    """

    text: str
    spans: tuple[Span, ...]
    group: str


@dataclass
class Counts:
    """Findings of one kind.

    Args:
        labelled: values that stand in the texts.
        found: those of them that one finding of their kind covers.
        covered: those of them of which no character is left, whatever the kinds of the findings.
        reported: findings of the kind.
        right: those of them that touch a labelled value of the kind.
    """

    labelled: int = 0
    found: int = 0
    covered: int = 0
    reported: int = 0
    right: int = 0

    @property
    def recall(self) -> float:
        """The share of the labelled values that were found; nan without any."""
        return self.found / self.labelled if self.labelled else float("nan")

    @property
    def precision(self) -> float:
        """The share of the findings that were right; nan without any."""
        return self.right / self.reported if self.reported else float("nan")


def measure(samples: Iterable[Labelled], find: Callable[[str], Sequence[Span]]) -> dict[tuple[str, str], Counts]:
    """Compare what a function finds with the labels.

    Args:
        samples: labelled texts.
        find: the spans in a text.

    Returns: counts by (kind, group). A false finding counts under its own kind and the group of its text.
    """
    table: dict[tuple[str, str], Counts] = defaultdict(Counts)
    for text, spans, group in samples:
        found = find(text)
        for span in spans:
            counts = table[span.kind, group]
            counts.labelled += 1
            counts.found += any(f.kind == span.kind and f.start <= span.start and span.end <= f.end for f in found)
            counts.covered += _covered(span, found)
        for finding in found:
            counts = table[finding.kind, group]
            counts.reported += 1
            counts.right += any(
                s.kind == finding.kind and s.start < finding.end and finding.start < s.end for s in spans
            )
    return dict(sorted(table.items()))


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of some counts."""
    rows = list(counts)
    return Counts(*(sum(getattr(row, name) for row in rows) for name in Counts.__dataclass_fields__))


def _covered(span: Span, found: Sequence[Span]) -> bool:
    place = span.start
    for finding in sorted(found):
        if finding.start <= place < finding.end:
            place = finding.end
    return place >= span.end
