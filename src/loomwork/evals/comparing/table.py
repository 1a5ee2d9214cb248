"""What a comparison of scores says, as plain data: scores, paired differences, slices, calibration, items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.score import Score, Scores
from loomwork.evals._contamination import CLEAN

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

CALIBRATED = ("acc", "accuracy")  # of a confidence: whether the answer that it is of was right


def compared(
    scores: Mapping[str, Scores],
    data: Dataset | None,
    *,
    metrics: Sequence[str],
    by: Sequence[str],
    bins: int,
    least: int,
    alpha: float,
    examples: int,
) -> dict[str, Any]:
    """The whole comparison.

    Args:
        scores: of each system, by its name; the first is what the others are compared with.
        data: the rows that were scored, for columns and texts that the items lack.
        metrics: which scores; none means all that every system has.
        by: columns to slice by.
        bins, least: as of evals.slices.
        alpha: of what is called different.
        examples: items that are shown of each kind.

    Raises:
        InputError: the systems were not measured alike, or share no score.
    """
    from loomwork.evals.comparing.items import browsed

    names = list(scores)
    items = {name: one.items() for name, one in scores.items()}
    shared = _shared(scores, items, metrics)
    report: dict[str, Any] = {"systems": names, "alpha": alpha, "metrics": shared}
    report["scores"] = [{"system": n, **s.to_json()} for n in names for s in scores[n].scores if s.name in shared]
    report["clean"] = [{"system": n, **s.to_json()} for n in names for s in scores[n].scores if s.name.endswith(CLEAN)]
    report["settings"] = _settings(scores, shared[0])
    report["differences"] = _differences(scores, items, shared, alpha)
    report["slices"] = _slices(scores, items, data, shared[0], by, bins, least, alpha)
    report["calibration"] = [c for n in names if (c := _calibration(n, scores[n].score(shared[0]), items[n]))]
    report["contamination"] = [_contamination(n, scores[n].score(shared[0]), items[n]) for n in names]
    report["items"] = browsed(scores, items, data, shared[0], examples)
    return report


def _shared(scores: Mapping[str, Scores], items: Mapping[str, pa.Table], metrics: Sequence[str]) -> list[str]:
    """The names of the scores that every system has and whose items can be paired; of parts only those asked for."""
    from loomwork.evals._sums import has_items, no_items

    first = next(iter(scores.values()))
    have = [{s.name for s in one.scores} for one in scores.values()]
    found = [s.name for s in first.scores if all(s.name in h for h in have)]
    paired = [name for name in found if all(has_items(table, name) for table in items.values())]
    for name in metrics:
        if name not in found:
            raise InputError(f"not every system has the score {name!r}", "they share: " + ", ".join(found))
        if name not in paired:
            raise no_items(name, others=paired)
    kept = list(metrics) or [name for name in paired if not name.endswith(("]", CLEAN))] or paired
    if not kept and found:
        raise no_items(found[0], others=paired)
    if not kept:
        raise InputError("the systems have no score in common", "score them with one step")
    return kept


def _settings(scores: Mapping[str, Scores], metric: str) -> dict[str, Any]:
    """How each system was scored, in which settings they differ, and the same in words.

    Most steps that score keep their settings in extra.json; of the others there is the digest alone.
    """
    kept: dict[str, dict[str, Any]] = {}
    for name, one in scores.items():
        extra = one.read_json("extra.json") if (one.path / "extra.json").exists() else {}
        kept[name] = extra.get("settings", {})
    first = next(iter(kept.values()))
    keys = dict.fromkeys(key for own in kept.values() for key in own)
    differ = [key for key in keys if any(own.get(key) != first.get(key) for own in kept.values())]
    words = "; ".join(
        f"{key}: " + ", ".join(f"{shown_setting(own.get(key))} in {n}" for n, own in kept.items()) for key in differ
    )
    if not differ and len({one.score(metric).settings for one in scores.values()}) > 1:
        words = "their digests differ; in what, these scores do not say"
    return {"of": kept, "differ": differ, "words": words}


def shown_setting(value: Any) -> str:
    return "not set" if value is None else str(value)


def _differences(
    scores: Mapping[str, Scores], items: Mapping[str, pa.Table], metrics: Sequence[str], alpha: float
) -> list[dict[str, Any]]:
    """Every system after the first against the first, in every metric; p-values adjusted over all of them (Holm)."""
    from loomwork.stats.multiple import holm

    names = list(scores)
    found = []
    count = len(metrics) * (len(names) - 1)
    for metric in metrics:
        for name in names[1:]:
            ours, theirs = scores[name].score(metric), scores[names[0]].score(metric)
            found.append(
                {"metric": metric, "system": name, "baseline": names[0]}
                | _difference(ours, theirs, items[name], items[names[0]], (name, names[0]), alpha, count)
            )
    for one, adjusted in zip(found, holm([f["p_value"] for f in found]), strict=True):
        one["adjusted"] = adjusted
        one["words"] = _words(one, count, alpha)
        effect = f"a true difference of {one['minimum_detectable_effect']:.4f} is found 4 times in 5"
        one["power"] = effect + strictest(count)
    return found


def strictest(count: int) -> str:
    """At which level a minimum detectable effect holds, in words."""
    return f" at alpha / {count}, which Holm's adjustment asks of the first" if count > 1 else ""


def _words(one: Mapping[str, Any], count: int, alpha: float) -> str:
    """A difference in a sentence. Its interval is of this one alone, its p-value is told before and after adjusting."""
    told = "more than chance" if one["adjusted"] <= alpha else "chance may do that"
    adjusted = f", {one['adjusted']:.3g} adjusted for {count} comparisons" if count > 1 else ""
    return (
        f"{one['system']} against {one['baseline']}: {one['metric']} {one['difference']:+.4f} "
        f"[{one['low']:+.4f}, {one['high']:+.4f}], plus is better; {told} (p = {one['p_value']:.3g}{adjusted})"
    )


def _difference(
    candidate: Score,
    baseline: Score,
    ours: pa.Table,
    theirs: pa.Table,
    sides: tuple[str, str],
    alpha: float,
    count: int,
) -> dict[str, Any]:
    """Paired, positive where the candidate is better; the p-value is two-sided, of "they are equally good".

    The interval is of this one comparison; the effect that could be found is one that is decided by after adjusting for
    all, which for the smallest p-value is at alpha / count.
    """
    from loomwork.evals._pairing import paired_items, same_measurement, same_system
    from loomwork.stats.paired import Margin

    same_measurement(candidate, baseline)
    pairs = paired_items(ours, theirs, candidate.name)
    options: dict[str, Any] = {
        "higher_is_better": candidate.direction == "higher is better",
        "alpha": alpha / 2,  # of each bound, so that both together are a 1 - alpha interval
        "same_system": same_system(candidate, baseline),
    }
    found, up = pairs.decide("better than", Margin(0.0), **options)
    _, down = pairs.turned().decide("better than", Margin(0.0), **options)
    strict = found
    if count > 1:
        strict, _ = pairs.decide("better than", Margin(0.0), **{**options, "alpha": alpha / 2 / count})
    p_value = 1.0 if found.difference == 0 else min(1.0, 2 * min(up.p_value, down.p_value))
    return {
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "level": 1 - alpha,
        "p_value": p_value,
        "method": found.method,
        "n": found.n,
        "n_clusters": found.n_clusters,
        "missing_in_system": pairs.missing[0],
        "missing_in_baseline": pairs.missing[1],
        "missing_in_both": pairs.missing[2],
        "left_out": pairs.left_out(*sides),
        "minimum_detectable_effect": strict.minimum_detectable_effect,
    }


def _slices(
    scores: Mapping[str, Scores],
    items: Mapping[str, pa.Table],
    data: Dataset | None,
    metric: str,
    by: Sequence[str],
    bins: int,
    least: int,
    alpha: float,
) -> dict[str, Any]:
    """The slices of the first metric for each system, and the worst of each in words."""
    if not by:
        return {}
    from loomwork.evals._slicing import slice_labels
    from loomwork.evals.slices import enough, in_words, sliced

    rows, words, small = [], {}, 0
    for name, one in scores.items():
        base = one.score(metric)
        found, small = sliced(base, items[name], slice_labels(items[name], data, by, bins), least)
        words[name] = in_words(base, found, alpha) if found else f"no slice has {enough(base, least)}"
        for s in found:
            told = {**asdict(s), "value": s.value, "score": s.score.value, "n": s.score.n}
            rows.append({"system": name, **told, "low": s.score.interval.low, "high": s.score.interval.high})
    return {"metric": metric, "rows": rows, "worst": words, "left_out": small}


def _calibration(name: str, base: Score, items: pa.Table) -> dict[str, Any] | None:
    """How often answers were right, by how sure the model was of them, and the expected calibration error, a score
    with its interval; None where the model does not say how sure it was."""
    import numpy as np

    from loomwork.evals._mean_score import provenance_of, sums_score
    from loomwork.evals._pairing import clusters_in
    from loomwork.evals.classification import BINS
    from loomwork.metrics.classification import calibration_counts, calibration_error

    right = next((c for c in CALIBRATED if c in items.column_names), None)
    if right is None or "confidence" not in items.column_names:
        return None
    confidence, hits = _numbers(items, "confidence"), _numbers(items, right)
    here = ~np.isnan(confidence) & ~np.isnan(hits)
    given = provenance_of(base, clusters_in(items)).only(here)
    if given.units(int(here.sum())) < 2 or not np.isin(hits[here], (0.0, 1.0)).all():
        return None
    counts = calibration_counts(confidence[here], hits[here], BINS)
    error = sums_score("calibration_error", counts, calibration_error, f"ECE, {BINS} bins", "lower is better", given)
    count, sure, correct = counts.sum(axis=0).reshape(3, BINS)
    bins = [
        {"items": int(count[k]), "confidence": float(sure[k] / count[k]), "accuracy": float(correct[k] / count[k])}
        for k in range(BINS)
        if count[k]
    ]
    return {"system": name, "of": right, "bins": bins, **error.to_json()}


def _contamination(name: str, score: Score, items: pa.Table) -> dict[str, Any]:
    import numpy as np

    found: dict[str, Any] = {"system": name, "word": score.contamination, "note": score.contamination_note}
    if "longest_shared_run" in items.column_names:
        longest = _numbers(items, "longest_shared_run")
        found["longest"] = int(np.nanmax(longest)) if longest.size else 0
        found["found"] = sum(run is not None for run in items.column("shared_run").to_pylist())
        found["histogram"] = _histogram(longest)
        found["examples"] = [run for run in items.column("shared_run").to_pylist() if run][:5]
    return found


def _histogram(longest: npt.NDArray[np.float64]) -> dict[str, int]:
    """Items by the length in words of the longest run that they share with the training data."""
    edges = ((0, 3), (4, 7), (8, 12), (13, 24), (25, None))
    return {
        f"{low} to {high}" if high is not None else f"{low} or more": int(
            ((longest >= low) & (longest <= (high if high is not None else 10**9))).sum()
        )
        for low, high in edges
    }


def _numbers(items: pa.Table, column: str) -> npt.NDArray[np.float64]:
    import numpy as np

    return np.asarray(items.column(column).to_numpy(zero_copy_only=False), dtype=np.float64)
