"""The documentation in Python source, read from the syntax tree without importing anything."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.Try, ast.With)  # what may stand around a definition that is public all the same


@dataclass(frozen=True)
class Docstring:
    """One piece of documentation.

    Args:
        text: the docstring, indentation removed.
        name: its dotted name, from the module on.
        signature: "(a, b, *, c)" of a function, or of a class's own `__init__`; else "".
        kind: "module", "class" or "function".
        line: where the definition begins.
    """

    text: str
    name: str
    signature: str
    kind: str
    line: int


def docstrings(tree: ast.Module, module: str) -> Iterator[Docstring]:
    """The docstrings of a module and of its public classes, methods and functions, in source order.

    A name is public when no piece of it begins with an underscore. What is defined inside a function is not public.

    Args:
        tree: the module's syntax tree.
        module: its dotted name.
    """
    text = ast.get_docstring(tree)
    if text and text.strip():
        yield Docstring(inspect.cleandoc(text), module, "", "module", 1)
    yield from _definitions(tree, module, in_class=False)


def _definitions(node: ast.AST, prefix: str, *, in_class: bool) -> Iterator[Docstring]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*BLOCKS, ast.ExceptHandler)):
            yield from _definitions(child, prefix, in_class=in_class)
        elif isinstance(child, Definition) and not child.name.startswith("_"):
            name = f"{prefix}.{child.name}"
            text = ast.get_docstring(child)
            is_class = isinstance(child, ast.ClassDef)
            if text and text.strip():
                kind = "class" if is_class else "function"
                yield Docstring(inspect.cleandoc(text), name, signature(child, method=in_class), kind, child.lineno)
            if is_class:
                yield from _definitions(child, name, in_class=True)


def signature(node: Definition, *, method: bool) -> str:
    """The argument names of a function, as "(a, *rest, b, **more)", without `self` or `cls`.

    Args:
        node: the definition; a class has the signature of its own `__init__`, or none.
        method: it stands in a class, so its first argument is the instance unless it is a static method.
    """
    if isinstance(node, ast.ClassDef):
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return signature(made[0], method=True) if made else ""
    given = node.args
    names = [a.arg for a in (*given.posonlyargs, *given.args)]
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    if method and not static:
        names = names[1:]
    if given.vararg:
        names.append("*" + given.vararg.arg)
    elif given.kwonlyargs:
        names.append("*")
    names += [a.arg for a in given.kwonlyargs]
    if given.kwarg:
        names.append("**" + given.kwarg.arg)
    return f"({', '.join(names)})"
