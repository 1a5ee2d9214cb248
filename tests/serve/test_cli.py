"""The three verbs, as a user runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import httpx
import pytest
from typer.testing import CliRunner

from loomwork.cli.main import app
from loomwork.core.artifact import Index, Model
from loomwork.models.decoder import load_decoder
from tests.serve.conftest import publish

LOOM = [sys.executable, "-c", "from loomwork.cli.main import app; app()"]


def loom(home, *words):
    done = CliRunner().invoke(app, [*words, "--home", str(home.root)])
    return done.exit_code, done.stdout, done.stderr


def test_ask_shows_passages_with_score_source_and_row(docs_home):
    code, out, _ = loom(docs_home, "ask", "docs", "merge several sorted inputs", "-k", "2")
    assert code == 0
    first = out.splitlines()[0].split()
    assert first[1:] == ["heapq.merge", first[2]]
    assert re.fullmatch(r"heapq\.py:\d+", first[2])
    assert re.search(r"^ +row [0-9a-f]{32}$", out, re.MULTILINE)
    code, out, _ = loom(docs_home, "ask", "docs", "merge several sorted inputs", "-k", "2", "--json")
    answer = json.loads(out)
    assert len(answer["passages"]) == 2
    assert answer["passages"][0]["columns"]["name"] == "heapq.merge"
    assert answer["index"] == docs_home.open("docs@index", Index).id


def test_ask_says_where_the_index_is_another_models(docs_home, stories_home, tmp_path):
    assert loom(docs_home, "ask", "docs", "heap")[2] == ""
    mine = docs_home.ledger.named("docs", "champion")["artifact"]
    shutil.copytree(docs_home.store.path(mine), tmp_path / "other")
    (tmp_path / "other" / "loomwork.json").write_text("{}")
    try:
        docs_home.ledger.move_name("docs", "champion", publish(docs_home, tmp_path / "other", "model"))
        code, _, told = loom(docs_home, "ask", "docs", "heap")
        assert code == 0
        assert f"docs@index was made by {mine[:12]}, which answers" in told
    finally:
        docs_home.ledger.move_name("docs", "champion", mine)


def test_generate_streams_the_decoder_s_text(stories_home):
    text = "".join(load_decoder(stories_home.open("stories", Model)).generate("Lily", max_tokens=9, temperature=0.0))
    settings = ["--max-tokens", "9", "--temperature", "0"]
    assert loom(stories_home, "generate", "stories", "Lily", *settings)[:2] == (0, f"Lily{text}\n")
    code, out, _ = loom(stories_home, "generate", "stories", "Lily", *settings, "--json")
    answer = json.loads(out)
    assert (code, answer["text"], answer["new_tokens"], answer["finish"]) == (0, text, 9, "length")


def test_what_cannot_be_done_ends_with_two_and_a_hint(docs_home, stories_home):
    code, _, said = loom(docs_home, "generate", "docs", "hello")
    assert (code, "generates no text" in said) == (2, True)
    code, _, said = loom(docs_home, "serve", "docs", "--host", "0.0.0.0")
    assert (code, "LOOMWORK_API_KEY" in said) == (2, True)
    code, _, said = loom(stories_home, "ask", "stories", "hello")
    assert (code, "no name stories@index" in said) == (2, True)


@pytest.mark.parametrize("stop", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_serve_says_where_refuses_a_taken_port_and_stops_gracefully(stories_home, stop):
    words = ["serve", "stories", "--port", "0", "--home", str(stories_home.root)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*LOOM, *words], stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout
        shown = ""
        while "Ctrl-C" not in shown:
            line = server.stdout.readline()
            assert line, shown
            shown += line
        url = re.search(r"http://127\.0\.0\.1:\d+", shown).group()
        model = stories_home.open("stories", Model).id
        assert model[:12] in shown
        ask = {"model": "stories", "prompt": "Lily", "max_tokens": 2}
        assert httpx.post(f"{url}/v1/completions", json=ask).status_code == 200
        served = stories_home.ledger.events(kind="served", subject=model)
        assert served[-1]["data"] == {"name": "stories", "role": "model", "url": url}
        if stop == signal.SIGTERM:
            code, _, said = loom(stories_home, "serve", "stories", "--port", url.rsplit(":", 1)[1])
            assert (code, "is taken" in said, "--port 0" in said) == (2, True, True)
        server.send_signal(stop)
        assert server.stdout.read() == "stopped\n"
    assert server.returncode == 0
