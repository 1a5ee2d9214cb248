"""The documents of a task: its evaluated split, and those that examples are drawn from."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from loomwork.core.dataset import OURS, Dataset
from loomwork.core.errors import InputError, MissingDependency, did_you_mean
from loomwork.evals.tasks.task import Row, Task

FORMATS = ("json", "csv", "parquet")
LABEL_CHARACTERS = 100  # of a column that slices could be made by; longer ones are texts


@dataclass(frozen=True)
class Documents:
    """What a task reads.

    Args:
        evaluated: the documents that are asked.
        pool: those that examples are drawn from; empty where none are shown.
        ids: of the evaluated documents: of the rows that they were read from, or hashes of their content.
    """

    evaluated: list[Row]
    pool: list[Row]
    ids: list[bytes] = field(default_factory=list)


def read_documents(
    task: Task, data: Dataset | None = None, examples: Dataset | None = None, *, num_fewshot: int | None = None
) -> Documents:
    """Read the documents of a task.

    Args:
        task: the task.
        data: the documents, where the task's own are on the hub or elsewhere: a dataset with a part for each split
            that is read, or one part, for the evaluated split.
        examples: the documents that examples are drawn from, in place of the task's split of them.
        num_fewshot: as the prompts will have; without examples their split is not read.

    Raises:
        InputError: a file or a part is not there, or is not what its name says; nothing says where the documents are.
    """
    splits = _Splits(task, data)
    rows = splits.read(str(task.evaluated_split))
    ids = list(splits.ids) if task.process_docs is None else []
    evaluated = _prepared(_processed(rows, task.process_docs), task)
    ids = ids or [_content_id(document) for document in evaluated]
    if not evaluated:
        raise InputError(f"task {task.name}: split {task.evaluated_split!r} has no documents")
    if (task.num_fewshot if num_fewshot is None else num_fewshot) == 0:
        if examples is not None:
            raise InputError(f"task {task.name} is given `examples` and shows none", "say how many: num_fewshot=5")
        return Documents(evaluated, [], ids)
    return Documents(evaluated, _pool(task, splits, examples, evaluated), ids)


def _pool(task: Task, splits: _Splits, examples: Dataset | None, evaluated: list[Row]) -> list[Row]:
    """The documents that examples are drawn from."""
    shots, split, process = task.shots, str(task.shots_split), task.process_docs
    if examples is not None:
        rows = _Splits(task, examples).rows_of(examples)
        return _prepared(_processed(rows, shots.process_docs or process), task)
    if shots.split is None and shots.samples is not None:
        return shots.samples() if callable(shots.samples) else list(shots.samples)
    if shots.split is not None:
        process = shots.process_docs or process
    if split == task.evaluated_split and process is task.process_docs:
        return evaluated
    if (data := splits.given) is not None and (data.part or split not in data.parts):
        # Its other parts may be other ones tomorrow: a step's key is of the part that it is given.
        what = f"task {task.name} draws examples from {split!r}, and `data` has only the documents that are asked"
        raise InputError(what, "give them as `examples`, a file or a part of a dataset, or show none: num_fewshot=0")
    return _prepared(_processed(splits.read(split), process), task)


def document_files(task: Task) -> list[Path]:
    """The files that hold a task's documents, where it names them itself.

    Raises:
        InputError: one is not there.
    """
    source = task.source
    if source.path in FORMATS:
        found = [_beside(task, name) for names in source.data_files.values() for name in names]
    else:
        found = [f for f in sorted(_beside(task, source.path).rglob("*.parquet")) if f.is_file()]
    for path in found:
        if not path.is_file():
            raise InputError(f"there is no file {path}", f"looked beside the task file and in {Path.cwd()}")
    return found


def label_columns(documents: Sequence[Row]) -> dict[str, list[Any]]:
    """The columns of documents whose values are short: what scores can be sliced by. Texts and lists are left out.

    Numbers and truth values stay what they are; values of other types, or of several, become texts.
    """
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for document in documents for name in document):
        values = [document.get(name) for document in documents]
        kinds = {type(v) for v in values if v is not None}
        if not kinds or any(issubclass(kind, dict | list | tuple | bytes) for kind in kinds):
            continue
        large = any(isinstance(v, int) and v.bit_length() > 63 for v in values)
        if large or kinds not in ({bool}, {int}, {float}, {int, float}):
            values = [None if v is None else str(v) for v in values]
            if max(len(v) for v in values if v is not None) > LABEL_CHARACTERS:
                continue
        elif float in kinds:
            values = [None if v is None else float(v) for v in values]
        found[str(name)] = values
    return found


class _Splits:
    def __init__(self, task: Task, data: Dataset | None) -> None:
        self.task, self.given, self.data = task, data, data
        self.ids: list[bytes] = []  # of the rows that were read last, where they have any
        if data is None and any(self._folder.glob("*/*.parquet")):
            self.data = Dataset(self._folder)

    @property
    def _folder(self) -> Path:
        return _beside(self.task, self.task.source.path)

    def read(self, split: str) -> list[Row]:
        if self.data is not None:
            return self._part(self.data, split)
        source = self.task.source
        if source.path not in FORMATS:
            config = f" config={source.name}" if source.name else ""
            raise InputError(
                f"task {self.task.name} reads {source.path!r}, which is no folder of a dataset here",
                f"read it with `loom call data.read_hub path={source.path}{config}` and give the result as `data`",
            )
        if split not in source.data_files:
            hint = did_you_mean(split, source.data_files) if source.data_files else "name them in dataset_kwargs"
            raise InputError(f"task {self.task.name}: `data_files` has no split {split!r}", hint)
        rows = [
            r for name in source.data_files[split] for r in _read(source.path, _beside(self.task, name), source.field)
        ]
        columns = dict.fromkeys(c for row in rows for c in row)
        return [{c: row.get(c) for c in columns} for row in rows]

    def _part(self, data: Dataset, split: str) -> list[Row]:
        if split == self.task.evaluated_split and (data.part or (split not in data.parts and _single(data))):
            chosen = data
        else:
            chosen = data.select(split)
        return self.rows_of(chosen)

    def rows_of(self, chosen: Dataset) -> list[Row]:
        """The documents of the part of a dataset that is read."""
        rows = list(chosen.rows())
        field = self.task.source.field
        if field and all(isinstance(row.get(field), list) for row in rows):  # an official file that was read whole
            return [dict(inner) for row in rows for inner in row[field]]
        self.ids = [row["row_id"] for row in rows]
        return [{k: v for k, v in row.items() if k not in OURS} for row in rows]


def _prepared(rows: list[Row], task: Task) -> list[Row]:
    if task.prepare is None:
        return rows
    made = task.prepare(rows)
    if len(made) != len(rows):
        raise InputError(
            f"task {task.name}: `prepare` made {len(made)} documents of {len(rows)}",
            "one of each; filter the data before",
        )
    return made


def _content_id(document: Row) -> bytes:
    """The same for equal documents, wherever they were read."""
    text = json.dumps(document, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _single(data: Dataset) -> bool:
    return len([p for p in data.parts if p != "dropped"]) == 1


def _beside(task: Task, name: str) -> Path:
    """A path of a task file: beside the file, or else from the current folder."""
    beside = (task.file.parent if task.file else Path()) / name
    return beside if beside.exists() else Path(name)


def _read(format: str, path: Path, field: str) -> list[Row]:
    if not path.is_file():
        raise InputError(f"there is no file {path}", f"looked beside the task file and in {Path.cwd()}")
    if format == "json":
        return list(_json_rows(path, field))
    import polars as pl

    try:
        table = pl.read_csv(path, infer_schema_length=None) if format == "csv" else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} is not {format}: {str(error).splitlines()[0]}") from None
    return list(table.to_dicts())


def _json_rows(path: Path, field: str) -> Iterator[Row]:
    """The rows of a JSON file: one a line, or a list, or a list under the key `field`."""
    with _open(path) as file:
        first = file.read(1)
        while first.isspace():
            first = file.read(1)
        file.seek(0)
        if not field and first != b"[":
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _row(_loaded(line, f"{path}:{number}"), f"{path}:{number}")
            return
        found = _loaded(file.read(), str(path))
    if field:
        if not isinstance(found, dict) or field not in found:
            raise InputError(
                f"{path} has no key {field!r}", did_you_mean(field, found if isinstance(found, dict) else [])
            )
        found = found[field]
    if not isinstance(found, list):
        raise InputError(f"{path} has no list of rows" + (f" under {field!r}" if field else ""))
    for number, row in enumerate(found):
        yield _row(row, f"{path}, row {number}")


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _loaded(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: not JSON: {error}", "one object a line, or one list of them") from None


def _row(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{where}: a row is an object, not {value!r:.60}")
    return value


def _processed(rows: list[Row], process: Callable[..., Any] | None) -> list[Row]:
    """What a task's own `process_docs` makes of rows: it takes and returns a table of the library `datasets`."""
    if process is None:
        return rows
    try:
        from datasets import Dataset as Table
    except ModuleNotFoundError:
        raise MissingDependency("a task's `process_docs`", "datasets", "hub") from None
    return [dict(row) for row in process(Table.from_list(rows))]
