"""How many of the sampled texts hold what looks like personal data or a secret."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from loomwork.stats.interval import wilson


def personal_rate(texts: Sequence[str]) -> dict[str, Any]:
    """Texts with at least one finding, in all and by kind; the detectors are those of data.redact."""
    import polars as pl

    from loomwork.text.personal.find import detectors, find_all

    kinds: Counter[str] = Counter()
    with_any = 0
    for _, _, spans in find_all(pl.Series(texts, dtype=pl.String), detectors()):
        with_any += 1
        kinds.update({span.kind for span in spans})
    interval = wilson(with_any, len(texts))
    ordered = sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        "texts": len(texts),
        "with_any": with_any,
        "low": interval.low,
        "high": interval.high,
        "kinds": [{"kind": kind.replace("_", " "), "texts": n} for kind, n in ordered],
    }
