"""What a comparison of scores says, as plain data: scores, paired differences, slices, calibration, items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.score import Score, Scores

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

CALIBRATED = ("acc", "accuracy")  # of a confidence: whether the answer that it is of was right
BINS = 10
TEXTS = ("question", "text", "query", "source")
ANSWERS = ("answer", "prediction")
TARGETS = ("target", "label", "gold", "reference")
SHOWN_CHARACTERS = 400


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
    names = list(scores)
    items = {name: one.items() for name, one in scores.items()}
    shared = _shared(scores, metrics)
    report: dict[str, Any] = {"systems": names, "alpha": alpha, "metrics": shared}
    report["scores"] = [{"system": n, **s.to_json()} for n in names for s in scores[n].scores if s.name in shared]
    report["clean"] = [
        {"system": n, **s.to_json()} for n in names for s in scores[n].scores if s.name.endswith(", clean subset")
    ]
    report["differences"] = _differences(scores, items, shared, alpha)
    report["slices"] = _slices(scores, items, data, shared[0], by, bins, least, alpha)
    report["calibration"] = [c for n in names if (c := _calibration(n, items[n]))]
    report["contamination"] = [_contamination(n, scores[n].score(shared[0]), items[n]) for n in names]
    report["items"] = _items(scores, items, data, shared[0], examples)
    return report


def _shared(scores: Mapping[str, Scores], metrics: Sequence[str]) -> list[str]:
    """The names of the scores that every system has and whose items can be paired."""
    first = next(iter(scores.values()))
    have = [{s.name for s in one.scores} for one in scores.values()]
    found = [
        s.name
        for s in first.scores
        if all(s.name in h for h in have) and not s.name.endswith("]") and ", clean subset" not in s.name
    ]
    for name in metrics:
        if name not in found:
            raise InputError(f"not every system has the score {name!r}", "they share: " + ", ".join(found))
    wanted = list(metrics) or found
    columns = [set(one.items().column_names) for one in scores.values()]
    kept = [m for m in wanted if all({m, f"{m}:sums"} & have for have in columns)]
    if not kept:
        raise InputError("the systems have no score in common that has a column in their items", ", ".join(found))
    return kept


def _differences(
    scores: Mapping[str, Scores], items: Mapping[str, pa.Table], metrics: Sequence[str], alpha: float
) -> list[dict[str, Any]]:
    """Every system after the first against the first, in every metric; p-values adjusted over all of them (Holm)."""
    from loomwork.stats.multiple import holm

    names = list(scores)
    found = []
    for metric in metrics:
        for name in names[1:]:
            ours, theirs = scores[name].score(metric), scores[names[0]].score(metric)
            found.append(
                {"metric": metric, "system": name, "baseline": names[0]}
                | _difference(ours, theirs, items[name], items[names[0]], alpha)
            )
    for one, adjusted in zip(found, holm([f["p_value"] for f in found]), strict=True):
        one["adjusted"] = adjusted
    return found


def _difference(candidate: Score, baseline: Score, ours: pa.Table, theirs: pa.Table, alpha: float) -> dict[str, Any]:
    """Paired, positive where the candidate is better; the p-value is two-sided, of "they are equally good"."""
    from loomwork.evals._pairing import clusters_in, order_of, paired_items, same_measurement, same_system
    from loomwork.evals._sums import sums_of
    from loomwork.stats import paired
    from loomwork.stats.paired_sums import decide_sums

    same_measurement(candidate, baseline)
    turn = 1.0 if candidate.direction == "higher is better" else -1.0
    zero = paired.Margin(0.0)
    one = same_system(candidate, baseline)
    sums, others = sums_of(ours, candidate.name), sums_of(theirs, candidate.name)
    half = alpha / 2  # each bound, so that both together are a 1 - alpha interval
    if sums is not None and others is not None:
        metric = sums[1]
        clusters = clusters_in(ours)

        def turned(total: Any) -> Any:
            return turn * metric(total)

        order = order_of(ours, theirs)
        pair = sums[0], others[0][order]
        found, up = decide_sums(*pair, turned, zero, "better than", clusters=clusters, alpha=half, same_system=one)
        _, down = decide_sums(*pair[::-1], turned, zero, "better than", clusters=clusters, alpha=half, same_system=one)
    else:
        data = paired_items(ours, theirs, candidate.name)
        new, base = turn * data.pop("candidate"), turn * data.pop("baseline")
        found = paired.paired_difference(new, base, alpha=half, same_system=one, **data)
        up = paired.better_than(new, base, zero, alpha=half, same_system=one, **data)
        down = paired.better_than(base, new, zero, alpha=half, same_system=one, **data)
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
        "minimum_detectable_effect": found.minimum_detectable_effect,
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
    from loomwork.evals.slices import in_words, sliced

    rows, words, small = [], {}, 0
    for name, one in scores.items():
        base = one.score(metric)
        found, small = sliced(base, items[name], slice_labels(items[name], data, by, bins), least)
        words[name] = in_words(base, found, alpha) if found else f"no slice has {least} items"
        for s in found:
            told = {**asdict(s), "value": s.value, "score": s.score.value, "n": s.score.n}
            rows.append({"system": name, **told, "low": s.score.interval.low, "high": s.score.interval.high})
    return {"metric": metric, "rows": rows, "worst": words, "left_out": small}


def _calibration(name: str, items: pa.Table) -> dict[str, Any] | None:
    """How often answers were right, by how sure the model was of them; None where it does not say."""
    import numpy as np

    from loomwork.metrics.classification import calibration_counts, calibration_error

    right = next((c for c in CALIBRATED if c in items.column_names), None)
    if right is None or "confidence" not in items.column_names:
        return None
    confidence, hits = _numbers(items, "confidence"), _numbers(items, right)
    here = ~np.isnan(confidence) & ~np.isnan(hits)
    if here.sum() < 2 or not np.isin(hits[here], (0.0, 1.0)).all():
        return None
    sums = calibration_counts(confidence[here], hits[here], BINS).sum(axis=0)
    count, sure, correct = sums.reshape(3, BINS)
    bins = [
        {"items": int(count[k]), "confidence": float(sure[k] / count[k]), "accuracy": float(correct[k] / count[k])}
        for k in range(BINS)
        if count[k]
    ]
    return {
        "system": name,
        "of": right,
        "error": float(calibration_error(sums)),
        "items": int(here.sum()),
        "bins": bins,
    }


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


def _items(
    scores: Mapping[str, Scores], items: Mapping[str, pa.Table], data: Dataset | None, metric: str, examples: int
) -> dict[str, Any]:
    """Items by who did better on them: where the first and the last system differ, the largest differences first."""
    import numpy as np

    from loomwork.evals._pairing import order_of
    from loomwork.evals._sums import item_values

    names = list(scores)
    turn = 1.0 if scores[names[0]].score(metric).direction == "higher is better" else -1.0
    first = items[names[-1]]
    orders = {n: order_of(first, items[n]) if n != names[-1] else np.arange(len(first)) for n in names}
    values = {n: item_values(items[n], metric)[orders[n]] for n in names}
    gain = turn * np.nan_to_num(values[names[-1]] - values[names[0]])
    texts = _texts(first, data)
    groups: dict[str, list[dict[str, Any]]] = {}
    counts: dict[str, int] = {}
    kinds = {
        f"{names[-1]} does better": np.flatnonzero(gain > 0)[np.argsort(-gain[gain > 0], kind="stable")],
        f"{names[0]} does better": np.flatnonzero(gain < 0)[np.argsort(gain[gain < 0], kind="stable")],
        "both alike": np.flatnonzero(gain == 0),
    }
    said = {n: _strings(items[n], ANSWERS, orders[n]) for n in names}
    wanted = _strings(first, TARGETS, orders[names[-1]])
    ids = first.column("row_id").to_pylist()
    for kind, rows in kinds.items():
        counts[kind] = len(rows)
        groups[kind] = [
            {
                "row_id": ids[i].hex(),
                "text": texts[i],
                "target": wanted[i],
                "answers": {n: said[n][i] for n in names},
                "values": {n: None if np.isnan(values[n][i]) else float(values[n][i]) for n in names},
            }
            for i in rows[:examples].tolist()
        ]
    return {"metric": metric, "counts": counts, "groups": groups}


def _texts(items: pa.Table, data: Dataset | None) -> list[str]:
    """What each item is, for people: a text of the items, or of the rows that they are of."""
    column = next((c for c in TEXTS if c in items.column_names), None)
    if column is not None:
        return [_short(v) for v in items.column(column).to_pylist()]
    if data is not None and (column := next((c for c in TEXTS if c in data.schema.names), None)):
        rows: dict[bytes, Any] = {}
        for table in data.tables(["row_id", column]):
            rows.update(zip(table.column("row_id").to_pylist(), table.column(column).to_pylist(), strict=True))
        return [_short(rows.get(i)) for i in items.column("row_id").to_pylist()]
    return [i.hex()[:12] for i in items.column("row_id").to_pylist()]


def _strings(items: pa.Table, columns: Sequence[str], order: npt.NDArray[np.int64]) -> list[str]:
    column = next((c for c in columns if c in items.column_names), None)
    if column is None:
        return [""] * len(items)
    values = items.column(column).to_pylist()
    return [_short(values[i]) for i in order.tolist()]


def _short(value: Any) -> str:
    """The end of a text: a question's examples stand before it."""
    text = "" if value is None else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else "…" + text[1 - SHOWN_CHARACTERS :]


def _numbers(items: pa.Table, column: str) -> npt.NDArray[np.float64]:
    import numpy as np

    return np.asarray(items.column(column).to_numpy(zero_copy_only=False), dtype=np.float64)
