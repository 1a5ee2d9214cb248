"""Templates of task files: Jinja in a sandbox, with the settings and the filter of lm-evaluation-harness.

A template sees the columns of one document and nothing else: no attributes with underscores, no methods that change
things, no files, no imports. It may take a million loop steps and calls and make a megabyte of text; one that goes on
for ever is an error, not a hang. A regular expression that backtracks for ever is not caught.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from loomwork.core.errors import InputError, did_you_mean

MAX_STEPS = 1_000_000  # loop steps and calls of one rendering
CALL_STEPS = 10  # what a call counts as
MAX_CHARACTERS = 1_000_000  # of a text that a template makes
WIDTH = re.compile(r"%[^a-zA-Z%]*(?:\d{6,}|\*)")  # a huge or computed width in "%...d"
UNDEFINED = re.compile(r"'(\w+)' is undefined")


class _TooMuch(TemplateError):
    """More work or text than a prompt can need."""


class _Budget(threading.local):
    left = MAX_STEPS
    nulls = 0  # that the last text holds, as "None"


_budget = _Budget()


def _spend(steps: int) -> None:
    _budget.left -= steps
    if _budget.left < 0:
        raise _TooMuch(f"it takes more than {MAX_STEPS:,} steps")


@pass_context  # so that Jinja does not fold it at compile time
def _counted(_context: Context, values: Iterable[Any]) -> Iterable[Any]:
    """What a loop runs over, paid for."""
    if isinstance(values, Sized):
        _spend(len(values))
        return values

    def paid() -> Iterator[Any]:
        for value in values:
            _spend(1)
            yield value

    return paid()


def _small(size: int) -> None:
    if size > MAX_CHARACTERS:
        raise _TooMuch(f"it makes a text, list or number of more than {MAX_CHARACTERS:,} characters")


def _filled_in(value: Any) -> Any:
    if value is None:
        _budget.nulls += 1
    return value


@pass_context
def _joined(_context: Context, values: list[Any]) -> str:
    texts = [str(_filled_in(v)) for v in values]
    _small(sum(map(len, texts)))
    return "".join(texts)


class _Concatenations(NodeTransformer):
    """`a ~ b` made a filter, since Jinja has no hook for it."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes), "_joined", [], [], None, None, lineno=node.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, that also counts what a template does."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None, lineno=loop.lineno)
        made: nodes.Template = _Concatenations().visit(tree)
        return made

    def call(self, context: Context, function: Any, /, *arguments: Any, **named: Any) -> Any:
        _spend(CALL_STEPS)
        for value in arguments:
            if isinstance(value, int):
                _small(abs(value))
        return super().call(context, function, *arguments, **named)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        sized = [v for v in (left, right) if isinstance(v, str | list | tuple)]
        if operator == "+" and len(sized) == 2:
            _small(len(left) + len(right))
        if operator == "*" and len(sized) == 1:
            _small(len(sized[0]) * max(0, int(right if sized[0] is left else left)))
        if operator == "**" and isinstance(right, int):
            _small(abs(right) * max(1, int(abs(left)).bit_length()))
        if operator == "%" and isinstance(left, str) and WIDTH.search(left):
            raise _TooMuch("it formats to a huge or computed width")
        return super().call_binop(context, operator, left, right)


def _regex_replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    return re.sub(pattern, replacement, text, count=count)


def _environment() -> _Environment:
    # The settings of lm_eval/utils.py `env`: undefined names are errors, the last line break stays.
    made = _Environment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=_filled_in)
    made.filters |= {"regex_replace": _regex_replace, "_counted": _counted, "_joined": _joined}
    return made


_JINJA: _Environment = _environment()


@functools.lru_cache(maxsize=1024)
def _compiled(template: str) -> Template:
    return _JINJA.from_string(template)


@functools.lru_cache(maxsize=1024)
def fault_of(template: str) -> tuple[str, int] | None:
    """What is wrong with a template, and in which of its lines; None where it can be read."""
    try:
        _JINJA.parse(template)
    except TemplateSyntaxError as error:
        return str(error.message), error.lineno
    return None


def is_template(text: str) -> bool:
    """Whether a text has Jinja marks."""
    return "{{" in text or "{%" in text or "{#" in text


def render(template: str, document: Mapping[str, Any], what: str = "a template") -> str:
    """A template filled in from the columns of a document.

    Args:
        what: names the template in messages.

    Raises:
        InputError: it names a column that is not there, reaches for what a template may not have, takes too many
            steps, or fails.
    """
    _budget.left, _budget.nulls = MAX_STEPS, 0
    try:
        made = _compiled(template).render(document)
        _small(len(made))
    except UndefinedError as error:
        name = UNDEFINED.search(str(error))
        hint = did_you_mean(name.group(1), map(str, document)) if name else "known: " + ", ".join(map(str, document))
        raise InputError(f"{what} uses what the document does not have: {error}", hint) from None
    except SecurityError as error:
        raise InputError(
            f"{what} reaches for what a template may not have: {error}", "use columns and filters"
        ) from None
    except _TooMuch as error:
        raise InputError(f"{what} does not end: {error}", "look for loops inside loops") from None
    except (
        TemplateError,
        ArithmeticError,
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        SyntaxError,
        re.error,
    ) as error:
        raise InputError(f"{what} fails on this document: {type(error).__name__}: {error}", _start(template)) from None
    except (RecursionError, MemoryError) as error:
        raise InputError(f"{what} does not end: {type(error).__name__}", _start(template)) from None
    return made


def fills_in_null(template: str, document: Mapping[str, Any]) -> bool:
    """Whether a null of the document stands in the text that a template makes: it reads "None" there."""
    render(template, document)
    return _budget.nulls > 0


def _start(template: str) -> str:
    return f"it begins {template[:60]!r}"
