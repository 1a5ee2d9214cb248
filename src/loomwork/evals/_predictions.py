"""What the scorers share that know answers only, not the model that gave them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

UNKNOWN = "only its answers are known: what gave them was trained on data that cannot be looked through here"


def either_files_or_rows(rows: Dataset | None, **files: Path | None) -> list[Path]:
    """The paths of the files; checks that either all of them are given, or a dataset.

    Raises:
        InputError: neither, both, or one file is missing.
    """
    given = [name for name, path in files.items() if path is not None]
    if (rows is None and len(given) < len(files)) or (rows is not None and given):
        names = " and ".join(files)
        raise InputError(
            f"give either {names}, or rows; given: {', '.join(given + ['rows'] * (rows is not None)) or 'nothing'}",
            "files by path, as in " + " ".join(f"{name}=FILE" for name in files),
        )
    return [path or Path() for path in files.values()]


def count_notes(counts: Mapping[str, int]) -> list[str]:
    """One sentence with the counts that are not 0."""
    told = [f"{count:,} {what}" for what, count in counts.items() if count]
    return ["; ".join(told)] if told else []


def texts(table: pa.Table, column: str) -> list[str | None]:
    """A column of classes or numbers as text, None where it is missing: see `class_name`."""
    from loomwork.metrics.classification import class_name

    return [class_name(value) for value in table.column(column).to_pylist()]


def complete(table: pa.Table, column: str) -> list[str]:
    """The same of a column in which nothing is missing.

    Raises:
        InputError: a row has no value.
    """
    found = texts(table, column)
    if None in found:
        raise InputError(f"row {found.index(None)} has nothing in column {column!r}", "leave such rows out first")
    return [text for text in found if text is not None]


def named_items(table: pa.Table, column: str) -> list[str]:
    """A column in which each item has a name of its own.

    Raises:
        InputError: a name is missing, or given twice.
    """
    names = complete(table, column)
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InputError(f"column {column!r} has {twice!r} twice", "id is a column that names each item")
    return names


def labels_and_predictions(
    table: pa.Table, label: str, prediction: str, classes: Collection[str] = ()
) -> tuple[list[str], list[str | None]]:
    """Two columns of classes as text, spelled alike. What is blank is missing: so a CSV file has what is missing.

    Args:
        table: the items.
        label, prediction: the columns.
        classes: all that there are, where they are known; else those that are labels.

    Raises:
        InputError: a row has no label, or no prediction is one of the classes: they are spelled otherwise.
    """
    import pyarrow as pa

    right, said = complete(table, label), texts(table, prediction)
    if any(pa.types.is_boolean(table.schema.field(name).type) for name in (label, prediction)):
        spelled = {"true": str(True), "false": str(False)}  # a text beside truth values: JSON says true
        right = [spelled.get(name.lower(), name) for name in right]
        said = [name and spelled.get(name.lower(), name) for name in said]
    found, known = {name for name in said if name is not None}, {*classes, *right}
    if found and not found & known:
        wanted, some = (", ".join(sorted(names)[:5]) for names in (known, found))
        raise InputError(
            f"no prediction is one of the classes: these are {wanted}, and column {prediction!r} has {some}",
            "spell them alike; evals.classification takes classes=[...] where one of them is really never right",
        )
    return right, said


def referenced(
    rows: Dataset, prediction: str, reference: str, cluster: str
) -> tuple[list[str], list[list[str]], list[str] | None]:
    """The texts of a column, the references of each row, and the cluster of each row, or None.

    Raises:
        InputError: a text is missing, or there are fewer than two rows.
    """
    rows.require(prediction, reference, *([cluster] if cluster else []))
    rows.require_rows()
    said: list[str] = []
    texts: list[list[str]] = []
    labels: list[str] = []
    for i, row in enumerate(rows.rows(list(dict.fromkeys([prediction, reference, *([cluster] if cluster else [])])))):
        own = [row[reference]] if isinstance(row[reference], str) else row[reference] or []
        if not isinstance(row[prediction], str) or not own or not all(isinstance(text, str) for text in own):
            raise InputError(f"row {i} has no text in {prediction!r} or {reference!r}", "leave such rows out first")
        said.append(row[prediction])
        texts.append(own)
        labels.append(str(row[cluster]) if cluster else "")
    if len(said) < 2:
        raise InputError("one row gives no interval", "score at least two")
    return said, texts, labels if cluster else None
