"""The official files of the nine GLUE tasks: data with labels, and predictions as the leaderboard takes them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loomwork.core.errors import InputError
from loomwork.evals._files import read_lines
from loomwork.evals._xml import read_xml

BINARY = {"0": "0", "1": "1"}
ENTAILMENT = {
    **dict.fromkeys(("entailment", "YES", "TRUE"), "entailment"),  # 0 and 1 mean the contrary in some collections
    **dict.fromkeys(("not_entailment", "NO", "FALSE", "UNKNOWN"), "not_entailment"),
}
PAIR = ("sentence1", "sentence2")
PREMISE = (*PAIR, "premise", "hypothesis")  # the hub's rows have the latter two
THREE = {word: word for word in ("entailment", "neutral", "contradiction")}


@dataclass(frozen=True)
class Task:
    """One task of GLUE.

    Args:
        metrics: their names.
        labels: every spelling of a label, and the label; None: numbers.
        columns: names that the label's column has.
        headless: how many columns a file without a header has, which of them is the label, and which are the texts.
        cluster: the column of what items share, where the data has one.
        texts: names that the columns of its sentences have.
    """

    metrics: tuple[str, ...]
    labels: dict[str, str] | None
    columns: tuple[str, ...] = ("label",)
    headless: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    cluster: str = ""
    texts: tuple[str, ...] = PAIR


TASKS = {
    "cola": Task(("matthews",), BINARY, headless={4: (1, (3,))}, texts=("sentence",)),
    "sst-2": Task(("accuracy",), BINARY, texts=("sentence",)),
    "mrpc": Task(("f1", "accuracy"), BINARY, columns=("Quality", "label"), texts=("#1 String", "#2 String", *PAIR)),
    "qqp": Task(("f1", "accuracy"), BINARY, columns=("is_duplicate", "label"), texts=("question1", "question2")),
    "sts-b": Task(("pearson", "spearman"), None, columns=("score", "label"), headless={3: (2, (0, 1))}),
    "mnli-m": Task(("accuracy",), THREE, columns=("gold_label", "label"), cluster="promptID", texts=PREMISE),
    "mnli-mm": Task(("accuracy",), THREE, columns=("gold_label", "label"), cluster="promptID", texts=PREMISE),
    "qnli": Task(("accuracy",), ENTAILMENT, texts=("question", "sentence")),
    "rte": Task(("accuracy",), ENTAILMENT),
    "wnli": Task(("accuracy",), BINARY),
}


@dataclass
class Gold:
    """The right answers of a file, in order.

    Args:
        texts: the sentences of each item, a line each.
        others: what else the file says of each item, by its columns.
        broken: rows without all their columns, left out.
    """

    ids: list[str]
    labels: list[str]
    clusters: list[str] | None
    texts: list[str] = field(default_factory=list)
    others: list[dict[str, str]] = field(default_factory=list)
    broken: int = 0


def read_gold(path: Path, task: Task, cluster: str) -> Gold:
    """The labels of an official data file: tab-separated, comma-separated (.csv), or the XML of RTE.

    Raises:
        InputError: there is no label column, or a label is not one of the task's.
    """
    if path.suffix.lower() == ".xml":
        return _read_pairs(path, task)
    rows = _cells(path)
    header = rows[0]
    named = [c for c in task.columns if c in header]
    if named:
        place, first = header.index(named[0]), 1
        sentences = [header.index(name) for name in task.texts if name in header]
    elif len(header) in task.headless:
        (place, texts), first = task.headless[len(header)], 0
        sentences = list(texts)
    else:
        raise InputError(
            f"{path} has no column {' or '.join(task.columns)}; its first line has: {', '.join(header)[:200]}",
            "give the data with labels (dev.tsv), and the right task",
        )
    index = header.index("index") if first and "index" in header else None
    cluster = cluster or (task.cluster if first and task.cluster in header else "")
    if cluster and cluster not in header[: len(header) * first]:
        raise InputError(f"{path} has no column {cluster!r} to cluster by", f"it has: {', '.join(header)[:200]}")
    group = header.index(cluster) if cluster else None
    found = Gold([], [], [] if cluster else None)
    told = {i: name for i, name in enumerate(header) if first and name and i not in (place, index, *sentences)}
    for number, row in enumerate(rows[first:]):
        if len(row) != len(header):
            found.broken += 1
            continue
        found.ids.append(row[index] if index is not None else str(number))
        found.labels.append(_label(row[place], task, f"{path}, line {number + first + 1}"))
        found.texts.append("\n".join(row[i] for i in sentences))
        found.others.append({name: row[i] for i, name in told.items()})
        if found.clusters is not None and group is not None:
            found.clusters.append(row[group])
    return _with_rows(found, path)


def read_predictions(path: Path, wanted: Sequence[str]) -> tuple[dict[str, str], int]:
    """Predictions by id, and how many ids stand twice (the last one counts).

    Either "index<TAB>prediction" lines below that header, as the leaderboard takes them, or one prediction a line in
    the data's order.

    Raises:
        InputError: there are more columns, or plain lines are not as many as the items.
    """
    rows = [row for row in _cells(path) if row != [""]]
    if len(rows[0]) == 1:
        if len(rows) != len(wanted):
            raise InputError(
                f"{path} has {len(rows)} predictions without an index for {len(wanted)} items",
                "give one a line in the data's order, or lines of index<TAB>prediction below that header",
            )
        return {name: row[0].strip() for name, row in zip(wanted, rows, strict=True)}, 0
    if rows[0] != ["index", "prediction"]:
        raise InputError(f"{path} begins with {'<TAB>'.join(rows[0])[:80]!r}", "it must be index<TAB>prediction")
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise InputError(f"{path}, line {number}: {len(row)} columns where two are needed")
    found = {index.strip(): label.strip() for index, label in rows[1:]}
    return found, len(rows) - 1 - len(found)


def number(text: str, place: str) -> float:
    """A similarity.

    Raises:
        InputError: it is no finite number.
    """
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if found - found != 0:
        raise InputError(f"{place}: {text[:40]!r} is no finite number")
    return found


def _label(text: str, task: Task, place: str) -> str:
    if task.labels is None:
        number(text, place)
        return text
    if text.strip() not in task.labels:
        known = ", ".join(dict.fromkeys(task.labels.values()))
        raise InputError(f"{place}: the label {text.strip()[:40]!r} is not one of {known}", "is it the right task?")
    return task.labels[text.strip()]


def _cells(path: Path) -> list[list[str]]:
    lines = read_lines(path)
    if path.suffix.lower() == ".csv":
        reader = csv.reader(lines)
        try:
            return [row for row in reader if row]
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}") from None
    return [line.split("\t") for line in lines]


def _read_pairs(path: Path, task: Task) -> Gold:
    found = Gold([], [], None)
    for pair in read_xml(path).iter("pair"):
        get: Callable[[str], str | None] = pair.attrib.get
        label, name = get("entailment") or get("value"), get("id")
        if not label or not name:
            raise InputError(f"{path}: a pair (id {name}) has no id, or neither entailment= nor value=")
        found.ids.append(name)
        found.labels.append(_label(label, task, f"{path}, pair {name}"))
        found.texts.append("\n".join(" ".join("".join(part.itertext()).split()) for part in pair))
        about = {key: value for key, value in pair.attrib.items() if key not in ("id", "entailment", "value")}
        found.others.append(about)
    return _with_rows(found, path)


def _with_rows(found: Gold, path: Path) -> Gold:
    if not found.ids:
        raise InputError(f"{path} has no items")
    if len(set(found.ids)) < len(found.ids):
        twice = next(name for i, name in enumerate(found.ids) if name in found.ids[:i])
        raise InputError(f"{path}: the index {twice} stands twice", "each item needs its own")
    return found
