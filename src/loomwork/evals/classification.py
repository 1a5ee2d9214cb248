"""A classifier's answers: accuracy, F1, a report of each class with the confusion matrix, and calibration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge
from pydantic import AfterValidator

from loomwork.core.artifact import digest
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Level, Seed
from loomwork.core.score import Score, write_scores
from loomwork.core.step import Card, step
from loomwork.evals._mean_score import Provenance, clusters_of, f1_score, mean_score, sums_score
from loomwork.evals._pairing import named_by
from loomwork.evals._predictions import UNKNOWN, complete, count_notes, labels_and_predictions, named_items
from loomwork.evals._sums import with_sums

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from loomwork.metrics.classification import Ints

CLASSES_SCORED = 20  # with more classes F1 of each is in the report only
BINS = 15  # of the reliability diagram, as Guo et al. (2017) have them
Name = str | bool | int | float  # of a class
TOLERANCE = 0.01  # by which probabilities may miss a sum of 1


def with_name(given: Name) -> Name:
    """A class as it is given, if it is one."""
    if given != given or given in (float("inf"), float("-inf")) or not str(given).strip():
        raise ValueError(f"{given!r} is no class")
    return given


@step(makes="scores", uses=["numpy", "pyarrow", "scipy"])
def classification(
    data: Dataset,
    *,
    label: str = "label",
    prediction: str = "prediction",
    probabilities: str = "",
    classes: list[Annotated[Name, AfterValidator(with_name)]] | None = None,
    bins: Annotated[int, Ge(1)] = BINS,
    id: str = "",
    cluster: str = "",
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Score predicted classes, as fractions of 1: accuracy, macro and micro F1, and F1 of each class.

    Of two classes Matthews' correlation too. Macro F1 is over all classes that occur as label or prediction, or
    over `classes`. A missing prediction is wrong, and is counted; so is one outside `classes`. With probabilities:
    the expected calibration error over bins of equal width, and the Brier score (of all classes where all are
    given, else of the predicted one being right). The report of each class, the confusion matrix and the
    reliability bins are in extra.json.

    Args:
        data: one row an item.
        label: the column of right classes, as text, whole numbers (1 and 1.0 are one class) or truth values.
        prediction: the column of predicted classes.
        probabilities: the column of probabilities: a number (of the predicted class), a list (in the order of
            `classes`), or {class: number}.
        classes: all classes, in order, as text, numbers or truth values.
        bins: of the reliability diagram.
        id: a column that names each item. Systems whose predictions stand in files of their own are compared by it;
            predictions that are columns of one file need none.
        cluster: a column; rows that agree in it are not independent.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        InputError: a label is missing or unknown, no prediction is one of the labels, probabilities are none, or two
            items have one id.
    """
    named = [*([probabilities] if probabilities else []), *([id] if id else [])]
    data.require(label, prediction, *named)
    data.require_rows()
    table = data.table(list(dict.fromkeys(["row_id", label, prediction, *named])))
    asked = data.digest
    if id:
        names = named_items(table, id)
        table = named_by(table.set_column(table.column_names.index("row_id"), "row_id", [names]), id)
        asked = digest(sorted(zip(names, complete(table, label), strict=True)))
    clusters = clusters_of(data, cluster or None)
    names_given = None if classes is None else _spelled(classes)
    settings = {"label": label, "prediction": prediction, "classes": names_given, "bins": bins}
    given = Provenance(
        data=asked,
        model="none",
        settings=digest(settings),
        cluster_unit=cluster or "item",
        clusters=clusters,
        contamination="unknown",
        note=UNKNOWN,
        level=level,
        seed=seed,
    )
    return write_class_scores(out, table, given, label, prediction, probabilities, names_given, bins, settings)


def _spelled(classes: list[Name]) -> list[str]:
    """The classes as columns have them."""
    from loomwork.metrics.classification import class_name

    found = [class_name(name) for name in classes]
    if None in found:
        raise InputError(f"classes[{found.index(None)}] is blank", "each class has a name")
    return [name for name in found if name is not None]


def write_class_scores(
    out: Path,
    table: pa.Table,
    given: Provenance,
    label: str,
    prediction: str,
    probabilities: str,
    classes: list[str] | None,
    bins: int,
    settings: dict[str, Any],
    beside: dict[str, pa.Array] | None = None,
) -> Card:
    """Write the scores of predicted classes.

    Args:
        table: the items: `row_id`, and the columns named below.
        given: what every score states.
        label, prediction, probabilities, classes, bins: as of evals.classification.
        settings: of which `given` has the digest.
        beside: further columns of the items.
    """
    import numpy as np
    import pyarrow as pa

    from loomwork.metrics import classification as metric

    clusters = given.clusters
    right, said = labels_and_predictions(table, label, prediction, classes or ())
    names = classes or sorted({*right, *(s for s in said if s is not None)})
    if len(set(names)) < len(names):
        raise InputError("a class stands twice in classes", ", ".join(names)[:200])
    unknown = next((i for i, name in enumerate(right) if name not in names), None)
    if unknown is not None:
        raise InputError(f"row {unknown}: the label {right[unknown]!r} is not one of classes", ", ".join(names)[:200])
    gold, predicted = metric.index_of(right, names), metric.index_of(said, names)
    counts = metric.class_counts(gold, predicted, len(names))
    correct = (gold == predicted).astype(np.float64)
    scores = [
        mean_score("accuracy", correct, "share of items", "higher is better", given),
        sums_score("macro_f1", counts, metric.macro_f1, "mean F1 of classes", "higher is better", given),
        sums_score("micro_f1", counts, metric.micro_f1, "F1 of all decisions", "higher is better", given),
    ]
    summed = {"macro_f1": (counts, metric.macro_f1), "micro_f1": (counts, metric.micro_f1)}
    if len(names) <= CLASSES_SCORED:
        for i, name in enumerate(names):
            cells = metric.binary_cells(gold == i, predicted == i)
            summed[f"f1: {name}"] = (cells, metric.binary_f1)
            scores.append(f1_score(f"f1: {name}", cells, "F1 of one class", given))
    if len(names) == 2:
        is_second = gold == 1
        cells = metric.binary_cells(is_second, np.where(correct == 1, is_second, ~is_second))  # no class is wrong
        summed["matthews"] = (cells, metric.matthews)
        rarer = is_second if is_second.mean() <= 0.5 else ~is_second
        unit = "Matthews' correlation"
        scores.append(
            sums_score("matthews", cells, metric.matthews, unit, "higher is better", given, (-1.0, 1.0), rarer)
        )
    columns: dict[str, Any] = {
        "row_id": table.column("row_id"),
        "cluster": pa.array(clusters if clusters is not None else [None] * len(right), pa.string()),
        "accuracy": pa.array(correct),
        "label": pa.array(right, pa.string()),
        "prediction": pa.array(said, pa.string()),
    }
    extra: dict[str, Any] = {
        "settings": settings,
        "classes": names,
        "report": _report(counts, names),
        "confusion": metric.confusion(gold, predicted, len(names)).tolist(),
    }
    if probabilities:
        found = _calibration(table, probabilities, names, classes, gold, predicted, bins, given)
        scores += found[0]
        columns |= {name: pa.array(values) for name, values in found[1].items()}
        extra["reliability"] = found[2]
    items = pa.table(columns | (beside or {}))
    items = items.set_column(0, table.schema.field("row_id"), table.column("row_id"))  # which may say what names them
    for name, (sums, statistic) in summed.items():
        items = with_sums(items, name, sums, statistic)
    write_scores(out, scores, items, extra)
    missing = sum(s is None for s in said)
    outside = int((predicted < 0).sum()) - missing
    notes = count_notes(
        {"rows have no prediction, and count as wrong": missing, "predictions are not one of classes": outside}
    )
    metrics = {"items": len(right), "classes": len(names), "missing_predictions": missing}
    return Card(metrics={n: float(v) for n, v in metrics.items()}, scores=scores, notes=notes + _worst(extra))


def _report(counts: np.ndarray, names: list[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and the number of members of each class."""
    hits, said, members = counts.sum(axis=0).reshape(3, len(names))
    return {
        name: {
            "precision": float(hits[i] / said[i]) if said[i] else 0.0,
            "recall": float(hits[i] / members[i]) if members[i] else 0.0,
            "f1": float(2 * hits[i] / (said[i] + members[i])) if said[i] + members[i] else 0.0,
            "items": float(members[i]),
            "predicted": float(said[i]),
        }
        for i, name in enumerate(names)
    }


def _worst(extra: dict[str, Any]) -> list[str]:
    """The commonest confusion, in words."""
    import numpy as np

    table, names = np.array(extra["confusion"]), [*extra["classes"], "no class"]
    wrong = table * (1 - np.eye(*table.shape, dtype=np.int64))
    i, j = np.unravel_index(int(wrong.argmax()), wrong.shape)
    if not wrong[i, j]:
        return []
    return [f"most often mistaken: {names[i]} for {names[j]}, {wrong[i, j]:,} of {table[i].sum():,}"]


def _calibration(
    table: pa.Table,
    column: str,
    names: list[str],
    classes: list[str] | None,
    gold: Ints,
    predicted: Ints,
    bins: int,
    given: Provenance,
) -> tuple[list[Score], dict[str, np.ndarray], list[dict[str, float]]]:
    """The scores of the probabilities, their columns of items, and the bins."""
    import numpy as np
    import pyarrow as pa

    from loomwork.metrics import classification as metric

    kind = table.schema.field(column).type
    values = table.column(column).to_pylist()
    if None in values:
        raise InputError(f"row {values.index(None)} has no probabilities in column {column!r}")
    right = gold == predicted
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        confidence = _checked(np.array(values, dtype=np.float64)[:, None], column, whole=False)[:, 0]
        brier, unit = (confidence - right) ** 2, "squared error of the prediction being right"
    else:
        if pa.types.is_struct(kind):
            # A class without a probability of its own has none.
            rows = [[row.get(name) or 0.0 for name in names] for row in values]
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            if classes is None:
                raise InputError(f"column {column!r} has lists: say which classes they are of", "classes=[a, b, c]")
            rows = values
        else:
            raise InputError(f"column {column!r} is {kind}, not probabilities", "numbers, lists, or {class: number}")
        bad = next((i for i, row in enumerate(rows) if len(row) != len(names) or None in row), None)
        if bad is not None:
            raise InputError(f"row {bad}: {len(rows[bad])} probabilities in {column!r} for {len(names)} classes")
        whole = _checked(np.array(rows, dtype=np.float64), column, whole=True)
        confidence = np.where(predicted >= 0, whole[np.arange(len(whole)), predicted], 0.0)
        brier, unit = metric.brier(whole, gold), "squared error of the probabilities"
    counts = metric.calibration_counts(confidence, right, bins)
    top = 1.0 if unit.endswith("right") else 2.0
    scores = [
        sums_score(
            "calibration_error", counts, metric.calibration_error, f"ECE, {bins} bins", "lower is better", given
        ),
        mean_score("brier", brier, unit, "lower is better", given, (0.0, top)),
    ]
    items, sure, hits = counts.sum(axis=0).reshape(3, bins)
    reliability = [
        {
            "low": k / bins,
            "high": (k + 1) / bins,
            "items": float(items[k]),
            "confidence": float(sure[k] / items[k]),
            "accuracy": float(hits[k] / items[k]),
        }
        for k in range(bins)
        if items[k]
    ]
    return scores, {"confidence": confidence, "brier": brier}, reliability


def _checked(found: np.ndarray, column: str, *, whole: bool) -> np.ndarray:
    """Probabilities that are some.  # (rows, classes)"""
    import numpy as np

    bad = ~((found >= 0) & (found <= 1)).all(axis=1)
    if whole:
        bad |= np.abs(found.sum(axis=1) - 1) > TOLERANCE
    if bad.any():
        row = int(bad.argmax())
        why = f"sum to {found[row].sum():.4g}" if whole else f"is {found[row, 0]:.4g}"
        raise InputError(
            f"row {row}: what is in {column!r} {why}: no probabilities",
            "they lie between 0 and 1, and those of all classes sum to 1; of scores take the softmax first",
        )
    return found
