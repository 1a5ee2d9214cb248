"""A recipe's text as a tree that knows its lines. No tags, no duplicate keys, and numbers as people write them.

Plain scalars follow YAML 1.2, which is what people expect: `1e-3` is a number, `no`, `12:30` and dates are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from loomwork.core.errors import RecipeError

INTEGER = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", "+.inf", ".Inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN"), float("nan")),
}
TEXT, MERGE = "tag:yaml.org,2002:str", "<<"
COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class Plain(str):
    """A scalar without quotes: text where a reference is wanted (`00123456` is an id), a value elsewhere."""

    __slots__ = ()


class Tagged(str):
    """A scalar with a tag that the reader of the file knows; everywhere else a tag is an error."""

    __slots__ = ("line", "tag")
    tag: str
    line: int

    def __new__(cls, value: str, tag: str = "", line: int = 0) -> Tagged:
        made = super().__new__(cls, value)
        made.tag, made.line = tag, line
        return made


class Tree(dict[str, Any]):
    """A mapping that knows its file and the line of each key; 0 where there is no file."""

    def __init__(
        self, values: Mapping[str, Any], file: str = "", line: int = 0, lines: Mapping[str, int] | None = None
    ):
        super().__init__(values)
        self.file, self.line, self.lines = file, line, dict(lines or {})

    def line_of(self, key: str) -> int:
        return self.lines.get(key, self.line)

    def error(self, what: str, hint: str = "", key: str = "") -> RecipeError:
        """An error at the line of a key, or of the mapping."""
        return RecipeError(what, hint, self.file, self.line_of(key))


def read_tree(text: str, file: str, tags: frozenset[str] = frozenset()) -> Any:
    """The tree of a YAML text.

    Args:
        tags: of scalars, that stay in the tree as Tagged; the caller decides what they mean.

    Raises:
        RecipeError: it is not YAML, or has duplicate keys, tags or a reference to itself.
    """
    try:
        node = yaml.compose(text, yaml.BaseLoader)  # composes nodes, constructs nothing
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RecipeError(
            f"not YAML: {error.problem}", error.context or "", file, mark.line + 1 if mark else 1
        ) from None
    except yaml.YAMLError as error:
        raise RecipeError(f"not YAML: {str(error).splitlines()[0]}", "", file, 1) from None
    return None if node is None else _Builder(file, tags).build(node)


def from_python(value: Any, file: str = "") -> Any:
    """The same tree of dicts and lists made in Python."""
    if isinstance(value, Mapping):
        return Tree({str(k): from_python(v, file) for k, v in value.items()}, file)
    return [from_python(v, file) for v in value] if isinstance(value, list | tuple) else value


def plain_value(value: Any) -> Any:
    """A tree's value as Python has it: plain scalars become numbers, booleans, None or text."""
    if isinstance(value, Plain):
        return _scalar(str(value))
    if isinstance(value, Mapping):
        return {k: plain_value(v) for k, v in value.items()}
    return [plain_value(v) for v in value] if isinstance(value, list) else value


def parse_value(text: str) -> Any:
    """One value as it stands after `--set key=`: 8, 1e-3, true, [a, b], or text."""
    try:
        return plain_value(read_tree(text, ""))
    except RecipeError:
        return text


def _scalar(text: str) -> Any:
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text):
        return float(text)
    return int(text, 0) if re.fullmatch(r"0x[0-9a-fA-F]+|0o[0-7]+", text) else text


class _Builder:
    def __init__(self, file: str, tags: frozenset[str]) -> None:
        self.file, self.tags = file, tags
        self._done: dict[int, Any] = {}  # an alias is the same node: built once, so that it cannot multiply
        self._open: set[int] = set()

    def build(self, node: yaml.Node) -> Any:
        key = id(node)
        if key in self._done:
            return self._done[key]
        if key in self._open:
            raise self._error("this refers to itself", node)
        self._open.add(key)
        try:
            self._done[key] = self._made(node)
        finally:
            self._open.discard(key)
        return self._done[key]

    def _made(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            if node.tag in self.tags:
                return Tagged(node.value, node.tag, node.start_mark.line + 1)
            if node.tag != TEXT:
                raise self._error(f"the tag {node.tag!r} is not allowed", node)
            return Plain(node.value) if node.style is None else str(node.value)
        if node.tag not in COLLECTIONS:
            raise self._error(f"the tag {node.tag!r} is not allowed", node)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(n) for n in node.value]
        return self._mapping(node)

    def _mapping(self, node: yaml.Node) -> Tree:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error("a key must be a word", key_node)
            key = str(key_node.value)
            if key in lines:
                raise self._error(f"{key!r} is here twice", key_node, f"the first is in line {lines[key]}")
            lines[key] = key_node.start_mark.line + 1
            value = self.build(value_node)
            if key == MERGE:
                for more in value if isinstance(value, list) else [value]:
                    if not isinstance(more, Tree):
                        raise self._error("<<: takes a mapping", value_node)
                    merged = {**more, **merged}
            else:
                values[key] = value
        return Tree({**merged, **values}, self.file, node.start_mark.line + 1, lines)

    def _error(self, what: str, node: yaml.Node, hint: str = "") -> RecipeError:
        return RecipeError(what, hint, self.file, node.start_mark.line + 1)
