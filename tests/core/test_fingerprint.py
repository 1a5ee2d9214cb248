"""What makes a step a miss and what does not. Modules are written into a folder, fingerprinted, edited, and again."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from loomwork.core.errors import InputError
from loomwork.core.fingerprint import code_parts, object_parts, public_names
from tests.core.user_package import Files

BASE = {
    "step": """
        # a comment
        from loomwork.core.step import step, Card
        from PKG.tools import helper, Config, decorate
        import PKG.tables as tables

        LIMIT = 3

        @step(makes="dataset")
        def run(data, *, n: int = LIMIT, out) -> Card:
            '''A docstring.'''
            from PKG.late import inner
            local = Config().size
            return helper(inner(tables.TABLE)) + local

        @decorate
        def decorated(x):
            return x

        def unrelated():
            return 1
        """,
    "tools": """
        from .deep import deeper
        import numpy as np

        class Base:
            def size(self):
                return 1

        class Config(Base):
            def name(self):
                return "a"

        def decorate(function):
            return function

        def helper(x):
            return deeper(x) + np.pi
        """,
    "deep": "FACTOR = 2\n\n\ndef deeper(x):\n    return x * FACTOR\n",
    "late": "def inner(x):\n    return x\n",
    "tables": "TABLE = {}\nfor k in 'ab':\n    TABLE[k] = 1\nOTHER = 5\n",
}


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("step", "# a comment", "# another, and a longer one"),
        ("step", "'''A docstring.'''", "'''Another\n\n    docstring.'''"),
        ("step", "return helper(inner", "return helper( # why\n        inner"),
        ("step", "return 1", "return 2"),
        ("step", 'makes="dataset"', 'makes="model"'),
        ("step", "def unrelated():", "def other():\n    return 0\n\n\ndef unrelated():"),
        ("deep", "def deeper(x):", "def deeper(x):\n    'doc'"),
        ("tables", "OTHER = 5", "OTHER = 6"),
        ("tools", "def decorate(function):", "def decorate(function):\n    print(1)"),
        (
            "tools",
            "from .deep import deeper",
            "from typing import TYPE_CHECKING\nfrom .deep import deeper\nif TYPE_CHECKING:\n    from x import y",
        ),
    ],
)
def test_what_does_not_change_the_work_is_a_hit(files: Files, module: str, old: str, new: str) -> None:
    sources = {name: textwrap.dedent(text) for name, text in BASE.items()}
    files.write(**sources)
    before = files.parts()
    assert old in sources[module]
    files.write(**{module: sources[module].replace(old, new)})
    assert files.parts() == before


@pytest.mark.parametrize(
    ("module", "old", "new", "changed"),
    [
        ("step", "+ local", "- local", "step:run"),
        ("step", "n: int", "n: float", "step:run"),
        ("step", "LIMIT = 3", "LIMIT = 4", "step:LIMIT"),
        ("tools", "deeper(x) +", "deeper(x) *", "tools:helper"),
        ("tools", "import numpy as np", "import cupy as np", "tools:helper"),
        ("tools", 'return "a"', 'return "b"', "tools:Config"),
        ("tools", "return 1", "return 2", "tools:Base"),
        ("deep", "x * FACTOR", "x + FACTOR", "deep:deeper"),
        ("deep", "FACTOR = 2", "FACTOR = 2.0", "deep:FACTOR"),
        ("late", "return x", "return x, x", "late:inner"),
        ("tables", "TABLE[k] = 1", "TABLE[k] = 2", "tables:TABLE"),
        ("tables", "OTHER = 5", "TABLE.update(c=3)", "tables:TABLE"),
    ],
)
def test_what_changes_the_work_is_a_miss_and_is_named(
    files: Files, module: str, old: str, new: str, changed: str
) -> None:
    sources = {name: textwrap.dedent(text) for name, text in BASE.items()}
    files.write(**sources)
    before = files.parts()
    assert old in sources[module]
    files.write(**{module: sources[module].replace(old, new)})
    after = files.parts()
    assert [k for k in before.keys() | after.keys() if before.get(k) != after.get(k)] == [changed]


def test_it_reaches_what_is_used_and_nothing_else(files: Files) -> None:
    files.write(**BASE)
    assert sorted(files.parts()) == [
        "deep:FACTOR",
        "deep:deeper",
        "late:inner",
        "step:LIMIT",
        "step:run",
        "tables:TABLE",
        "tools:Base",
        "tools:Config",
        "tools:helper",
    ]
    assert "tools:decorate" in files.parts("decorated")


@pytest.mark.parametrize(
    "filling",
    [
        "T['a'] = FILL",
        "T.update(a=FILL)",
        "T |= {'a': FILL}",
        "for k in FILL: T[k] = k",
        "def fill(): T['a'] = FILL\nfill()",
        "def fill(to): to['a'] = FILL\nfill(T)",
        "def add(f):\n  T[f] = f\n  return f\n@add\ndef g(): return FILL",
        "def add(n):\n  def inner(f):\n    T[n] = f\n    return f\n  return inner\n@add('x')\ndef g(): return FILL",
        "def put(): return T.setdefault('a', FILL)\nX = put()",
        "class Base:\n  def __init_subclass__(cls): T['a'] = cls\nclass A(Base): x = FILL",
        "T = FILL",
    ],
)
def test_module_level_filling_of_a_table_counts_with_it(files: Files, filling: str) -> None:
    text = f"T = {{}}\n{filling}\nUNRELATED = 1\ndef run(): return T\n"
    files.write(step=text.replace("FILL", "'abc'"))
    first = files.parts()
    files.write(step=text.replace("FILL", "'abd'"))
    second = files.parts()
    assert first != second
    files.write(step=text.replace("FILL", "'abd'").replace("UNRELATED = 1", "UNRELATED = 2"))
    assert files.parts() == second


def test_single_dispatch_implementations_count_with_the_function(files: Files) -> None:
    text = (
        "from functools import singledispatch\n@singledispatch\ndef f(x): ...\n"
        "@f.register\ndef _(x: int): return 1\ndef run(): return f(1)\n"
    )
    files.write(step=text)
    before = files.parts()
    files.write(step=text.replace("return 1\n", "return 2\n"))
    assert files.parts()["step:f"] != before["step:f"]


def test_a_method_and_an_inner_function_count_as_what_is_around_them(files: Files) -> None:
    files.write(step="class A:\n  def f(self): ...\ndef outer():\n  def inner(): ...\n  return inner\n")
    assert list(files.parts("A.f")) == ["step:A"]
    assert list(files.parts("outer.<locals>.inner")) == ["step:outer"]


def test_a_file_beside_a_single_file_module_is_the_users_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_steps_x.py").write_text("import my_helpers_x\ndef run(): return my_helpers_x.h()\n")
    (tmp_path / "my_helpers_x.py").write_text("from loomwork.core.artifact import digest\ndef h(): return digest(1)\n")
    assert set(code_parts("my_steps_x", "run")) == {
        "my_steps_x:run",
        "my_helpers_x:h",
        "loomwork.core.artifact:digest",
        "loomwork.core.artifact:canonical_json",
    }


def test_named_objects(files: Files) -> None:
    files.write(
        metrics__init="",
        metrics__rank="def mrr(x): return _top(x)\ndef _top(x): return 1\ndef ndcg(x): return 2\nK = 3\n",
        metrics__words="def bleu(): ...\n",
    )
    package = f"{files.name}.metrics"
    assert {k.rpartition(".")[2] for k in object_parts(f"{package}.rank", "mrr")} == {"rank:mrr", "rank:_top"}
    assert {k.rpartition(".")[2] for k in object_parts(package, "words")} == {"words:*"}
    assert public_names(f"{package}.rank") == ["mrr", "ndcg"]
    before = object_parts(f"{package}.rank", "mrr")
    files.write(metrics__rank="def mrr(x): return _top(x)\ndef _top(x): return 2\ndef ndcg(x): return 2\n")
    assert object_parts(f"{package}.rank", "mrr") != before
    with pytest.raises(InputError, match=r"nothing called 'mr'\n.*did you mean 'mrr'"):
        object_parts(f"{package}.rank", "mr")
    with pytest.raises(InputError, match="did you mean 'words'"):
        object_parts(package, "word")
    with pytest.raises(InputError, match="not found"):
        object_parts(f"{package}.none", "x")


def test_a_file_that_does_not_parse_is_named_with_its_line(files: Files) -> None:
    files.write(step="from PKG.bad import f\ndef run(): return f()\n", bad="x = 1\ndef f(:\n")
    with pytest.raises(InputError, match=r"bad\.py:2: not valid Python"):
        files.parts()


def test_an_unknown_function_and_a_missing_module_are_refused(files: Files) -> None:
    files.write(step="def run(): ...\n")
    with pytest.raises(InputError, match="did you mean 'run'"):
        files.parts("runn")
    with pytest.raises(InputError, match="source of module"):
        code_parts("no_such_module_at_all", "f")


def test_nothing_is_imported() -> None:
    program = (
        "import sys; from loomwork.core.fingerprint import code_parts\n"
        "before = set(sys.modules); parts = code_parts('loomwork.data.split', 'split')\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "assert parts and not new & {'torch', 'numpy', 'loomwork', 'pyarrow'}, new"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_step_reaches_the_format_that_it_writes_and_not_the_messages() -> None:
    parts = code_parts("loomwork.data.split", "split")
    assert "loomwork.core.dataset:DatasetWriter" in parts
    assert "loomwork.core.row_ids:row_ids" in parts
    assert not any(k.startswith(("loomwork.core.errors", "loomwork.core.context", "loomwork.core.step")) for k in parts)
