"""Keys of a task file, read with their types, each with the file and the line it stands in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loomwork.core.errors import RecipeError, did_you_mean
from loomwork.core.recipe_yaml import WORDS, Plain, Tagged, Tree, plain_value, read_tree
from loomwork.evals.tasks import functions
from loomwork.evals.tasks.template import fault_of

NULL = "tag:yaml.org,2002:null"
TAGS = frozenset({functions.TAG, NULL})


@dataclass
class Keys:
    """A mapping of a task file.

    Args:
        tree: its values.
        origins: the mapping that each key was written in, where that is another one (an included file).
        trust: whether functions may be loaded.
        path: how to name it in messages, as in "metric_list[0]."
        files: all files that were read, in order.
    """

    tree: Tree
    origins: Mapping[str, Tree] = field(default_factory=dict)
    trust: bool = False
    path: str = ""
    files: list[Path] = field(default_factory=list)

    def __contains__(self, key: str) -> bool:
        """Whether a key is there, and is not null."""
        value = self.tree.get(key)
        return value is not None and not (isinstance(value, Plain) and WORDS.get(value, value) is None)

    def error(self, key: str, what: str, hint: str = "") -> RecipeError:
        return self.origins.get(key, self.tree).error(f"{self.path}{key}: {what}", hint, key)

    def check_known(self, known: Iterable[str], outside: Mapping[str, str] | None = None) -> None:
        """Refuse unknown keys, and those that are outside the subset.

        Raises:
            RecipeError: names the key, and why or which is the nearest.
        """
        known = set(known)
        for key in self.tree:
            if outside and key in outside and key in self:
                raise self.error(key, f"is not supported: {outside[key]}", "leave the task out, or write it in Python")
            if key not in known and not (outside and key in outside):
                raise self.error(key, "is not a key of a task file", did_you_mean(key, known))

    def text(self, key: str, default: str = "") -> str:
        """A text; plain scalars as they are written."""
        if key not in self:
            return default
        value = self.tree[key]
        if not isinstance(value, str) or isinstance(value, Tagged):
            raise self.error(key, f"takes a text, not {_kind(value)}")
        return str(value)

    def optional(self, key: str) -> str | None:
        return self.text(key) if key in self else None

    def template(self, key: str, default: str = "") -> str:
        """A text that may hold Jinja, checked."""
        made = self.text(key, default)
        self._check_template(key, made)
        return made

    def whole(self, key: str, default: int, least: int = 0) -> int:
        if key not in self:
            return default
        value = plain_value(self.tree[key])
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.error(key, f"takes a whole number of at least {least}, not {value!r}")
        return value

    def number(self, key: str, default: float) -> float:
        if key not in self:
            return default
        value = plain_value(self.tree[key])
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.error(key, f"takes a number, not {value!r}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        if key not in self:
            return default
        value = plain_value(self.tree[key])
        if not isinstance(value, bool):
            raise self.error(key, f"is true or false, not {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A text or a list of them."""
        if key not in self:
            return ()
        value = self.tree[key]
        found = value if isinstance(value, list) else [value]
        if not all(isinstance(v, str) and not isinstance(v, Tagged) for v in found):
            raise self.error(key, f"takes a text or a list of texts, not {_kind(value)}")
        return tuple(map(str, found))

    def plain(self, key: str, default: Any = None) -> Any:
        """Any value, as Python has it."""
        return plain_value(self.tree[key]) if key in self else default

    def inner(self, key: str) -> Keys | None:
        """A mapping inside this one, or None where there is none."""
        if key not in self:
            return None
        value = self.tree[key]
        if not isinstance(value, Tree):
            raise self.error(key, f"takes a mapping, not {_kind(value)}")
        return self._within(value, f"{key}.")

    def entries(self, key: str) -> list[Keys]:
        """A list of mappings; one mapping alone counts as a list of one."""
        if key not in self:
            return []
        value = self.tree[key]
        found = value if isinstance(value, list) else [value]
        for entry in found:
            if not isinstance(entry, Tree):
                raise self.error(key, f"takes a list of mappings, and has {_kind(entry)}")
        return [self._within(entry, f"{key}[{i}].") for i, entry in enumerate(found)]

    def function(self, key: str) -> Callable[..., Any] | None:
        """The function that `!function` names, or None where the key is not one."""
        value = self.tree.get(key)
        if not isinstance(value, Tagged):
            return None
        file = self.origins.get(key, self.tree).file
        if not self.trust:
            raise functions.refuse(value, file)
        used = functions.file_of(value, Path(file).parent)
        if used not in self.files:
            self.files.append(used)
        return functions.load_function(value, file)

    def only_function(self, key: str) -> Callable[..., Any] | None:
        """A function, where nothing else will do."""
        if key in self and not isinstance(self.tree[key], Tagged):
            raise self.error(key, f"takes a function (`!function`), not {_kind(self.tree[key])}")
        return self.function(key)

    def field(self, key: str) -> Any:
        """A column, a template, a constant or a function."""
        if key not in self:
            return None
        value = self.tree[key]
        if isinstance(value, Tagged):
            return self.function(key)
        if isinstance(value, Mapping):
            return {k: str(v) if isinstance(v, Plain) else plain_value(v) for k, v in value.items()}
        if isinstance(value, list):  # `- no` is the answer "no", not False
            return [_number_or_text(v) for v in value]
        found = plain_value(value)
        if isinstance(found, int) and not isinstance(found, bool):
            return found
        self._check_template(key, str(value))
        return str(value)

    def _check_template(self, key: str, text: str) -> None:
        if fault := fault_of(text):
            raise self.error(key, f"line {fault[1]} of the template is not Jinja: {fault[0]}")

    def _within(self, tree: Tree, path: str) -> Keys:
        return Keys(tree, {}, self.trust, self.path + path, self.files)


def read_keys(path: Path, trust: bool, changes: Tree | None = None) -> Keys:
    """The keys of a task file, those of the files it includes beneath.

    Raises:
        RecipeError: there is no such file, it is not YAML or not a mapping, includes form a circle, or a function is
            named and the file is not trusted.
    """
    files: list[Path] = []
    values, origins = _merged(path, (), files)
    if changes is not None:
        values |= changes
        origins |= dict.fromkeys(changes, changes)
    top = Tree(values, str(path))
    keys = Keys(top, origins, trust, "", files)
    if not trust:
        for key, value in values.items():
            for tagged, file in _tagged(value, origins[key].file):
                raise functions.refuse(tagged, file)
    return keys


def _merged(path: Path, above: tuple[Path, ...], files: list[Path]) -> tuple[dict[str, Any], dict[str, Tree]]:
    tree = read_file(path)
    if path not in files:
        files.append(path)
    values: dict[str, Any] = {}
    origins: dict[str, Tree] = {}
    includes = tree.get("include") or []
    for name in includes if isinstance(includes, list) else [includes]:
        if not isinstance(name, str) or isinstance(name, Tagged):
            raise tree.error(f"include: takes the name of a file, not {_kind(name)}", "", "include")
        other = Path(_normal(path.parent / name))
        if other == path or other in above:
            circle = " -> ".join(p.name for p in (*above, path, other))
            raise tree.error(f"includes form a circle: {circle}", "", "include")
        if not other.is_file():
            raise tree.error(f"include: there is no file {other}", "it is sought beside this file", "include")
        more, from_ = _merged(other, (*above, path), files)
        values |= more
        origins |= from_
    for key, value in tree.items():
        if key != "include":
            values[key], origins[key] = value, tree
    return values, origins


def read_file(path: Path) -> Tree:
    """One YAML file as a mapping, without its includes.

    Raises:
        RecipeError: there is no such file, or it is not YAML or not a mapping.
    """
    try:
        stat = path.stat()
        return _parsed(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise RecipeError(f"there is no task file {path}: {error.strerror}", f"looked in {Path.cwd()}") from None


@functools.lru_cache(maxsize=512)  # what many files include is read once
def _parsed(path: Path, _changed: int, _size: int) -> Tree:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"not UTF-8: {error.reason} at byte {error.start}", "", path, 1) from None
    tree = read_tree(text, str(path), TAGS)
    if not isinstance(tree, Tree):
        raise RecipeError(f"a task file is a mapping, and this is {_kind(tree)}", "", path, 1)
    _without_null_tags(tree)
    return tree


def _without_null_tags(value: Any) -> Any:
    if isinstance(value, Tagged) and value.tag == NULL:
        return None
    if isinstance(value, Tree):
        for key in value:
            value[key] = _without_null_tags(value[key])
    return [_without_null_tags(v) for v in value] if isinstance(value, list) else value


def _tagged(value: Any, file: str) -> Iterable[tuple[Tagged, str]]:
    if isinstance(value, Tagged):
        yield value, file
    elif isinstance(value, Mapping):
        for v in value.values():
            yield from _tagged(v, file)
    elif isinstance(value, list):
        for v in value:
            yield from _tagged(v, file)


def _normal(path: Path) -> str:
    import os.path

    return os.path.normpath(path)  # not resolve(): a link's neighbours are those of the link


def _number_or_text(value: Any) -> Any:
    found = plain_value(value)
    return str(value) if isinstance(value, Plain) and not isinstance(found, int) else found


def _kind(value: Any) -> str:
    if isinstance(value, Tagged):
        return "a function"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else "nothing" if value is None else repr(str(value))
