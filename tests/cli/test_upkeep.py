"""loom forget, gc, verify and remake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from cli.conftest import Project
from cli.test_show import rows_of
from loomwork.core.home import open_home


def test_forget_previews_then_does_it(ran: Project) -> None:
    row = rows_of(ran, "raw")["one two three"]
    preview = ran.json("forget", row[:12])
    assert not preview["applied"]
    assert preview["sources"] == [row]
    assert {t["kind"] for t in preview["touched"]} == {"model", "scores", "verdict"}
    text = ran("forget", row)
    assert "Would be stale" in text
    assert "Nothing was changed" in text
    assert ran.json("show")["stale"] == []
    done = ran.json("forget", row, "--yes", "--reason", "asked to")
    assert done["applied"]
    assert len(done["versions"]) == 2
    assert len(ran.json("show")["stale"]) == 3
    assert "stale" in ran("show")
    ran("run")
    assert "one two three" not in rows_of(ran, "raw")


def test_forget_takes_a_condition_on_rows(ran: Project) -> None:
    ids = rows_of(ran, "raw")
    preview = ran.json("forget", "text LIKE 'one two%'")
    assert preview["sources"] == sorted([ids["one two three"], ids["one two"]])
    both = ran.json("forget", "text LIKE 'one two%'", ids["four"])
    assert sorted(both["sources"]) == sorted([*preview["sources"], ids["four"]])
    for bad, why in (("txt = 'four'", "did you mean 'text'"), ("text LIKE", "condition"), ("text = 'no'", "no row")):
        assert why in ran.result("forget", bad, code=2).output
    ran("forget", "text LIKE 'one two%'", "--yes")
    ran("run")
    assert set(rows_of(ran, "raw")) == set(ids) - {"one two three", "one two"}


def test_gc_says_then_deletes(ran: Project, edit_recipe: Callable[[str, str], None]) -> None:
    assert ran.json("gc")["artifacts"] == []
    edit_recipe("words: 2", "words: 1")
    ran("run")
    home = open_home()
    ran("name", "words@champion", home.find("words"), "--reason", "as it is")
    found = ran.json("gc")
    assert found["artifacts"]
    assert "nothing was changed" in ran("gc")
    assert "deleted" in ran("gc", "--yes")
    assert ran.json("gc")["artifacts"] == []
    assert ran.json("verify")["clean"]
    assert ran.json("show", found["artifacts"][0])["state"] == "collected"


def test_verify_tells_a_terminal_how_far_it_is(ran: Project) -> None:
    pty = pytest.importorskip("pty")
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "loomwork", "verify", "--home", str(ran.folder / ".loom")]
    done = subprocess.run(command, stderr=end, stdout=subprocess.PIPE, text=True, check=True)
    os.close(end)
    shown = os.read(terminal, 10_000).decode()
    os.close(terminal)
    total = int(done.stdout.split()[0])
    assert shown.startswith("  hashing\r  1 of ")
    assert f"{total} of {total} artifacts" in shown
    assert f"{total} artifacts checked" in done.stdout


def test_verify_finds_damage_and_loss_and_returns_4(ran: Project) -> None:
    assert "all are as they were" in ran("verify")
    home = open_home()
    model, data = home.find("words"), ran.json("show", "long")["made"][0]
    path = home.store.path(model) / "words.txt"
    path.chmod(0o644)
    path.write_text("other")
    shutil.rmtree(home.store.path(data).parent)
    found = ran.json("verify", code=4)
    assert list(found["damaged"]) == [model]
    assert found["lost"] == [data]
    assert f"loom remake {data[:12]}" in ran("verify", code=4)


def test_remake_gives_the_same_bytes_and_puts_back_what_was_lost(ran: Project) -> None:
    found = ran.json("remake", "words")
    assert found["equal"]
    assert {a["name"] for a in found["artifacts"]} == {"raw", "long", "model"}
    assert [a["name"] for a in ran.json("remake", "words", "--only")["artifacts"]] == ["model"]
    data = ran.json("show", "long")["made"][0]
    assert ran.json("remake", "long", "--only")["artifacts"][0]["artifact"] == data
    shutil.rmtree(open_home().store.path(data).parent)
    assert ran.json("show", data)["state"] == "lost"
    assert "put back" in ran("remake", data[:12])
    assert ran.json("show", data)["state"] == "here"


def test_remake_of_changed_sources_says_so(ran: Project) -> None:
    ran.write("other lines\n", "lines.txt")
    found = ran.json("remake", "words", code=4)
    assert not found["equal"]
    assert "differs" in ran("remake", "words", code=4)
