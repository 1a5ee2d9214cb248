"""Answers are asked for once: a call with other settings reads them, and what failed is all that is asked again."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from loomwork.core.dataset import Dataset
from loomwork.core.explain import plan
from loomwork.core.forget import forget, plan_forget
from loomwork.core.home import Home
from loomwork.core.recipe import load_recipe
from loomwork.core.runner import run_recipe
from loomwork.core.upkeep import collect_garbage

TASK = {
    "task": "capitals", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "capitals.jsonl"}},
    "test_split": "test", "output_type": "generate_until", "doc_to_text": "{{country}}:", "doc_to_target": "{{city}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4}, "metric_list": [{"metric": "exact_match"}],
}  # fmt: skip


@pytest.fixture
def task(tmp_path):
    rows = [{"country": f"Country {n}", "city": f"City {n}"} for n in range(12)]
    (tmp_path / "capitals.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "capitals.yaml").write_text(json.dumps(TASK))
    return tmp_path / "capitals.yaml"


@pytest.fixture
def server():
    """Answers with the city of the country, but for the numbers in `busy`, as long as they are there."""

    class Handler(BaseHTTPRequestHandler):
        busy: ClassVar[set[int]] = set()
        asked: ClassVar[list[int]] = []

        def do_POST(self) -> None:
            number = int(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"].split()[1][:-1])
            self.asked.append(number)
            busy = number in self.busy
            found = {"error": {"message": "busy"}} if busy else {"choices": [{"text": f"City {number}\n"}]}
            self.send_response(429 if busy else 200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: object) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    Handler.url = f"http://127.0.0.1:{made.server_port}/v1"  # type: ignore[attr-defined]
    yield Handler
    made.shutdown()
    made.server_close()


def scored(home: Home, model: dict[str, Any], task, **more: Any):
    steps = {"model": model, "scores": {"use": "evals.run_task", "model": "$model", "task": str(task), **more}}
    return {"recipe": "kept", "steps": steps}, home


def run(home: Home, model: dict[str, Any], task, **more: Any):
    recipe, _ = scored(home, model, task, **more)
    return run_recipe(recipe, home=home).steps["scores"]


def test_other_settings_ask_only_what_is_new(task, server, tmp_path):
    model, home = {"use": "evals.endpoint", "url": server.url, "model": "m"}, Home(tmp_path / "home")
    first = run(home, model, task, limit=8)
    assert (first.card.metrics["kept"], len(server.asked)) == (0, 8)
    more = run(home, model, task)
    assert (more.card.metrics["kept"], more.card.metrics["documents"], len(server.asked)) == (8, 12, 12)
    again = run(home, model, task, level=0.9)
    assert (again.card.metrics["kept"], len(server.asked)) == (12, 12)
    assert again.card.scores[0].value == more.card.scores[0].value


def test_an_incomplete_result_is_no_hit_and_only_what_failed_is_asked_again(task, server, tmp_path):
    model = {"use": "evals.endpoint", "url": server.url, "model": "m", "attempts": 1}
    home = Home(tmp_path / "home")
    server.busy = {3, 7}
    first = run(home, model, task)
    assert (first.card.metrics["failed"], first.card.scores[0].n) == (2, 10)
    planned = plan(home, load_recipe(scored(home, model, task)[0]))["scores"]
    assert planned.verdict == "would run"
    assert "2 of 12 requests failed" in planned.reasons[0]
    server.busy, before = set(), len(server.asked)
    second = run(home, model, task)
    assert second.status == "ran"
    assert sorted(server.asked[before:]) == [3, 7]
    assert (second.card.metrics["failed"], second.card.scores[0].n, second.card.scores[0].value) == (0, 12, 1.0)
    assert run(home, model, task).status == "hit"


def test_a_server_that_answers_nothing_any_more_is_not_asked_for_ever(task, server, tmp_path):
    rows = [{"country": f"Country {n}", "city": f"City {n}"} for n in range(60)]
    (tmp_path / "capitals.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = {"use": "evals.endpoint", "url": server.url, "model": "m", "attempts": 1, "at_once": 1}
    home = Home(tmp_path / "home")
    server.busy = set(range(5, 60))
    failed = run(home, model, task)
    assert "16 requests in a row failed: 429 busy" in failed.error
    assert len(server.asked) < 5 + 16 + 3  # one or two more may have begun
    server.busy = set()
    assert run(home, model, task).card.metrics["kept"] == 5


def test_gc_takes_answers_that_nobody_has_added_to_for_long_and_forget_takes_all(task, server, tmp_path):
    model, home = {"use": "evals.endpoint", "url": server.url, "model": "m"}, Home(tmp_path / "home")
    run(home, model, task)
    (folder,) = home.folder("kept").iterdir()
    collect_garbage(home, apply=True)
    assert folder.is_dir()
    for file in folder.iterdir():
        os.utime(file, (0, 0))
    assert collect_garbage(home, apply=True).leftovers == 1
    assert not folder.exists()
    run(home, model, task, limit=3)
    raw = {"steps": {"raw": {"use": "data.read", "path": str(tmp_path / "capitals.jsonl")}}}
    rows = home.open(run_recipe(raw, home=home).steps["raw"].artifact, Dataset).select("data").rows()
    forget(home, plan_forget(home, [], rows=[next(rows)["row_id"]]))
    assert not list(home.folder("kept").iterdir())
