"""Fine-tune a model to classify texts, or to give each a number."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, Group, step
from loomwork.learn.settings import CLASS_METRICS, NUMBER_METRICS, Adapter, Rows, Share, Training, made_parts, together

MOST_CLASSES = 1000
MOST_MEASURED = 10  # values of a column of decimals that may be classes: grades in halves, say
RIGHT_COLUMN = "is it the right column?"


def check_settings(given: Mapping[str, Any], inputs: Collection[str]) -> None:
    """Refuse settings that do not go together.

    Raises:
        InputError: a row would be weighed twice, what is for classes is given for numbers, or see `together`.
    """
    if given["weights"] and given["class_weights"] != "none":
        raise InputError("weights and class_weights are both given", "one of them: a row is weighed once")
    numbers = given["target"] == "number"
    if numbers and (given["label_smoothing"] or given["class_weights"] != "none"):
        raise InputError("label_smoothing and class_weights are for classes", "leave them out where target is number")
    together(*(NUMBER_METRICS if numbers else CLASS_METRICS))(given, inputs)


@step(
    makes="model",
    uses=["torch", "transformers", "tokenizers", "safetensors", "numpy"],
    heavy=True,
    parallel=True,
    parts=made_parts,
    checks=check_settings,
)
def classify(
    base: Model,
    data: Dataset,
    holdout: Dataset | None = None,
    *,
    text: str = "text",
    label: str = "label",
    target: Literal["classes", "number"] = "classes",
    dropout: Share = 0.1,
    label_smoothing: Share = 0.0,
    class_weights: Literal["none", "balanced"] = "none",
    weights: str = "",
    max_tokens: Annotated[int, Ge(3)] = 128,
    rows: Annotated[Rows, Group()] = Rows(epochs=2.0, batch=32),
    training: Annotated[Training, Group()] = Training(schedule="linear"),
    tuning: Annotated[Adapter, Group()] = Adapter(),
    out: Path,
) -> Card:
    """Train a model with an output layer of classes, or of one number, on labelled texts.

    A batch's texts are computed in groups of like length, so that hardly anything is padding. Weights and optimizer
    are float32; layers compute in the number format that the runner resolved for this machine. The folder opens in
    transformers' AutoModelForSequenceClassification, and evals.classify scores it.

    Args:
        base: an encoder, or any model that transformers has such an output layer for.
        data: the texts. Rows without a text or a label are left out and counted.
        holdout: the same, to watch: `holdout_loss`, and of classes `holdout_accuracy`, `holdout_macro_f1` and
            `holdout_matthews`, of numbers `holdout_pearson`.
        text: their column.
        label: the column of classes, of any plain type: the classes are those that occur; or of numbers.
        target: whether labels are classes, or numbers to be predicted (regression: half of the squared error of
            standardised numbers, so that the default rate suits any unit; the model gives them in their own).
        dropout: everywhere in the model.
        label_smoothing: how much of the target is spread over all classes.
        class_weights: "balanced" weighs each row by the inverse frequency of its class, for classes of unequal size.
        weights: a column of weights of rows, 0 or more, as data.balance writes; "" for none. Held-out rows have theirs
            where they have the column too, else each counts as 1.
        max_tokens: how much of each text is read.

    Raises:
        InputError: a column is missing, there are fewer than two classes, a label is no number, a weight is none, or
            the model has no such output layer.

    Source: Devlin et al. 2018, arXiv:1810.04805; King and Zeng (2001) for the balanced weights.
    """
    import torch

    from loomwork.learn.encoder_run import batches_for, open_trained, run_encoder
    from loomwork.learn.judges import ClassJudge, NumberJudge
    from loomwork.learn.number_unit import NumberUnit
    from loomwork.learn.objectives import ClassObjective, NumberObjective, Outputs
    from loomwork.learn.objectives import class_weights as weights_of
    from loomwork.learn.order import RowOrder
    from loomwork.learn.written import about_trained, write_trained
    from loomwork.models.classifier import TASK
    from loomwork.models.folder import within_context

    numbers = target == "number"
    given = {"weights": weights, "class_weights": class_weights, "target": target, "label_smoothing": label_smoothing}
    groups = {"training": training, "tuning": tuning}
    check_settings(given | groups, {"holdout"} if holdout is not None else ())
    max_tokens, notes = within_context(base, max_tokens, tuning.tokens_before)
    read = partial(read_labelled, base, text=text, label=label, max_tokens=max_tokens, numbers=numbers, weights=weights)
    labelled = read(data)
    held = None
    if holdout is not None:
        weighed = weights if weights in holdout.schema.names else ""  # data.balance is for what is learned
        held = read(holdout, classes=labelled.classes, weights=weighed)
    config = label_config(labelled.classes)
    model = open_trained(base, "classes", training, tuning, dropout=dropout, **config)
    outputs = Outputs(model, getattr(torch, context().precision))
    objective = NumberObjective(outputs) if numbers else ClassObjective(outputs, label_smoothing)
    wanted = torch.tensor(labelled.targets, dtype=torch.float64 if numbers else torch.long)
    counts = None if numbers else torch.bincount(wanted, minlength=len(labelled.classes))
    unit = NumberUnit(model, wanted, torch.tensor(labelled.weights)) if numbers else None

    def batches(given: Labelled) -> Any:
        targets, weighed = torch.tensor(given.targets, dtype=wanted.dtype), torch.tensor(given.weights)
        if unit:
            targets = unit.standardised(targets)
        if counts is not None and not weights:
            weighed = weights_of(counts, class_weights)[targets]

        def make(chosen: list[int], step: int) -> dict[str, Any]:
            return {"targets": (targets[chosen], weighed[chosen])}

        def weigh(chosen: Sequence[int]) -> float:
            return float(weighed[list(chosen)].sum())

        order = RowOrder(len(given.ids), rows.batch, training.seed)
        return batches_for(model, given.ids, order, make, weigh)

    steps = rows.count(len(labelled.ids))
    settings = [base.id, data.digest, text, label, target, dropout, label_smoothing, class_weights, weights, max_tokens]
    mark = ["classify", *settings, asdict(rows)]
    taken = batches(labelled)
    judge = NumberJudge() if numbers else ClassJudge(len(labelled.classes))
    watched = batches(held) if held else None
    run = run_encoder(model, objective, taken, watched, steps, training, tuning, mark, unit, judge)
    about = about_trained("train.classify", base, data, [text, label], training)
    about = replace(about, task=TASK, engine="torch", max_tokens=max_tokens)
    lengths = [len(i) for i in labelled.ids]
    steps = write_trained(
        run, base, "classes", about, tuning, out,
        order=taken.order, row_ids=labelled.row_ids, lengths=lengths, config=config,
    )  # fmt: skip
    counted = {
        "epochs": steps * rows.batch / len(labelled.ids),
        "rows": float(len(labelled.ids)),
        "rows_left_out": float(labelled.left_out),
        "rows_cut": float(labelled.cut),
    }
    notes = [*run.notes, *notes]
    if unit:
        notes.append(f"losses are of numbers less {unit.mean:.4g}, over {unit.spread:.4g}")
    else:
        counted["classes"] = float(len(labelled.classes))
        notes.append(f"classes: {', '.join(labelled.classes[:20])}")
        assert counts is not None
        if single := int((counts == 1).sum()):
            notes.append(
                f"{single} of {len(labelled.classes)} classes have one row only: is {label!r} the right column?"
            )
    return Card(metrics=run.metrics | counted, notes=notes)


@dataclass(frozen=True)
class Labelled:
    """Labelled texts, in the order of the data.

    Args:
        ids: token ids of each.
        targets: the number of each one's class, or its number.
        weights: of each, 1 where none are given.
        classes: their names in order; none for numbers.
        row_ids: of the dataset.
        left_out: how many rows had no text or no label.
        cut: how many texts were longer than what is read.
    """

    ids: list[list[int]]
    targets: list[Any]
    weights: list[float]
    classes: list[str]
    row_ids: list[bytes]
    left_out: int
    cut: int


def read_labelled(
    base: Model,
    data: Dataset,
    text: str,
    label: str,
    max_tokens: int,
    *,
    numbers: bool = False,
    classes: list[str] | None = None,
    weights: str = "",
) -> Labelled:
    """Read and tokenise labelled texts.

    Args:
        numbers: labels are numbers.
        classes: those that there are; None takes those that occur.
        weights: the column of rows' weights, or "".

    Raises:
        InputError: there are fewer than two classes, or more than 1,000, or a class that is none of `classes`, or a
            label that is no number, or a weight that is none.
    """
    from loomwork.learn.room import check_texts
    from loomwork.metrics.classification import class_name
    from loomwork.models.encoder import encode_counted, load_tokenizer

    columns = [text, label, "row_id", *([weights] if weights else [])]
    data.require(*columns)
    check_texts(data, text)
    tokenizer = load_tokenizer(base)
    ids: list[list[int]] = []
    labels: list[Any] = []
    weighed: list[float] = []
    row_ids: list[bytes] = []
    places: list[int] = []  # of the rows in the data, counted from 1
    left_out = cut = seen = 0
    for table in data.tables(columns):
        found = zip(*(table.column(n).to_pylist() for n in columns), strict=True)
        kept = [
            (at, (t, c, *m))
            for at, (t, c, *m) in enumerate(found, seen + 1)
            if isinstance(t, str) and t.strip() and class_name(c) is not None
        ]
        seen += len(table)
        places += [at for at, _ in kept]
        good = [row for _, row in kept]
        left_out += len(table) - len(good)
        some, over = encode_counted(tokenizer, [row[0] for row in good], max_tokens)
        ids += some
        cut += over
        labels += [row[1] for row in good]
        row_ids += [bytes(row[2]) for row in good]
        weighed += [_weight(row[3], weights) for row in good] if weights else [1.0] * len(good)
    if ids and not any(weighed):
        raise InputError(
            f"all weights in column {weights!r} are 0: nothing would be learned", "is it the right column?"
        )
    if not ids:
        raise InputError(f"no row has both a {text!r} and a {label!r}", "is it the right column?")
    if numbers:
        values = [_number(v, label, at, row) for v, at, row in zip(labels, places, row_ids, strict=True)]
        if classes is None and len(set(values)) == 1:
            raise InputError(f"column {label!r} is {values[0]:g} in every row: there is nothing to learn", RIGHT_COLUMN)
        return Labelled(ids, values, weighed, [], row_ids, left_out, cut)
    if classes is None:
        _refuse_measured(labels, label)
    names = [str(class_name(c)) for c in labels]
    known = classes or sorted(set(names))
    if not 2 <= len(known) <= MOST_CLASSES:
        raise InputError(
            f"column {label!r} has {len(known)} classes",
            "between 2 and 1,000 are needed; is it the right column, and has it values?",
        )
    place = {name: i for i, name in enumerate(known)}
    strange = next((name for name in names if name not in place), None)
    if strange is not None:
        raise InputError(f"the held-out label {strange!r} is none of the training data's", "split with stratify")
    return Labelled(ids, [place[c] for c in names], weighed, known, row_ids, left_out, cut)


def _number(value: Any, column: str, place: int, row_id: bytes) -> float:
    row = f"column {column!r}, row {place:,} (row_id {row_id.hex()})"
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{row}: the label {value!r} is no number", "drop such rows, or target: classes") from None
    if not math.isfinite(found):
        raise InputError(f"{row}: the label is {found}, which is not finite", "drop these rows first: data.filter")
    return found


def _refuse_measured(labels: Sequence[Any], column: str) -> None:
    """Refuse to make a class of every value of a measurement: labels that are many and no whole numbers."""
    values = {v for v in labels if isinstance(v, float) and math.isfinite(v)}
    if len(values) > MOST_MEASURED and any(not v.is_integer() for v in values):
        what = f"column {column!r} has {len(values)} different numbers, and not all are whole: each would be a class"
        raise InputError(what, "set target: number; or write the classes as texts")


def _weight(value: Any, column: str) -> float:
    if isinstance(value, int | float) and 0 <= value < float("inf"):
        return float(value)
    raise InputError(f"column {column!r} has {value!r}, which is no weight", "a number, 0 or more, in every row")


def label_config(classes: list[str]) -> dict[str, Any]:
    """What config.json says of the output layer."""
    if not classes:
        return {"num_labels": 1, "problem_type": "regression"}
    return {
        "num_labels": len(classes),
        "id2label": dict(enumerate(classes)),
        "label2id": {name: i for i, name in enumerate(classes)},
        "problem_type": "single_label_classification",
    }
