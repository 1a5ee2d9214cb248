"""loom init: a new project folder with a recipe that runs on the user's own files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

RECIPE = """\
# {name}: your texts, read, cleaned, without duplicates, split, and ready to be asked.
# Run it:  loom run      See what is there:  loom show      All steps:  loom steps
recipe: {name}
settings:
  seed: 7
steps:
  raw:      {{use: data.read, path: {path}, text_unit: paragraph}}
  clean:    {{use: data.clean, data: $raw, min_chars: 1}}
  exact:    {{use: data.exact_dedup, data: $clean, columns: [text]}}
  dedup:    {{use: data.near_dedup, data: $exact, threshold: 0.8}}   # needs the extra: pip install 'loomwork[dedup]'
  split:    {{use: data.split, data: $dedup, holdout: 0.1, seed: $seed}}   # to train on, and to measure with
  search:   {{use: data.index, data: $dedup, text: text}}   # by words (BM25); with model: ... by meaning too
name: {{{name}@data: $split, {name}@index: $search}}
"""
IGNORE = """\
# Results, the ledger and logs. They can be made again: loom run
.loom/
"""
README = """\
# {name}

A [Loomwork](https://pypi.org/project/loomwork/) project. `recipe.yaml` says what is made from what.

    loom run                      # read, clean, deduplicate, split, index; unchanged steps are not run again
    loom show                     # what is there
    loom ask {name} "a question"  # passages of your own texts, each with its row id
    loom lineage ROW-ID           # which file a passage came from, and what it touched
    loom steps                    # what else a recipe can do

The texts are read from `{path}`. Tables need a column `text`; of a text file, each paragraph is a row.
"""


def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder; made when missing.")] = Path(),
    data: Annotated[
        str, typer.Option("--data", help="Your files: a file, a folder, or a glob. By default the folder data/.")
    ] = "",
) -> None:
    """Make a new project with a recipe that runs on your own files.

    A folder with recipe.yaml, .gitignore and a short README. Nothing that is there is overwritten.

    \b
    Examples:
      loom init my-project --data ~/texts
      loom init my-project --data "corpus/*.jsonl"
      loom init                              here, with the files in data/
    """
    from loomwork.core.errors import InputError

    root = folder.expanduser().absolute()
    name = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-") or "project"
    path = data_path(data, root)
    files = {
        "recipe.yaml": RECIPE.format(name=name, path=_yaml(path)),
        ".gitignore": IGNORE,
        "README.md": README.format(name=name, path=path),
    }
    for file in files:
        if (root / file).exists():
            raise InputError(f"{root / file} is there already", "nothing was written; take another folder")
    root.mkdir(parents=True, exist_ok=True)
    if not data:
        (root / "data").mkdir(exist_ok=True)
    for file, text in files.items():
        (root / file).write_text(text, encoding="utf-8")
    there = "" if root == Path.cwd() else f"cd {folder} && "
    typer.echo(f"{root}: {', '.join(files)}")
    if not data:
        typer.echo("  put your files (text, JSON lines, CSV, Parquet...) into its folder data/")
    typer.echo(f"  then: {there}loom run")


def data_path(data: str, root: Path) -> str:
    """What the recipe writes for the data: relative where it lies in the project, else absolute.

    Raises:
        InputError: nothing is there.
    """
    from loomwork.core.files import list_files

    if not data:
        return "data"
    list_files(data)  # raises where nothing is
    full = Path(data).expanduser().absolute()
    return full.relative_to(root).as_posix() if full.is_relative_to(root) else str(full)


def _yaml(text: str) -> str:
    """A path as a YAML scalar inside braces."""
    import json

    return text if re.fullmatch(r"[\w./][\w./ -]*", text) else json.dumps(text, ensure_ascii=False)
