"""Docstrings are read from source: what is public, where it stands, and what cannot be read."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from loomwork.core.errors import InputError
from loomwork.data.python_docs import python_docs

SOURCE = '''"""Module."""
import sys
def shown(a, b=1, *rest, c, **more):
    """Shown."""
    def inner():
        """Inner."""
def _hidden():
    """Hidden."""
def bare(): pass
if sys.platform == "linux":
    try:
        def nested(*, x): "Nested."
    except ImportError:
        def fallback(): "Fallback."
class Thing:
    """A thing."""
    def __init__(self, size): "Not listed."
    def method(self, /, x):
        """  First.

          Indented.
        """
    @staticmethod
    def static(x, y): "Static."
    @classmethod
    def made(cls, x): "Made."
class _Hidden:
    """Hidden."""
    def method(self): "Hidden too."
'''


def test_public_documentation_with_names_signatures_and_lines(tmp_path, run_step):
    (tmp_path / "source/pkg/_private").mkdir(parents=True)
    (tmp_path / "source/pkg/test").mkdir()
    for name in ("pkg/mod.py", "pkg/_mod.py", "pkg/_private/mod.py", "pkg/test/mod.py", "pkg/__main__.py"):
        (tmp_path / "source" / name).write_text(SOURCE)
    (tmp_path / "source/pkg/__init__.py").write_text('"""Package."""')
    data, card = run_step(python_docs, path=tmp_path / "source")
    assert [(r["name"], r["signature"], r["kind"], r["source"]) for r in data.rows()] == [
        ("pkg", "", "module", "pkg/__init__.py:1"),
        ("pkg.mod", "", "module", "pkg/mod.py:1"),
        ("pkg.mod.shown", "(a, b, *rest, c, **more)", "function", "pkg/mod.py:3"),
        ("pkg.mod.nested", "(*, x)", "function", "pkg/mod.py:12"),
        ("pkg.mod.fallback", "()", "function", "pkg/mod.py:14"),
        ("pkg.mod.Thing", "(size)", "class", "pkg/mod.py:15"),
        ("pkg.mod.Thing.method", "(x)", "function", "pkg/mod.py:18"),
        ("pkg.mod.Thing.static", "(x, y)", "function", "pkg/mod.py:24"),
        ("pkg.mod.Thing.made", "(x)", "function", "pkg/mod.py:26"),
    ]
    assert {r["module"] for r in data.rows()} == {"pkg"}
    assert next(r["text"] for r in data.rows() if r["name"].endswith(".method")) == "First.\n\nIndented."
    assert card.metrics["rows"] == 9


def test_unreadable_files_are_set_aside_with_the_reason(tmp_path, run_step):
    (tmp_path / "good.py").write_text('"""Good."""')
    (tmp_path / "latin.py").write_bytes(b'"""caf\xe9"""')
    (tmp_path / "broken.py").write_text("def f(:")
    (tmp_path / "lone.py").write_text('"""\\ud800"""')
    (tmp_path / "null.py").write_bytes(b'"""a\0b"""')
    data, card = run_step(python_docs, path=tmp_path)
    dropped = list(data.select("dropped").rows())
    assert sorted(r["source"] for r in dropped) == ["broken.py", "latin.py", "lone.py", "null.py"]
    assert all(r["reason"].startswith("not readable as Python: ") for r in dropped)
    assert [r["text"] for r in data.rows()] == ["Good."]
    assert card.metrics["rows_dropped"] == 4 == card.metrics["dropped: not readable as Python"]


def test_no_documentation_is_refused(tmp_path, run_step):
    with pytest.raises(InputError, match="no documentation"):
        run_step(python_docs, path=tmp_path)
    with pytest.raises(InputError, match="folder"):
        run_step(python_docs, path=tmp_path / "nothing")


def test_this_python_agrees_with_its_own_introspection(run_step):
    data, _ = run_step(python_docs)
    docs = {r["name"]: r for r in data.rows()}
    for name, thing in {"asyncio.tasks.gather": asyncio.gather, "asyncio.tasks.wait": asyncio.wait}.items():
        assert docs[name]["text"] == inspect.getdoc(thing)
        assert docs[name]["source"].endswith(f":{inspect.getsourcelines(thing)[1]}")
        expected = [f"*{p.name}" if p.kind is p.VAR_POSITIONAL else p.name for p in parameters(thing)]
        assert docs[name]["signature"].strip("()").replace("*, ", "").split(", ") == expected
    assert docs["assert"]["kind"] == "topic"


def test_topic_pages_are_read_from_their_literal_and_can_be_left_out(tmp_path, run_step):
    (tmp_path / "pydoc_data").mkdir()
    page = "topics = {'assert': 'The assert statement\\n***\\n'\n 'More.', 'for': 'Loops'}"
    (tmp_path / "pydoc_data/topics.py").write_text(page)
    (tmp_path / "mod.py").write_text('"""Module."""')
    data, _ = run_step(python_docs, path=tmp_path)
    pages = [(r["name"], r["text"], r["source"]) for r in data.rows() if r["kind"] == "topic"]
    assert pages == [
        ("assert", "The assert statement\n***\nMore.", "pydoc_data/topics.py:1"),
        ("for", "Loops", "pydoc_data/topics.py:2"),
    ]
    without, _ = run_step(python_docs, path=tmp_path, topics=False)
    assert [r["kind"] for r in without.rows()] == ["module"]
    (tmp_path / "pydoc_data/topics.py").write_text("topics = {'assert': open('x').read()}")
    broken, _ = run_step(python_docs, path=tmp_path)
    assert [r["source"] for r in broken.select("dropped").rows()] == ["pydoc_data/topics.py"]


def parameters(thing):
    return list(inspect.signature(thing).parameters.values())
