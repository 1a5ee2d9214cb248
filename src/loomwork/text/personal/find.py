"""Where personal data and secrets stand in texts: the detectors run, their spans brought into one row."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from loomwork.core.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import polars as pl

DETECTORS = "loomwork.text.personal.detectors"


class Span(NamedTuple):
    """A piece of a text, in characters, and what it is."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class Detector:
    """A kind of personal data.

    Args:
        kind: its name ("email").
        spans: where it stands in a text.
        prefilter: a pattern that every text with a finding matches, for Python's `re` and Rust's `regex`.
        gate: one that every text which the prefilter matches matches too, quicker and shared by kinds; "" for none.
        priority: of two findings of one length that overlap, the one with the higher counts.
        canonical: one spelling of a value for all its spellings.
        pseudonym: a stand-in of the same form from a number of 128 bits and the value; None where there is none.
    """

    kind: str
    spans: Callable[[str], Iterator[tuple[int, int]]]
    prefilter: str
    gate: str
    priority: int
    canonical: Callable[[str], str]
    pseudonym: Callable[[int, str], str] | None

    @functools.cached_property
    def may_have(self) -> re.Pattern[str]:
        """The prefilter, compiled."""
        return re.compile(self.prefilter)


def kinds() -> list[str]:
    """The kinds that can be detected: the modules in detectors/."""
    package = importlib.import_module(DETECTORS)
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__))


def detectors(chosen: Iterable[str] | None = None, regions: Sequence[str] | None = None) -> list[Detector]:
    """The detectors of some kinds, in order of their names.

    Args:
        chosen: kinds; None for all.
        regions: for the kinds that depend on a country; None for their own choice.

    Raises:
        InputError: there is no such kind or region.
        MissingDependency: a kind needs a library that is not installed.
    """
    known = kinds()
    names = sorted(set(known if chosen is None else chosen))
    for name in names:
        if name not in known:
            raise InputError(f"no kind of personal data is called {name!r}", did_you_mean(name, known, show=40))
    return [_detector(name, regions) for name in names]


def _detector(kind: str, regions: Sequence[str] | None) -> Detector:
    module = importlib.import_module(f"{DETECTORS}.{kind}")
    spans = module.find
    getattr(module, "prepare", lambda: None)()
    if regions is not None and "regions" in inspect.signature(spans).parameters:
        for region in module.unknown_regions(regions):
            raise InputError(
                f"{kind}: there is no region {region!r}", did_you_mean(region, module.known_regions(), show=16)
            )
        spans = functools.partial(spans, regions=tuple(regions))
    return Detector(
        kind,
        spans,
        module.PREFILTER,
        getattr(module, "GATE", ""),
        getattr(module, "PRIORITY", 0),
        getattr(module, "canonical", str),
        getattr(module, "pseudonym", None),
    )


def version() -> str:
    """A digest of the detectors' source and of the libraries that they use: they are found by path, so a step's code
    fingerprint cannot see them."""
    package: ModuleType = importlib.import_module(DETECTORS)
    folder = Path(package.__path__[0])
    sources = [*sorted(folder.glob("*.py")), folder.parent / "shapes.py", folder.parent / "password_value.py"]
    try:
        library = importlib.metadata.version("phonenumbers")
    except importlib.metadata.PackageNotFoundError:
        library = "none"
    content = b"\0".join(p.name.encode() + b"\0" + p.read_bytes() for p in sources)
    return f"{hashlib.sha256(content).hexdigest()[:16]}, phonenumbers {library}"


def find(text: str, using: Sequence[Detector]) -> list[Span]:
    """What stands in a text, in order, no two spans overlapping.

    Args:
        text: any text; lone surrogates do no harm.
        using: the detectors.
    """
    return joined(text, [d for d in using if d.may_have.search(text)])


def joined(text: str, using: Sequence[Detector]) -> list[Span]:
    """The same without the prefilters. Spans that overlap become one, from the first start to the last end, so that no
    end of a value stays: of the kind of the longest, among equals of the highest priority, then of the first."""
    rank = {d.kind: d.priority for d in using}
    found = sorted(Span(start, end, d.kind) for d in using for start, end in d.spans(text))
    spans: list[Span] = []
    best: Span | None = None  # the span that names the last one of `spans`
    for span in found:
        if best is not None and span.start < spans[-1].end:
            if (span.end - span.start, rank[span.kind]) > (best.end - best.start, rank[best.kind]):
                best = span
            spans[-1] = Span(spans[-1].start, max(spans[-1].end, span.end), best.kind)
        else:
            best = span
            spans.append(span)
    return spans


def left_on_purpose(texts: pl.Series, chosen: Iterable[str]) -> dict[str, int]:
    """How many values were not taken because they name nobody, by what they are: "example domain".

    Args:
        texts: strings.
        chosen: kinds; those without a pattern `LEFT` leave nothing on purpose.
    """
    modules = [importlib.import_module(f"{DETECTORS}.{kind}") for kind in sorted(chosen)]
    forms = [module.LEFT for module in modules if hasattr(module, "LEFT")]
    return {name: int(texts.str.count_matches(pattern).sum() or 0) for name, pattern in forms}


def find_all(texts: pl.Series, using: Sequence[Detector]) -> Iterator[tuple[int, str, list[Span]]]:
    """What stands in a column of texts: (row, text, spans) for each row that has anything.

    The prefilters run over the column in compiled code; Python sees only the texts, and the detectors, that they leave.

    Args:
        texts: strings; null has nothing.
        using: the detectors.
    """
    import polars as pl

    hits: dict[int, list[Detector]] = {}
    gated: dict[str, tuple[pl.Series, pl.Series]] = {}
    for detector in using:
        if detector.gate not in gated:
            rows = texts.str.contains(detector.gate).arg_true() if detector.gate else pl.arange(len(texts), eager=True)
            gated[detector.gate] = rows, texts.gather(rows)
        rows, some = gated[detector.gate]
        for row in rows.gather(some.str.contains(detector.prefilter).arg_true()).to_list():
            hits.setdefault(row, []).append(detector)
    order = sorted(hits)
    for start in range(0, len(order), ROWS_AT_ONCE):
        part = order[start : start + ROWS_AT_ONCE]
        for row, text in zip(part, texts.gather(part).to_list(), strict=True):
            spans = joined(text, hits[row])
            if spans:
                yield row, text, spans


ROWS_AT_ONCE = 4096
