"""Datasets of Hugging Face: a folder on this disk, or one of the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from loomwork.core.context import context
from loomwork.core.dataset import MAIN, DatasetWriter
from loomwork.core.errors import InputError, MissingDependency, Stopped, did_you_mean
from loomwork.core.step import Card, Revision, step
from loomwork.core.tables import given_names
from loomwork.data._read_rows import OWN_NAMES
from loomwork.data._rows import counted

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1000
HUB_ID = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?")
SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk writes


@step(makes="dataset", uses=["datasets"])
def read_hub(
    *,
    path: str,
    split: str | None = None,
    config: str | None = None,
    revision: Annotated[str | None, Revision("path")] = None,
    out: Path,
) -> Card:
    """Read a dataset of Hugging Face: a folder that save_to_disk wrote, a folder of data files, or an id of the hub.

    Rows are streamed, and no program that a dataset brings is run. Each split becomes a part. Every row gets `source`,
    as "name/train:12"; the user's columns `source`, `row_id` and `origin_ids` become `given_source` and so on. Classes
    stay numbers; the card's notes say their names.

    Args:
        path: the folder, or the id ("stanfordnlp/imdb").
        split: only this one, as the only part.
        config: which configuration of a hub's dataset or a folder of data files.
        revision: of the hub's dataset: a commit, a tag, or a branch, which may move. While it is the same, nothing is
            read again; without it the hub is read anew each time. A folder has none: its files decide.

    Raises:
        InputError: there is no such folder or id, split or configuration; the hub cannot be reached; there are no rows.
        MissingDependency: datasets is not installed.
    """
    splits = _splits(path, split, config, revision)
    notes = {note: None for found in splits.values() for note in _classes(found)}
    done = 0
    with DatasetWriter(out) as writer:
        for name, found in splits.items():
            part, place = MAIN if split else name, 1
            for table in _tables(path, found):
                label = [
                    f"{Path(path).name if Path(path).exists() else path}/{name}:{place + i}" for i in range(len(table))
                ]
                writer.write(_with_source(table, label), part=part)
                place, done = place + len(table), done + len(table)
                context().progress(done, unit="rows")
                if context().stop_requested:
                    raise Stopped("stopped while reading a dataset", "run it again to read it from the start")
        if not sum(writer.counts.values()):
            raise InputError(f"{path} has no rows", "look at its splits")
    card = counted(writer)
    card.notes += notes
    return card


def _splits(path: str, split: str | None, config: str | None, revision: str | None) -> dict[str, Any]:
    """The wanted splits by name, none of them read yet."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise MissingDependency("step data.read_hub", "datasets", "hub") from None
    folder = Path(path).expanduser()
    local = folder.is_dir()
    if local and revision is not None:
        raise InputError(f"{path} is a folder, which has no revisions", "leave revision= out: its files decide")
    if not local and not HUB_ID.fullmatch(path):
        raise InputError(f"no such folder, and no id of the hub: {path}", f"looked in {Path.cwd()}")
    if local and any((folder / name).is_file() for name in SAVED):
        if config is not None:
            raise InputError(f"{path} was saved by save_to_disk, and has no configurations", "leave config= out")
        with _explained(path):
            found = datasets.load_from_disk(str(folder))
    else:
        with _explained(path):
            given = str(folder) if local else path
            found = datasets.load_dataset(given, config, revision=revision, streaming=True)
    if not isinstance(found, dict):
        found = {str(found.split or "train"): found}
    if split is not None and split not in found:
        raise InputError(f"{path} has no split {split!r}", did_you_mean(split, found))
    return {name: found[name] for name in ([split] if split else found)}


def _tables(path: str, found: Any) -> Iterator[pa.Table]:
    with _explained(path):
        yield from found.with_format("arrow").iter(batch_size=BATCH_ROWS)


def _with_source(table: pa.Table, sources: list[str]) -> pa.Table:
    import pyarrow as pa

    names = given_names(table.column_names, OWN_NAMES)
    plain = table.rename_columns(names).replace_schema_metadata(None)
    return plain.append_column("source", pa.array(sources, pa.string()))


def _classes(found: Any) -> list[str]:
    """What the numbers in columns of classes mean, in words."""
    kinds = (found.features or {}).items()
    named = {name: kind.names for name, kind in kinds if getattr(kind, "names", None)}
    return [f"{name}: " + ", ".join(f"{i} = {c}" for i, c in enumerate(words)) for name, words in named.items()]


class _explained:
    """Turns the errors of datasets, and of the libraries below it, into ours."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if not isinstance(error, OSError | ValueError | LookupError | RuntimeError):
            return
        if isinstance(error, ConnectionError):
            what, hint = "the hub cannot be reached", "check the id and the network, or give a folder on this disk"
        else:
            what, hint = f"{type(error).__name__}: {error}", "check the path, config= and revision="
        raise InputError(f"{self.path} cannot be read: {what}", hint) from error
