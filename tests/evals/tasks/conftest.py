"""lm-evaluation-harness 0.4.13 as it is installed: its task files, and its own code as the oracle."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

VERSION = "0.4.13"


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of the task files that lm-eval 0.4.13 ships."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or importlib.metadata.version("lm_eval") != VERSION:
        pytest.skip(f"lm-eval {VERSION} is not installed: pip install --no-deps lm-eval=={VERSION}")
    return Path(str(spec.origin)).parent / "tasks"


@pytest.fixture
def oracle(shipped: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """oracle(file, splits, num_fewshot=2): that library's own task over these documents."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    def make(file: Path, splits: Mapping[str, list[dict[str, Any]]], num_fewshot: int | None = None, **changes: Any):
        config = {**load_yaml(file), **changes}
        for key in ("tag", "group"):  # as its task factory does
            config.pop(key, None)
        if num_fewshot is not None:
            config["num_fewshot"] = num_fewshot
        tables = {name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}
        monkeypatch.setattr(ConfigurableTask, "download", lambda self, *_, **__: setattr(self, "dataset", tables))
        task = ConfigurableTask(config=config)
        task.set_fewshot_seed(seed=1234)
        task.build_all_requests()
        return task

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write("a.yaml", text, rows=[...]): a task file, and beside it rows.jsonl."""

    def made(name: str, text: str, rows: list[dict[str, Any]] | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        if rows is not None:
            lines = [json.dumps(row) for row in rows]
            (path.parent / "rows.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return made
