"""YAML with the line of every value, so that an error in a recipe can point at it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from loomwork.core.errors import RecipeError

Key = tuple[str | int, ...]
# YAML 1.1 takes 1e-3 for text, because it has no dot; whoever writes it means a number.
FLOAT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+")


@dataclass
class Lined:
    """Plain data, and where each piece of it stands.

    Args:
        value: dicts, lists and scalars.
        file: "" for data that came from Python.
        lines: by path into the data, e.g. ("steps", "dedup", "threshold"); counted from 1.
    """

    value: Any
    file: str = ""
    lines: dict[Key, int] = field(default_factory=dict)

    def line(self, *key: str | int) -> int:
        """The line of the value at a path, or of the nearest one above it."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 0)

    def error(self, what: str, hint: str = "", at: Key = ()) -> RecipeError:
        """An error that points at a path into the data."""
        return RecipeError(what, hint, self.file, self.line(*at))


def load_lined(path: Path) -> Lined:
    """Read a YAML file safely, with lines.

    Raises:
        RecipeError: it is missing, is not text or not YAML, or has a key twice.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise RecipeError(f"no such recipe: {path}", f"{error.strerror}; looked in {Path.cwd()}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"it is not UTF-8 text: {error.reason} at byte {error.start}", file=path) from None
    found = Lined(None, str(path))
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RecipeError(
            f"it is not YAML: {error.problem or error.context}", "", path, mark.line + 1 if mark else 0
        ) from None
    except yaml.YAMLError as error:
        raise RecipeError(f"it is not YAML: {error}", file=path) from None
    found.value = _plain(node, (), found) if node else None
    return found


def _plain(node: yaml.Node, key: Key, found: Lined) -> Any:
    """The data of a node; its line, and those below it, are noted on the way."""
    found.lines[key] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = str(_scalar(name_node, found))
            found.lines[(*key, name)] = name_node.start_mark.line + 1
            if name in result:
                raise found.error(f"{name!r} is there twice", "keys must differ", (*key, name))
            line = found.lines[(*key, name)]
            result[name] = _plain(value_node, (*key, name), found)
            found.lines[(*key, name)] = line
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*key, i), found) for i, item in enumerate(node.value)]
    return _scalar(node, found)


def _scalar(node: yaml.Node, found: Lined) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        raise RecipeError("a key must be one word", "", found.file, node.start_mark.line + 1)
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"cannot read {node.value!r}: {error}", "", found.file, node.start_mark.line + 1) from None
    finally:
        loader.dispose()
    if isinstance(value, str) and node.style is None and FLOAT.fullmatch(value):
        return float(value)
    return value
