"""Datasets of Hugging Face: what its own library wrote, folders of files, and the hub when it cannot be reached."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
from loomwork.data.read_hub import read_hub
from tests.data.read_rows import rows_of

datasets = pytest.importorskip("datasets")


@pytest.fixture
def saved(tmp_path) -> str:
    kinds = datasets.Features(
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=["bad", "good"]),
        source=datasets.Value("string"),
    )

    def made(texts: list[str]) -> Any:
        rows = {"text": texts, "label": [n % 2 for n in range(len(texts))], "source": ["theirs"] * len(texts)}
        return datasets.Dataset.from_dict(rows, features=kinds)

    both = datasets.DatasetDict(train=made([f"text {n}" for n in range(2500)]), test=made(["one", "two"]))
    both.save_to_disk(tmp_path / "saved")
    return str(tmp_path / "saved")


def test_a_saved_dataset_gives_its_splits_as_parts(saved, run_step):
    data, card = run_step(read_hub, path=saved)
    assert data.parts == ["test", "train"]
    assert (card.metrics["rows_train"], card.metrics["rows_test"]) == (2500, 2)
    assert rows_of(data, "train")[-1] == {
        "text": "text 2499",
        "label": 1,
        "given_source": "theirs",
        "source": "saved/train:2500",
    }
    assert card.notes == ["label: 0 = bad, 1 = good"]
    one, _ = run_step(read_hub, path=saved, split="test")
    assert [r["text"] for r in rows_of(one)] == ["one", "two"]


def test_a_folder_of_files_is_read_and_a_program_in_it_is_refused(tmp_path, run_step):
    folder = tmp_path / "loose"
    folder.mkdir()
    for split, texts in (("train", ["p", "q"]), ("test", ["r"])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    data, _ = run_step(read_hub, path=str(folder))
    assert {part: [r["text"] for r in rows_of(data, part)] for part in data.parts} == {
        "train": ["p", "q"],
        "test": ["r"],
    }
    (folder / "loose.py").write_text("raise SystemExit('a program that must not run')")
    with pytest.raises(InputError, match="scripts are no longer supported"):
        run_step(read_hub, path=str(folder))


def test_what_is_not_there_is_named(saved, tmp_path, run_step, monkeypatch):
    for wrong, match in (
        ({"split": "tset"}, "no split 'tset'\n  did you mean 'test'"),
        ({"config": "x"}, "has no configurations"),
        ({"revision": "x"}, "has no revisions"),
        ({"path": "no/such/folder"}, "no such folder, and no id of the hub"),
    ):
        with pytest.raises(InputError, match=match):
            run_step(read_hub, **{"path": saved, **wrong})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        run_step(read_hub, path=str(tmp_path / "empty"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    with pytest.raises(InputError, match="some/data cannot be read: the hub cannot be reached"):
        run_step(read_hub, path="some/data")


def test_a_folder_is_read_again_when_its_files_change(saved, tmp_path):
    home = Home(tmp_path / ".loom")

    def status() -> str:
        return (
            run_recipe({"recipe": "r", "steps": {"a": {"use": "data.read_hub", "path": saved}}}, home=home)
            .steps["a"]
            .status
        )

    assert [status(), status()] == ["ran", "hit"]
    datasets.Dataset.from_dict({"text": ["new"]}).save_to_disk(f"{saved}/train")
    assert status() == "ran"
