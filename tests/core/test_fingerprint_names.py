"""Which names and imports of a step are followed, with Python's own compiler as the oracle."""

from __future__ import annotations

import ast
import os
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.fingerprint import code_parts
from tests.core.user_package import Files, clock, numbers


@pytest.mark.parametrize(
    ("code", "reached"),
    [
        ("def run(x, y=default()): ...\ndef default(): ...", ["default"]),
        ("@wrap(3)\ndef run(): ...\ndef wrap(n): ...", ["wrap"]),
        ("class Made: ...\ndef run(x: Made): ...", ["Made"]),
        ("class Made: ...\ndef run(x: 'Made'): ...", ["Made"]),
        ("class Meta(type): ...\nclass A(metaclass=Meta): ...\ndef run(): return A", ["A", "Meta"]),
        ("def g(): ...\ndef run(g): return g()", []),
        ("def g(): ...\ndef run():\n  g = 1\n  return lambda: g", []),
        ("def g(): ...\ndef run(): return [g for g in 'ab']", []),
        ("g = 'ab'\ndef run(): return [g for g in g]", ["g"]),
        ("def g(): ...\ndef run():\n  def g(): ...\n  return g()", []),
        ("def g(): ...\ndef run():\n  class A:\n    g = 1\n    def f(self): return g\n  return A", ["g"]),
        ("def g(): ...\ndef run():\n  try: ...\n  except E as g: return g", []),
        ("def g(): ...\ndef run(x):\n  match x:\n    case [g, *_]: return g", []),
        ("def g(): ...\ndef run(x):\n  return [y := 1 for _ in x], y, g", ["g"]),
        ("C = 1\ndef run():\n  global C\n  C = 2", ["C"]),
        ("try:\n  A = 1\nexcept E:\n  A = 2\ndef run(): return A", ["A"]),
        ("if x():\n  A = 1\nelse:\n  A = B\nB = 2\ndef x(): ...\ndef run(): return A", ["A", "B", "x"]),
        ("with f() as (a, b): ...\ndef f(): ...\ndef run(): return b", ["b", "f"]),
        ("A: int = 1\nB, (C, *D) = 1, (2, 3)\ndef run(): return A, D", ["A", "D"]),
        ("A = 1\nA += B\nB = 2\ndef run(): return A", ["A", "B"]),
        ("def a(): return b()\ndef b(): return a()\ndef run(): return a()", ["a", "b"]),
        ("def run(n): return run(n - 1)", []),
        ("def other(): ...\ndef run(): return globals()['other']", ["*"]),
        ("if __name__ == '__main__':\n  A = 1\ndef run(): return A", []),
    ],
)
def test_names(files: Files, code: str, reached: list[str]) -> None:
    files.write(step=code)
    assert sorted(files.parts()) == sorted(f"step:{n}" for n in ["run", *reached])


@pytest.mark.parametrize(
    ("code", "reached"),
    [
        ("from PKG.lib.words import count\ndef run(): return count()", ["lib.words:count"]),
        ("from PKG.lib import words\ndef run(): return words.count()", ["lib.words:count"]),
        ("import PKG.lib.words as w\ndef run(): return w.count()", ["lib.words:count"]),
        ("import PKG.lib.words\ndef run(): return PKG.lib.words.count()", ["lib.words:count"]),
        ("from .lib.words import count as c\ndef run(): return c()", ["lib.words:count"]),
        ("from . import lib\ndef run(): return lib.words.SIZE", ["lib.words:SIZE"]),
        ("from PKG.lib import exported\ndef run(): return exported()", ["lib.words:count"]),
        ("from PKG.lib.words import *\ndef run(): return count(), len('')", ["lib.words:count"]),
        ("def run():\n  from PKG.lib import words\n  return [words.count() for _ in '']", ["lib.words:count"]),
        ("def run():\n  import PKG.lib.words as w\n  return lambda: w.count()", ["lib.words:count"]),
        (
            "try:\n  from PKG.lib.words import count\nexcept ImportError:\n  count = None\ndef run(): return count",
            ["lib.words:count", "step:count"],
        ),
        (
            "from PKG.lib import words\ndef run(n): return getattr(words, n)",
            ["lib.words:*"],
        ),
        (
            "from PKG.lib import words\ndef run(f): return f(words)",
            ["lib.words:*"],
        ),
        (
            "from importlib import import_module\ndef run(): return import_module('PKG.lib.words')",
            ["lib.words:*"],
        ),
        (
            "from importlib import import_module as im\ndef run(): return im('PKG.lib.words')",
            ["lib.words:*"],
        ),
        (
            "import importlib\ndef run(): return importlib.import_module(name='PKG.lib.words')",
            ["lib.words:*"],
        ),
        ("def run():\n  import PKG.lib.words", []),  # see below: imported for what the import does
        (
            "import typing\nif typing.TYPE_CHECKING:\n  from PKG.lib.words import count\ndef run(x: count): ...",
            [],
        ),
        ("import numpy as np\nfrom collections import Counter\ndef run(): return np.zeros(1), Counter()", []),
        ("from loomwork.core.errors import InputError\ndef run(): raise InputError('x')", []),
    ],
)
def test_imports(files: Files, code: str, reached: list[str]) -> None:
    files.write(
        lib__words="SIZE = 1\ndef count(): ...\n",
        lib__init="from PKG.lib.words import count as exported\n",
        step=code,
    )
    found = set(files.parts())
    assert "step:run" in found
    if "import PKG.lib.words" in code and not reached:
        assert any(k.endswith(":*") for k in found)
    else:
        assert found == {"step:run", *reached}


def test_import_cycles_and_star_cycles_end(files: Files) -> None:
    files.write(
        a="from PKG.b import *\nfrom PKG.b import g\ndef f(): return g()\n",
        b="from PKG.a import *\nimport PKG.a\ndef g(): return f(), missing\n",
        step="from PKG.a import f\ndef run(): return f()\n",
    )
    assert {"a:f", "b:g", "step:run"} <= set(files.parts())


names = st.sampled_from(["a", "b", "c", "d"])
expressions = st.recursive(
    st.one_of(names, st.integers(0, 9).map(str)),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(names, inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(inner, names, inner).map(lambda t: f"[{t[0]} for {t[1]} in {t[2]}]"),
        st.tuples(names, inner).map(lambda t: f"(lambda {t[0]}: {t[1]})"),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(expressions, expressions)
def test_the_digest_differs_exactly_where_the_syntax_does(
    tmp_path_factory: pytest.TempPathFactory, one: str, other: str
) -> None:
    folder = tmp_path_factory.mktemp("p")
    found = []
    name = f"prop{next(numbers)}"
    sys.path.insert(0, str(folder))
    try:
        for text in (one, other):
            (folder / f"{name}.py").write_text(f"def run(x):\n    # {text}\n    return {text}\n")
            now = next(clock)
            os.utime(folder / f"{name}.py", (now, now))
            found.append(code_parts(name, "run"))
    finally:
        sys.path.remove(str(folder))
    assert (found[0] == found[1]) == (ast.dump(ast.parse(one)) == ast.dump(ast.parse(other)))


@settings(max_examples=60, deadline=None)
@given(expressions)
def test_no_global_that_the_compiler_sees_is_missed(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """The oracle is Python's own compiler: every LOAD_GLOBAL of the function, and no other name."""
    folder = tmp_path_factory.mktemp("p")
    name = f"prop{next(numbers)}"
    source = f"def run(x):\n    return {text}\n"
    (folder / f"{name}.py").write_text("a = b = c = d = 1\n" + source)
    sys.path.insert(0, str(folder))
    try:
        found = {k.partition(":")[2] for k in code_parts(name, "run")}
    finally:
        sys.path.remove(str(folder))
    assert found - {"run"} == _globals_of(compile(source, "f", "exec").co_consts[0])


def _globals_of(code: object) -> set[str]:
    import dis

    found = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}  # type: ignore[arg-type]
    for constant in code.co_consts:  # type: ignore[attr-defined]
        if hasattr(constant, "co_consts"):
            found |= _globals_of(constant)
    return found & set("abcd")
