"""Datasets of Hugging Face: a folder on this disk, or one of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from loomwork.core.context import context
from loomwork.core.dataset import MAIN, DatasetWriter
from loomwork.core.errors import InputError, MissingDependency, Stopped, did_you_mean
from loomwork.core.hub import COMMIT, HUB_ID, HubState, hub_errors, hub_state
from loomwork.core.step import Card, Revision, step
from loomwork.core.tables import given_names
from loomwork.data._read_rows import OWN_NAMES
from loomwork.data._rows import counted

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1000
SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk writes


@step(makes="dataset", uses=["datasets"], parts=lambda settings: None)
def read_hub(
    *,
    path: str,
    split: str | None = None,
    config: str | None = None,
    revision: Annotated[str | None, Revision("path", fixed=COMMIT)] = None,
    out: Path,
) -> Card:
    """Read a dataset of Hugging Face: a folder that save_to_disk wrote, a folder of data files, or an id of the hub.

    Rows are streamed. No program that a dataset brings is run, no pickle is opened. Each split becomes a part. Every
    row gets `source`, as "name/train:12"; the user's columns `source`, `row_id` and `origin_ids` become `given_source`
    and so on. Classes stay numbers; the card's notes say their names, and which commit of the hub was read.

    A private or gated dataset needs a token in the environment variable HF_TOKEN, which is never stored.

    Args:
        path: the folder, or the id ("stanfordnlp/imdb").
        split: only this one, as the only part.
        config: which configuration of a hub's dataset or a folder of data files.
        revision: of the hub's dataset. With a whole commit (40 digits) nothing is read again; with a branch or a tag,
            which may move, and without it (the main branch) the hub is read anew each time. A folder has none: its
            files decide.

    Raises:
        InputError: there is no such folder or id, split, configuration or revision; the hub cannot be reached or lets
            you not in; there are no rows.
        MissingDependency: datasets is not installed.
    """
    splits, state = _splits(path, split, config, revision)
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
    if state:  # not in the rows: one that did not change stays the same row in the next commit
        card.notes.append(f"{state.id} at commit {state.commit}; with it as revision= nothing is read again")
    return card


def _splits(
    path: str, split: str | None, config: str | None, revision: str | None
) -> tuple[dict[str, Any], HubState | None]:
    """The wanted splits by name, none of them read yet, and which state of the hub they are of."""
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
    state = None if local else hub_state("dataset", path, revision)
    if local and any((folder / name).is_file() for name in SAVED):
        if config is not None:
            raise InputError(f"{path} was saved by save_to_disk, and has no configurations", "leave config= out")
        with _explained(path):
            found = datasets.load_from_disk(str(folder))
    else:
        found = _streamed(path, config, state)
    if not isinstance(found, dict):
        found = {str(found.split or "train"): found}
    if split is not None and split not in found:
        raise InputError(f"{path} has no split {split!r}", did_you_mean(split, found))
    return {name: found[name] for name in ([split] if split else found)}, state


def _streamed(path: str, config: str | None, state: HubState | None) -> Any:
    """The splits of a folder of data files, or of a state of the hub."""
    import datasets
    from datasets.packaged_modules.webdataset.webdataset import WebDataset

    given, commit = (f"hf://datasets/{state.id}", state.commit) if state else (str(Path(path).expanduser()), None)
    with _explained(path), hub_errors("dataset", path, commit):
        builder = datasets.load_dataset_builder(given, config, revision=commit)
    if state and builder.hash != commit:  # datasets falls back to what it has in its cache
        raise InputError(f"{path} cannot be read: the hub was lost sight of", "try again later")
    if isinstance(builder, WebDataset):
        hint = "unpack it, or give the archive itself to data.read"
        raise InputError(f"{path} is made of .tar files, whose members may be pickles: they are not opened", hint)
    if state:
        _require_own_files(builder.config.data_files or {}, state)
    with _explained(path), hub_errors("dataset", path, commit):
        return builder.as_streaming_dataset()


def _require_own_files(files: dict[str, list[str]], state: HubState) -> None:
    """A dataset's read-me may name files of its other commits; datasets refuses those of other repositories."""
    own = f"hf://datasets/{state.id}@{state.commit}/"
    for file in (str(name) for names in files.values() for name in names):
        if not file.startswith(own):
            raise InputError(
                f"{state.id} names a file that is not of its commit {state.commit[:12]}: {file}",
                "give a revision whose own files hold the rows",
            )


def _tables(path: str, found: Any) -> Iterator[pa.Table]:
    with _explained(path), hub_errors("dataset", path):
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
        if not isinstance(error, OSError | ValueError | LookupError | RuntimeError | ImportError):
            return
        what, hint = f"{type(error).__name__}: {error}", "check the path, config= and revision="
        raise InputError(f"{self.path} cannot be read: {what}", hint) from error
