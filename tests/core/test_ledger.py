"""Runs and leases, names, events, scores; eight writers at once, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from loomwork.core import schema as t
from loomwork.core.errors import InputError, LoomError
from loomwork.core.lease import STUCK_AFTER_SECONDS, is_alive, owner
from loomwork.core.ledger import Ledger, Made, Used
from loomwork.core.score import Interval, Score
from loomwork.core.step import Card


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    base = request.getfixturevalue("postgres_url")
    name = f"t{os.urandom(6).hex()}"
    with sa.create_engine(base, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    return base.rsplit("/", 1)[0] + "/" + name


@pytest.fixture
def ledger(url) -> Iterator[Ledger]:
    ledger = Ledger(url)
    yield ledger
    ledger.close()


def score(**changes) -> Score:
    fields = dict(
        name="mrr@10", value=0.5, unit="1", direction="higher is better", n=10, cluster_unit="item", n_clusters=10,
        interval=Interval(0.4, 0.6, 0.95, "t"), items="items", data="d", model="m", settings="s",
        contamination="unknown",
    )  # fmt: skip
    return Score(**{**fields, **changes})


def test_a_run_with_inputs_output_numbers_and_curves(ledger):
    first = ledger.begin("data.read", "k1", {"step": "data.read"}, {}, name="raw", log="raw.log")
    ledger.finish(first, Made("a" * 64, "dataset", 10), Card({"rows": 3}))
    second = ledger.begin("train.x", "k2", {"settings": {"a": 1}}, {"data": Used("a" * 64, "train", first)}, name="x")
    ledger.add_points(second, [("loss", 1, 2.0), ("loss", 2, 1.5), ("loss", 2, 1.4)])
    ledger.finish(second, Made("b" * 64, "model", 20), Card({"seconds": 1.5}, [score()], ["done"]), cpu_seconds=2.0)
    assert ledger.find_done("k2") == {"run": second, "artifact": "b" * 64, "kind": "model"}
    assert [(e["direction"], e["artifact"][0], e["made_by"]) for e in ledger.edges(second)] == [
        ("in", "a", first),
        ("out", "b", second),
    ]
    values = {(m["name"], m["point"]): m["value"] for m in ledger.metrics(second)}
    assert values == {("loss", 1): 2.0, ("loss", 2): 1.4, ("mrr@10", 0): 0.5, ("seconds", 0): 1.5}
    (kept,) = [m["score"] for m in ledger.metrics(second) if m["score"]]
    assert Score.from_json(kept) == score()
    run = ledger.run(second)
    assert (run["status"], run["cpu_seconds"], run["outcome"], run["parts"]["settings"]) == (
        "done",
        2.0,
        {"notes": ["done"]},
        {"a": 1},
    )


def test_a_number_without_its_fields_cannot_enter_as_a_score(ledger):
    run = ledger.begin("e", "k", {}, {})
    for bad in (0.5, {"name": "f1", "value": 0.5}, ("f1", 0.5)):
        with pytest.raises((InputError, AttributeError)):
            ledger.finish(run, None, Card(scores=[bad]))
    assert ledger.metrics(run) == []
    assert ledger.run(run)["status"] == "running"
    for fault in (
        dict(n=0),
        dict(data=""),
        dict(value=float("nan")),
        dict(contamination="clean"),
        dict(interval=Interval(1, 0, 0.95, "t")),
    ):
        with pytest.raises(InputError):
            score(**fault)
    with pytest.raises(TypeError):
        Score(name="f1", value=0.5)


def test_a_lease_is_held_by_the_living_and_taken_from_the_dead(ledger):
    run = ledger.begin("s", "k", {}, {})
    assert ledger.begin("s", "k", {}, {}) is None
    with ledger.writing() as connection:
        connection.execute(t.run.update().values(owner=f"{socket.gethostname()}:{2**22 - 3}:1"))
    again = ledger.begin("s", "k", {}, {})
    assert again
    assert ledger.run(run)["status"] == "lost"
    assert [r["id"] for r in ledger.live_runs()] == [again]


def test_who_is_alive():
    now = time.time()
    assert is_alive(owner(), now)
    host, pid, _ = owner().rsplit(":", 2)
    assert not is_alive(f"{host}:{pid}:1", now)  # the pid was used again
    assert not is_alive(f"elsewhere:{pid}:1", 0)
    assert is_alive(f"elsewhere:{pid}:1", now)
    assert not is_alive(owner(), now - 2 * STUCK_AFTER_SECONDS)  # it lives, and has lost sight of the lease
    assert not is_alive(f"{host}:1:2", now)  # of another user, or this one: it did not begin then


@pytest.mark.skipif(sys.platform != "linux", reason="the state of a process is read from /proc")
def test_a_process_that_ended_and_that_nobody_waited_for_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "from loomwork.core.lease import owner; print(owner())"],
                             stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert child.stdout
    who = child.stdout.read().strip()  # to its end; it is not waited for: a zombie
    deadline = time.time() + 20
    while is_alive(who, time.time()) and time.time() < deadline:
        time.sleep(0.02)
    assert not is_alive(who, time.time())
    os.kill(child.pid, 0)  # it can still be signalled
    child.wait()


def test_a_finished_run_is_never_called_lost(ledger):
    run = ledger.begin("s", "k", {}, {})
    with ledger.writing() as connection:  # as if another process had found it dead just before
        connection.execute(t.run.update().values(owner=f"{socket.gethostname()}:{2**22 - 3}:1"))
    ledger.finish(run, Made("a" * 64, "x", 1), Card())
    ledger.mark_lost()
    assert ledger.run(run)["status"] == "done"


def test_a_name_moves_only_from_where_it_was_seen(ledger):
    assert ledger.move_name("m", "champion", "a", was=[None])
    assert not ledger.move_name("m", "champion", "b", was=[None])
    assert ledger.move_name("m", "champion", "b", was=["a"])
    assert ledger.named("m", "champion")["artifact"] == "b"


def test_a_result_can_be_that_of_other_inputs_of_the_same_bytes(ledger):
    run = ledger.begin("s", "k", {"a": 1}, {"data": Used("a" * 64, "train", "old")})
    ledger.finish(run, Made("b" * 64, "x", 1), Card({"rows": 3.0}))
    new = ledger.adopt(run, {"data": Used("c" * 64, "train", "new")})
    assert ledger.find_done("k") == {"run": new, "artifact": "b" * 64, "kind": "x"}
    edges = {e["direction"]: (e["artifact"], e["part"], e["made_by"]) for e in ledger.edges(new)}
    assert edges == {"in": ("c" * 64, "train", "new"), "out": ("b" * 64, "", new)}
    assert [(m["name"], m["value"]) for m in ledger.metrics(new)] == [("rows", 3.0)]
    assert ledger.run(new)["parts"] == {"a": 1}


def test_no_run_begins_beside_one_that_it_may_not_run_beside(ledger):
    gc = ledger.begin("gc", "gc", {}, {}, unless="gc")
    assert ledger.begin("gc", "gc", {}, {}, unless="gc") is None
    assert ledger.begin("recipe", "k", {}, {}, unless="gc") is None
    ledger.finish(gc, None, Card())
    assert ledger.begin("recipe", "k", {}, {}, unless="gc")


def test_a_failed_run_is_no_hit_and_says_why(ledger):
    run = ledger.begin("s", "k", {}, {})
    ledger.fail(run, "it broke")
    assert ledger.find_done("k") is None
    assert ledger.run(run)["error"] == "it broke"
    assert ledger.begin("s", "k", {}, {})


def test_names_move_and_keep_their_history(ledger):
    ledger.move_name("search", "champion", "a", reason="first")
    ledger.move_name("search", "champion", "b", verdict="v", reason="better")
    ledger.move_name("search", "index", "i")
    assert ledger.named("search", "champion")["artifact"] == "b"
    assert ledger.named("search", "none") is None
    assert [(n["label"], n["artifact"]) for n in ledger.names()] == [("champion", "b"), ("index", "i")]
    assert [h["artifact"] for h in ledger.name_history("search")] == ["i", "b", "a"]


def test_events_and_notes(ledger):
    ledger.add_events("stale", {"a": {"rows": ["1"]}, "b": {}})
    ledger.add_note("a", "look here", "me")
    assert [(e["subject"], e["data"]) for e in ledger.events(kind="stale")] == [("a", {"rows": ["1"]}), ("b", {})]
    assert ledger.events(subject="c") == []
    assert ledger.notes("a")[0]["text"] == "look here"


def test_opening_twice_migrates_once_and_a_newer_ledger_is_refused(ledger, url):
    assert Ledger(url).rows(sa.select(t.applied.c.name)) == [{"name": "m001_first_tables"}]
    with ledger.writing() as connection:
        connection.execute(t.applied.insert(), {"name": "m999_from_the_future", "at": 0.0})
    with pytest.raises(InputError, match="newer Loomwork"):
        Ledger(url)


WRITER = """
import sys
from loomwork.core.ledger import Ledger
import sqlalchemy as sa
from loomwork.core import schema as t
ledger = Ledger(sys.argv[1])
for i in range(100):
    with ledger.writing(lock="counter") as connection:  # read, then write: what loses updates without a real lock
        value = connection.execute(sa.select(sa.func.max(t.metric.c.point))).scalar() or 0
        connection.execute(t.metric.insert(), dict(run=sys.argv[2], name="n", point=value + 1, value=0.0))
"""


def test_eight_writers_lose_nothing(url):
    Ledger(url).close()
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, url, str(i)]) for i in range(8)]
    assert [w.wait() for w in writers] == [0] * 8
    points = [r["point"] for r in Ledger(url).rows(sa.select(t.metric.c.point))]
    assert sorted(points) == list(range(1, 801))


def test_eight_processes_may_open_a_new_ledger_at_once(url):
    code = "import sys; from loomwork.core.ledger import Ledger; Ledger(sys.argv[1]).move_name('n', 'l', 'a')"
    openers = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(8)]
    assert [o.wait() for o in openers] == [0] * 8
    assert len(Ledger(url).name_history("n")) == 8


def test_a_url_that_cannot_be_used_is_a_clear_error_without_the_password(tmp_path):
    with pytest.raises(InputError, match="not a database URL"):
        Ledger("nonsense")
    with pytest.raises(InputError) as caught:
        Ledger("postgresql+psycopg://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be opened"):
        Ledger(f"sqlite:///{tmp_path}/no/such/folder/ledger.db")


def test_a_ledger_that_another_program_holds_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr("loomwork.core.database.BUSY_SECONDS", 0.2)
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LoomError, match=r"another program has held the ledger at .* for 0\.2 s"):
        ledger.move_name("n", "l", "a")
    other.execute("ROLLBACK")
    ledger.move_name("n", "l", "a")
    other.close()
    ledger.close()
