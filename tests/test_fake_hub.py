"""The hub that tests ask is good enough for the official clients, in a process that only knows its address."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CLIENTS = """
import json, sys
from pathlib import Path
import datasets
from huggingface_hub import errors, snapshot_download

def refused(*arguments, **settings):
    try:
        snapshot_download(*arguments, **settings)
    except errors.HfHubHTTPError as error:
        return [type(error).__name__, error.response.status_code]

folder = Path(snapshot_download("me/model", revision="main"))
loaded = datasets.load_dataset("me/rows")
streamed = datasets.load_dataset("me/rows", streaming=True, split="test")
print(json.dumps({
    "commit": folder.name,
    "files": {p.name: p.read_text() for p in folder.iterdir()},
    "loaded": {name: rows["text"][:] for name, rows in loaded.items()},
    "streamed": [row["text"] for row in streamed],
    "unknown": refused("me/none"),
    "revision": refused("me/model", revision="none"),
    "gated": refused("me/gated"),
    "no access": refused("me/gated", token="hf_other"),
    "access": bool(snapshot_download("me/gated", token="hf_good")),
}))
"""


def test_the_official_clients_read_from_it(hub, tmp_path):
    pytest.importorskip("datasets")
    model, rows = tmp_path / "model", tmp_path / "rows"
    for folder in (model, rows):
        folder.mkdir()
    (model / "config.json").write_text("{}")
    (rows / "train.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (rows / "test.jsonl").write_text('{"text": "three"}\n')
    commit = hub.push("models", "me/model", model)
    hub.push("models", "me/gated", model, gated=True)
    hub.push("datasets", "me/rows", rows)
    hub.allowed.add("hf_good")
    done = subprocess.run([sys.executable, "-c", CLIENTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "commit": commit,
        "files": {"config.json": "{}"},
        "loaded": {"train": ["one", "two"], "test": ["three"]},
        "streamed": ["three"],
        "unknown": ["RepositoryNotFoundError", 404],
        "revision": ["RevisionNotFoundError", 404],
        "gated": ["GatedRepoError", 401],
        "no access": ["GatedRepoError", 403],
        "access": True,
    }
