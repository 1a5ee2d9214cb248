"""URLs and the standard input are read like files, and what changed behind them is read again."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loomwork.core.errors import InputError, LoomError
from loomwork.core.files import digest_files, list_files
from loomwork.core.home import open_home
from loomwork.core.runner import run_recipe
from loomwork.core.step import Files
from loomwork.data.read import read
from tests.data.read_rows import reasons, rows_of, texts

LINES = b'{"text": "one"}\n{"text": "two"}\n'


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


@pytest.fixture
def server(tmp_path):
    """A real web server on the files of `tmp_path`/web; "short/..." breaks off in the middle of the body.

    Of a file called "silent..." it tells neither time nor size.
    """

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def send_header(self, name, value):
            if "/silent" not in self.path or name not in ("Last-Modified", "Content-Length"):
                super().send_header(name, value)

        def do_GET(self):
            if not self.path.startswith("/short/"):
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(LINES)

    (tmp_path / "web").mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "web")))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_folders_globs_and_files_behind_a_url(memory, run_step):
    memory.pipe("/corpus/a.jsonl", LINES)
    memory.pipe("/corpus/deep/b.txt", b"three")
    table, packed = io.BytesIO(), io.BytesIO()
    pq.write_table(pa.table({"text": ["four"]}), table)
    memory.pipe("/corpus/deep/c.parquet", table.getvalue())
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("m.txt", "five")
    memory.pipe("/corpus/d.zip", packed.getvalue())
    data, card = run_step(read, path="memory://corpus")
    jsonl = [("a.jsonl:1", "one"), ("a.jsonl:2", "two")]
    assert texts(data) == [*jsonl, ("d.zip!m.txt", "five"), ("deep/b.txt", "three"), ("deep/c.parquet:1", "four")]
    assert card.metrics["files"] == 4
    data, _ = run_step(read, path="memory://corpus/*.jsonl")
    assert texts(data) == jsonl
    data, _ = run_step(read, path="memory://corpus/deep/b.txt")
    assert texts(data) == [("b.txt", "three")]
    for missing in ("memory://nothing", "memory://corpus/*.csv"):
        with pytest.raises(InputError, match="nothing is at memory://"):
            run_step(read, path=missing)
    with pytest.raises(InputError, match="no file system is known"):
        run_step(read, path="nothing://corpus")
    with pytest.raises(InputError, match="path on disk"):
        list_files("memory://corpus")


def test_a_file_url_is_a_path(tmp_path, run_step):
    (tmp_path / "a b.txt").write_text("one")
    data, _ = run_step(read, path=f"file://{tmp_path}/a%20b.txt")
    assert texts(data) == [("a b.txt", "one")]


def test_a_web_address_is_one_file_and_its_question_is_no_part_of_its_name(server, tmp_path, run_step):
    (tmp_path / "web/a.jsonl").write_bytes(LINES)
    with zipfile.ZipFile(tmp_path / "web/b.zip", "w") as archive:
        archive.writestr("m.txt", "in a zip")
    data, _ = run_step(read, path=f"{server}/a.jsonl?token=secret")
    assert texts(data) == [("a.jsonl:1", "one"), ("a.jsonl:2", "two")]
    data, _ = run_step(read, path=f"{server}/b.zip")
    assert texts(data) == [("b.zip!m.txt", "in a zip")]
    with pytest.raises(InputError, match="404"):
        run_step(read, path=f"{server}/none.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        run_step(read, path="http://127.0.0.1:1/a.jsonl")


def test_a_connection_that_breaks_is_no_early_end(server, run_step):
    data, card = run_step(read, path=f"{server}/short/a.jsonl", reader="json_lines")
    assert texts(data) == [("a.jsonl:1", "one"), ("a.jsonl:2", "two")]
    assert card.metrics["dropped: damaged file"] == 1
    assert "of 100000 bytes" in rows_of(data, "dropped")[0]["reason"]


def test_the_key_follows_what_is_behind_a_url(server, memory, tmp_path):
    page = tmp_path / "web/a.jsonl"
    page.write_bytes(LINES)
    os.utime(page, (1_600_000_000, 1_600_000_000))

    def digest(path):
        return digest_files(path, Files(), tmp_path / "digests")

    before = digest(f"{server}/a.jsonl")
    assert digest(f"{server}/a.jsonl") == before
    os.utime(page, (1_600_000_100, 1_600_000_100))
    assert digest(f"{server}/a.jsonl") != before
    memory.pipe("/corpus/a.jsonl", LINES)
    before = digest("memory://corpus")
    assert digest("memory://corpus") == before
    memory.pipe("/corpus/b.jsonl", LINES)
    assert digest("memory://corpus") != before


def test_what_changed_is_read_though_the_library_keeps_listings(memory, run_step):
    class Keeping(type(memory)):
        """As s3fs does: what a listing said of a file holds when it is opened, and another content is refused then."""

        protocol = "keeping"
        kept: ClassVar[dict] = {}

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(path.removeprefix("keeping:/"))

        def find(self, path, **options):
            self.kept |= {p: i for p, i in super().find(path, **options).items() if p not in self.kept}
            return self.kept

        def invalidate_cache(self, path=None):
            self.kept.clear()

        def open(self, path, *arguments, **options):
            if self.kept[path]["size"] != self.size(path):
                raise OSError("412 Precondition Failed")
            return super().open(path, *arguments, **options)

    fsspec.register_implementation("keeping", Keeping, clobber=True)
    for content in ("one", "three"):
        memory.pipe("/corpus/a.txt", content.encode())
        data, _ = run_step(read, path="keeping://corpus")
        assert texts(data) == [("a.txt", content)]


def test_a_server_that_tells_nothing_is_read_anew_each_run(server, tmp_path):
    (tmp_path / "web" / "silent.jsonl").write_bytes(LINES)
    recipe = {"recipe": "r", "steps": {"raw": {"use": "data.read", "path": f"{server}/silent.jsonl"}}}
    home = open_home(tmp_path / ".loom")
    runs = [run_recipe(recipe, home=home).steps["raw"] for _ in range(2)]
    assert [(r.status, r.error) for r in runs] == [("ran", ""), ("ran", "")]
    assert runs[0].artifact == runs[1].artifact  # the same bytes: what comes after it is a hit


def loom(home, *arguments, given=b""):
    done = subprocess.run(
        [sys.executable, "-m", "loomwork", *arguments, "--home", str(home), "--json"],
        input=given,
        capture_output=True,
        check=False,
    )
    return json.loads(done.stdout) if done.stdout.startswith(b"{") else done.stderr.decode()


def test_the_standard_input_is_read_and_known_by_its_content(tmp_path):
    call = ("call", "data.read", "path=-", "reader=json_lines")
    first = loom(tmp_path, *call, given=LINES)
    again = loom(tmp_path, *call, given=LINES)
    assert first["artifact"] == again["artifact"]
    (step,) = again["steps"].values() if isinstance(again["steps"], dict) else again["steps"]
    assert step["status"] == "hit"
    other = loom(tmp_path, "call", "data.read", "path=-", given=b"plain text")
    assert other["artifact"] != first["artifact"]


def test_broken_links_are_counted_and_pipes_are_passed_over(tmp_path, run_step):
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.txt").symlink_to("nowhere")
    os.mkfifo(tmp_path / "c.txt")
    assert len(digest_files(tmp_path, Files(), tmp_path / ".digests")) == 64
    data, _ = run_step(read, path=tmp_path)
    assert texts(data) == [("a.txt", "one")]
    assert reasons(data) == [("b.txt", "unreadable file")]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users here")
def test_files_and_folders_without_rights_are_counted(tmp_path):
    for name in ("a.txt", "b.txt", "closed/c.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    (tmp_path / "in/b.txt").chmod(0)
    (tmp_path / "in/closed").chmod(0)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    if os.geteuid() == 0:  # root may read everything: give that up, in a process of its own
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_uid == 0 and "pytest-of-" in str(folder):
                folder.chmod(0o755)
    (tmp_path / "first").mkdir()
    script = (
        "import os; from pathlib import Path; from loomwork.data.read import read\n"
        f"top = Path({str(tmp_path)!r})\n"
        "read(path=top / 'in/a.txt', out=top / 'first')\n"  # imports what it needs, as long as that can be read
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(read(path=top / 'in', out=top / 'out').metrics)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    (tmp_path / "in/closed").chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "'rows': 1" in done.stdout
    assert "'dropped: unreadable file': 2" in done.stdout


SECRETS = ["token=hunter2", "a=1&X-Amz-Signature=hunter2", "api_key=hunter2${X}"]


@pytest.mark.parametrize("query", SECRETS)
@pytest.mark.parametrize("step", [{"use": "data.read"}, {"use": "data.read_hub"}, {"use": "data.clean"}])
def test_a_secret_in_a_url_is_refused_before_anything_is_stored(step, query, tmp_path):
    home = open_home(tmp_path / ".loom")
    given = {**step, "data" if step["use"] == "data.clean" else "path": f"http://127.0.0.1:9/a.jsonl?{query}"}
    with pytest.raises(InputError, match="would be stored") as caught:
        run_recipe({"recipe": "r", "steps": {"a": given}}, home=home)
    assert "${NAME}" in caught.value.hint
    assert "hunter2" not in str(caught.value)
    assert not any(b"hunter2" in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_a_secret_in_the_environment_is_used_and_never_stored(server, tmp_path, monkeypatch):
    (tmp_path / "web/a.jsonl").write_bytes(LINES)
    home, secret = open_home(tmp_path / ".loom"), "s3cr3t/+&= value"
    asked = []
    ask = urllib.request.urlopen
    monkeypatch.setattr(urllib.request, "urlopen", lambda r, **k: (asked.append(r.full_url), ask(r, **k))[1])

    def status(path: str) -> str:
        recipe = {"recipe": "r", "steps": {"a": {"use": "data.read", "path": path}}}
        return run_recipe(recipe, home=home).steps["a"].status

    with pytest.raises(LoomError, match="variable SHOP_KEY is not set"):
        status(f"{server}/a.jsonl?token=${{SHOP_KEY}}")
    monkeypatch.setenv("SHOP_KEY", secret)
    assert status(f"{server}/a.jsonl?token=${{SHOP_KEY}}") == "ran"
    assert status(f"{server}/a.jsonl?token=${{SHOP_KEY}}") == "hit"
    assert {url.partition("?")[2] for url in asked} == {"token=" + urllib.parse.quote(secret, safe="")}
    for missing in (f"{server}/b.jsonl?other=${{SHOP_KEY}}", "nothing://${SHOP_KEY}/b", "memory://none/${SHOP_KEY}"):
        with pytest.raises(LoomError) as caught:
            status(missing)
        assert not any(form in str(caught.value) for form in (secret, urllib.parse.quote(secret, safe="")))
    stored = b"".join(p.read_bytes() for p in (tmp_path / ".loom").rglob("*") if p.is_file())
    assert b"SHOP_KEY" in stored
    assert not any(form.encode() in stored for form in (secret, urllib.parse.quote(secret, safe="")))
