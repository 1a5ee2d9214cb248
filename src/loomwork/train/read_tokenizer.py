"""Take a tokenizer's folder into the store, as it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

from loomwork.core.errors import InputError
from loomwork.core.step import Card, Files, step
from loomwork.models.folder import TOKENIZER


@step(makes="tokenizer")
def read_tokenizer(*, path: Annotated[Path, Files("*", skip=(".git", "__pycache__"))], out: Path) -> Card:
    """Take a tokenizer from a folder: one that train.tokenizer made, or the files of any tokenizer of transformers.

    An input that is a tokenizer takes such a folder too, and then this step runs by itself.

    Args:
        path: the folder, or its tokenizer.json.

    Raises:
        InputError: it has no tokenizer.json.
    """
    folder = path.parent if path.is_file() else path
    found = [folder / name for name in TOKENIZER if (folder / name).is_file()]
    if not (folder / TOKENIZER[0]).is_file():
        raise InputError(f"{folder} has no {TOKENIZER[0]}", "write one with transformers: save_pretrained(folder)")
    for file in found:
        shutil.copyfile(file, out / file.name)
    return Card(metrics={"files": float(len(found))})
