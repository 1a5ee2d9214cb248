"""Killed at any moment, the next run completes, and every byte in the store is what it should be.

A miniature of the quickstart, of real steps: read, clean, pairs, deduplicate, split, measure, gate, train (a
tokenizer), index, name.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from loomwork.core.home import Home
from loomwork.core.upkeep import verify

RECIPE = {
    "recipe": "mini",
    "settings": {"seed": 7},
    "steps": {
        "raw": {"use": "data.read", "path": "docs.jsonl"},
        "clean": {"use": "data.clean", "data": "$raw"},
        "pairs": {"use": "data.query_pairs", "data": "$clean"},
        "unique": {"use": "data.exact_dedup", "data": "$pairs", "columns": ["query"]},
        "distinct": {"use": "data.near_dedup", "data": "$unique", "column": "passage"},
        "split": {"use": "data.split", "data": "$distinct", "holdout": 0.3, "group": "module", "seed": "$seed"},
        "bm25": {"use": "evals.retrieval", "data": "$split/holdout", "cluster": "module", "seed": "$seed"},
        "gate": {"use": "evals.compare", "candidate": "$bm25", "baseline": "$bm25", "not_worse_than": 0.5},
        "slow": {"use": "tests.core.runner_steps:train", "data": "$split/train", "steps": 20, "seconds": 0.02},
        "tokens": {"use": "train.tokenizer", "data": "$split/train", "text": "document", "vocabulary": 400},
        "index": {"use": "data.index", "data": "$distinct", "text": "document"},
    },
    "gate": "$gate",
    "name": {"mini@index": "$index"},
}


@pytest.fixture
def project(tmp_path) -> Path:
    words = Path(random.__file__).read_text().split()
    with open(tmp_path / "docs.jsonl", "w") as stream:
        for i in range(300):
            text = f"Return the value number {i} of {words[i]}. " + " ".join(words[i * 3 : i * 3 + 30])
            row = {"text": text, "module": f"m{i % 20}", "name": f"m{i % 20}.f{i}", "signature": "(a)"}
            stream.write(json.dumps(row) + "\n")
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path


def start(project: Path, seed: int) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "LOOMWORK_HOME": str(project / ".loom")}
    command = [sys.executable, "-m", "loomwork", "run", "mini.yaml", "--set", f"seed={seed}"]
    return subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_and_go_on(project: Path, rounds: int) -> None:
    begun = time.time()
    assert start(project, 0).wait() == 0
    whole = time.time() - begun
    choose = random.Random(0)
    for seed in range(1, rounds + 1):
        run = start(project, seed)
        time.sleep(choose.uniform(0, whole))
        run.send_signal(signal.SIGKILL)
        run.wait()
        again = start(project, seed)
        _, errors = again.communicate()
        assert again.returncode == 0, errors.decode()
        found = verify(Home(project / ".loom"))
        assert found.clean, found
        assert not list((project / ".loom" / "tmp").iterdir())
    assert not list((project / ".loom" / "work").iterdir())


def test_killed_at_random_moments_the_next_run_completes(project):
    kill_and_go_on(project, rounds=3)


@pytest.mark.slow
def test_killed_twenty_times_at_random_moments(project):
    kill_and_go_on(project, rounds=20)
