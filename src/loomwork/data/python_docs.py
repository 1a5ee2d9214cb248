"""The documentation of the Python that runs this, as a dataset."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from loomwork.core.context import context
from loomwork.core.dataset import DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.files import list_files
from loomwork.core.step import Card, Files, step
from loomwork.data._rows import counted, set_aside
from loomwork.text.docstrings import docstrings

STDLIB = Files(
    "*.py",
    skip=(
        "test",
        "tests",
        "idle_test",
        "idlelib",
        "lib2to3",
        "site-packages",
        "dist-packages",
        "turtledemo",
        "lib-dynload",
        "__pycache__",
    ),
)
THIS_PYTHON = Path(sysconfig.get_paths()["stdlib"])
TOPICS = "pydoc_data/topics.py"
Row = dict[str, Any]


@step(makes="dataset")
def python_docs(
    *,
    path: Annotated[Path, STDLIB] = THIS_PYTHON,
    topics: bool = True,
    out: Path,
) -> Card:
    """Read the docstrings of the standard library's public modules, classes and functions.

    The source is parsed, never imported. A file that cannot be decoded or parsed is set aside in `dropped`.
    Columns: text, module (top level; a topic page is a module of its own), name (dotted), signature, kind (module,
    class, function or topic) and source ("asyncio/events.py:231").

    Args:
        path: a folder of Python packages; by default the standard library of this interpreter.
        topics: add the language reference's pages that `help("topics")` shows, where the folder has them.

    Raises:
        InputError: no documentation was found.
    """
    if not path.is_dir():
        raise InputError(f"python_docs needs a folder of Python source; {path} is none")
    files = [(name, file) for name, file in list_files(path, STDLIB) if _is_public(name)]
    with DatasetWriter(out) as writer:
        rows: list[Row] = []
        for done, (name, file) in enumerate(files):
            try:
                tree = _parse(file)
                found = list(_topic_pages(tree, name) if name == TOPICS and topics else _documented(tree, name))
                for row in found:
                    row["text"].encode()  # a lone surrogate in a docstring cannot be stored
                rows += found
            except (SyntaxError, ValueError, OSError, RecursionError) as error:
                reason = f"not readable as Python: {type(error).__name__}: {getattr(error, 'msg', '') or error}"
                set_aside(writer, [{"text": "", "source": name, "reason": reason}])
            context().progress(done + 1, len(files), "files")
        if not rows:
            raise InputError(f"no documentation found in {path}", "give a folder of Python packages with docstrings")
        writer.write(rows)
    return counted(writer, files=len(files))


def _is_public(name: str) -> bool:
    pieces = name.removesuffix(".py").removesuffix("/__init__").split("/")
    return not any(piece.startswith("_") for piece in pieces)


def _parse(file: Path) -> ast.Module:
    with warnings.catch_warnings():  # old escapes in old source are nothing to the reader
        warnings.simplefilter("ignore")
        return ast.parse(file.read_bytes())


def _documented(tree: ast.Module, name: str) -> Iterator[Row]:
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for found in docstrings(tree, module):
        yield {
            "text": found.text,
            "module": module.split(".", 1)[0],
            "name": found.name,
            "signature": found.signature,
            "kind": found.kind,
            "source": f"{name}:{found.line}",
        }


def _topic_pages(tree: ast.Module, name: str) -> Iterator[Row]:
    """The pages of `topics = {...}`, a literal dictionary from a page's name to its text."""
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)):
            continue
        for key, value in zip(node.value.keys, node.value.values, strict=True):
            if not (isinstance(key, ast.Constant) and isinstance(value, ast.Constant)):
                raise ValueError("its topics are not literal text")
            yield {
                "text": str(value.value).strip(),
                "module": "topics." + str(key.value),
                "name": str(key.value),
                "signature": "",
                "kind": "topic",
                "source": f"{name}:{key.lineno}",
            }
