"""What the evaluation tests share: Cranfield abstracts, and an endpoint that refuses some texts."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def cranfield(test_data: Path) -> list[dict[str, Any]]:
    """Titles as queries, the abstracts below them as passages, authors as clusters."""
    text = (test_data / "retrieval" / "cranfield" / "cran.all.1400.xml").read_text(errors="replace")
    rows = []
    for document in re.findall(r"<doc>(.*?)</doc>", text, re.S):
        field = {name: " ".join(value.split()) for name, value in re.findall(r"<(\w+)>(.*?)</\1>", document, re.S)}
        title = field.get("title", "")
        body = field.get("text", "").removeprefix(title).strip()
        if title and body:
            rows.append({"query": title, "passage": body, "author": field.get("author", "")})
    assert len(rows) > 1300
    return rows


@pytest.fixture
def refusing_endpoint():
    """One token a byte, each of log-probability -1; texts with a fish are refused."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
            count = len(prompt)
            found = {
                "tokens": list(prompt), "token_logprobs": [-1.0] * count, "text_offset": list(range(count)),
                "top_logprobs": None,
            }  # fmt: skip
            refused = "fish" in prompt
            body = json.dumps({"error": {"message": "no fish"}} if refused else {"choices": [{"logprobs": found}]})
            self.send_response(400 if refused else 200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
