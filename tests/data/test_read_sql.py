"""Rows of a database, on SQLite and on a real PostgreSQL; secrets stay out of settings, messages and the ledger."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from loomwork.core.errors import InputError, MissingDependency
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
from loomwork.data.read_sql import read_sql
from tests.data.read_rows import rows_of

ROWS = 5000


@pytest.fixture
def database(tmp_path) -> str:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (id INTEGER, text TEXT, price NUMERIC, raw BLOB)")
        rows = [(n, f"row {n} at 12:30, 100%", n / 2, b"\0\1" if n % 2 else None) for n in range(ROWS)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    return f"sqlite:///{path}"


def test_rows_of_a_query_are_streamed_with_their_types(database, run_step):
    query = "SELECT id, text, price, raw FROM t WHERE text LIKE '%12:30, 100%%' ORDER BY id"
    data, card = run_step(read_sql, url=database, query=query)
    rows = rows_of(data)
    assert card.metrics["rows"] == ROWS == len(rows)
    assert [r["id"] for r in rows] == list(range(ROWS))
    last = {"id": 4999, "text": "row 4999 at 12:30, 100%", "price": 2499.5, "raw": b"\0\1", "source": "shop.db:5000"}
    assert rows[-1] == last


def test_rows_of_postgresql_and_nothing_but_reading(postgres_url, run_step, monkeypatch):
    values = (
        "1::int AS id, 'a:b 100%'::text AS text, 1.50::numeric(10,2) AS price, NULL::text AS nothing, "
        "'6b0f4c4e-6a3e-4b3c-9a55-1d1f6d8f0c11'::uuid AS uid, TIMESTAMP '2024-01-02 03:04:05' AS at, "
        "ARRAY[1,2] AS list"
    )
    monkeypatch.setenv("SHOP", postgres_url)
    data, _ = run_step(read_sql, url="${SHOP}", query=f"SELECT {values} FROM generate_series(1, 3000)")
    rows = rows_of(data)
    assert len(rows) == 3000
    assert (rows[0]["id"], rows[0]["text"], str(rows[0]["price"]), rows[0]["nothing"]) == (1, "a:b 100%", "1.50", None)
    assert (rows[0]["uid"], rows[0]["at"].isoformat()) == (
        "6b0f4c4e-6a3e-4b3c-9a55-1d1f6d8f0c11",
        "2024-01-02T03:04:05",
    )
    assert (rows[0]["list"], rows[-1]["source"]) == ([1, 2], "sql:3000")
    with sa.create_engine(postgres_url).begin() as connection:
        connection.execute(sa.text("CREATE SEQUENCE numbers"))
    with pytest.raises(InputError, match="read-only transaction"):
        run_step(read_sql, url="${SHOP}", query="SELECT nextval('numbers')")
    with pytest.raises(InputError, match="syntax error"):
        run_step(read_sql, url="${SHOP}", query="CREATE TABLE made (x int)")
    with sa.create_engine(postgres_url).connect() as connection:
        assert connection.execute(sa.text("SELECT to_regclass('made')")).scalar() is None


BAD = {
    "DROP TABLE t": "readonly database",
    "DELETE FROM t RETURNING id": "readonly database",
    "SELECT id, id FROM t": "two columns called 'id'",
    "SELECT * FROM nope": "no such table: nope",
    "SELECT * FROM t WHERE id < 0": "gave no rows",
    "PRAGMA user_version = 3": "gives no rows|readonly",
}


@pytest.mark.parametrize("query", BAD)
def test_queries_that_cannot_be_read_are_refused(query, database, run_step):
    with pytest.raises(InputError, match=BAD[query]):
        run_step(read_sql, url=database, query=query)
    with sqlite3.connect(database.removeprefix("sqlite:///")) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)


def test_databases_that_cannot_be_reached_are_named(run_step, monkeypatch):
    for url, error, match in (
        ("${NOWHERE}", InputError, "variable NOWHERE is not set"),
        ("nonsense", InputError, "nonsense cannot be read"),
        ("oracle://host/d", MissingDependency, "oracledb"),
    ):
        with pytest.raises(error, match=match):
            run_step(read_sql, url=url, query="SELECT 1")
    monkeypatch.setenv("PASSWORD", "p@ss/word:1")
    with pytest.raises(InputError) as caught:
        run_step(read_sql, url="postgresql+psycopg://u:${PASSWORD}@127.0.0.1:1/d", query="SELECT 1")
    assert "127.0.0.1" in str(caught.value)
    assert "p@ss" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:hunter2@h/d", "postgresql://u:hunter2${X}@h/d", "mysql://h/d?password=hunter2"],
)
def test_a_password_in_the_url_is_refused_before_anything_is_stored(url, tmp_path):
    home = Home(tmp_path / ".loom")
    with pytest.raises(InputError, match="holds a password") as caught:
        run_recipe(
            {"recipe": "r", "steps": {"a": {"use": "data.read_sql", "url": url, "query": "SELECT 1"}}}, home=home
        )
    assert "hunter2" not in str(caught.value)
    assert not any(b"hunter2" in p.read_bytes() for p in Path(tmp_path).rglob("*") if p.is_file())


def test_read_anew_each_run_unless_a_revision_is_given(database, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_URL", database)
    home = Home(tmp_path / ".loom")

    def status(**more: str) -> str:
        step = {"use": "data.read_sql", "url": "${SHOP_URL}", "query": "SELECT id, text FROM t ORDER BY id", **more}
        return run_recipe({"recipe": "r", "steps": {"a": step}}, home=home).steps["a"].status

    assert [status(), status()] == ["ran", "ran"]
    assert [status(revision="june"), status(revision="june"), status(revision="july")] == ["ran", "hit", "ran"]
    assert not any(database.encode() in p.read_bytes() for p in (tmp_path / ".loom").rglob("*") if p.is_file())
