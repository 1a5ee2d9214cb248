"""The service under bad input, many clients, clients that leave, other hosts and stops."""

from __future__ import annotations

import base64
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from loomwork.core.artifact import Index, Model
from loomwork.core.errors import InputError
from loomwork.serve import app as app_module
from loomwork.serve.events import read_events
from loomwork.serve.guard import check_exposure, is_loopback

ASKED = {"model": "stories", "prompt": "Lily", "max_tokens": 3, "temperature": 0}
LONG = {"model": "stories", "prompt": [""] * 64, "max_tokens": 500, "temperature": 0, "stream": True}  # a minute's work
PATHS = ["/v1/completions", "/v1/chat/completions", "/v1/embeddings"]


def events(home, **where):
    return read_events(home.root / "service.db", **where)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not JSON", 400),
        (b"null", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b"\xff\xfe", 400),
        (b'{"model": "stories", "prompt": "\\ud800", "input": "\\ud800", "messages": "x"}', 400),
        (b"[" * 100_000, 400),
        (b'{"model": 1, "prompt": true, "input": 2.5, "messages": [{"role": "robot", "content": {}}]}', 400),
        (b'{"model": "stories", "temperature": NaN, "input": null, "messages": []}', 400),
        (b'"' + b"a" * (9 << 20) + b'"', 413),
    ],
    ids=lambda value: str(value)[:24],
)
def test_bad_bodies_get_an_error_in_the_api_s_form(stories, path, body, status):
    answer = httpx.post(stories + path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["message"]
    assert error["type"] == "invalid_request_error"


def test_a_chunked_body_without_a_length_is_bounded_too(stories):
    def endless():
        for _ in range(20):
            yield b" " * (1 << 20)

    with httpx.Client() as client:
        answer = client.post(
            f"{stories}/v1/completions", content=endless(), headers={"content-type": "application/json"}
        )
    assert answer.status_code == 413


def test_what_a_strange_web_page_can_send_is_refused(stories):
    plain = httpx.post(f"{stories}/v1/completions", content=json.dumps(ASKED), headers={"content-type": "text/plain"})
    assert plain.status_code == 415
    rebound = httpx.get(f"{stories}/v1/models", headers={"host": "evil.example:8000"})
    assert rebound.status_code == 421
    for host in ("localhost:8000", "[::1]:8000", "127.0.0.1"):
        assert httpx.get(f"{stories}/v1/models", headers={"host": host}).status_code == 200


def test_unknown_paths_and_methods_have_the_api_s_form_too(stories):
    assert "/v1/models" in httpx.get(f"{stories}/v2/models").json()["error"]["message"]
    assert httpx.get(f"{stories}/v1/completions").status_code == 405
    assert httpx.get(f"{stories}/v1/models/gpt-9").json()["error"]["code"] == "model_not_found"
    assert httpx.get(f"{stories}/docs").status_code == 404


def test_it_lives_on_after_bytes_that_are_not_http(stories):
    port = int(stories.rsplit(":", 1)[1])
    for noise in (
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(noise)
    assert httpx.post(f"{stories}/v1/completions", json=ASKED).status_code == 200


def test_fifty_at_once_are_all_answered_alike(stories):
    def ask(_):
        return httpx.post(f"{stories}/v1/completions", json=ASKED, timeout=60)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.json()["choices"][0]["text"] for a in answers}) == 1
    assert len({a.headers["x-request-id"] for a in answers}) == 50


def test_a_long_text_does_not_keep_a_short_one_waiting(stories):
    with httpx.stream("POST", f"{stories}/v1/completions", json=LONG, timeout=60) as answer:
        lines = answer.iter_lines()  # kept: httpx closes the answer with it
        next(lines)  # it is being computed
        assert httpx.post(f"{stories}/v1/completions", json=ASKED, timeout=60).status_code == 200
        assert httpx.get(f"{stories}/health").json()["open_requests"] == 1  # the long one


def test_more_than_may_wait_are_told_to_come_again(stories_home, serve):
    with (
        serve(stories_home, "stories", max_requests=1) as url,
        httpx.stream("POST", f"{url}/v1/completions", json=LONG) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        refused = httpx.post(f"{url}/v1/completions", json=ASKED)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"


def test_generation_stops_when_the_client_leaves(stories_home, serve):
    with serve(stories_home, "stories") as url:
        with httpx.stream("POST", f"{url}/v1/completions", json=LONG) as answer:
            left = answer.headers["x-request-id"]
            lines = answer.iter_lines()
            next(lines)
            assert httpx.get(f"{url}/health").json()["open_requests"] == 1
        with pytest.raises(httpx.ReadTimeout):  # one that has not begun to answer
            httpx.post(f"{url}/v1/completions", json={**LONG, "stream": False}, timeout=0.5)
        while httpx.get(f"{url}/health").json()["open_requests"]:
            time.sleep(0.01)
    found = {e["id"]: e for e in events(stories_home)}
    assert (found[left]["finish"], found[left]["status"], found[left]["streamed"]) == ("cancelled", 200, 1)
    assert [e["status"] for e in found.values() if e["finish"] == "cancelled" and not e["streamed"]] == [499]


def test_a_stop_does_not_wait_for_the_longest_and_its_client_sees_that_it_is_not_whole(stories_home, serve):
    with httpx.Client(timeout=60) as client:
        with serve(stories_home, "stories") as url:
            answer = client.send(client.build_request("POST", f"{url}/v1/completions", json=LONG), stream=True)
            lines = answer.iter_lines()
            next(lines)
        said = [line for line in lines if line]
    assert json.loads(said[-1].removeprefix("data: "))["error"]["code"] == "stopping"
    assert "data: [DONE]" not in said
    last = events(stories_home)[-1]
    assert (last["finish"], last["error"]) == ("cancelled", "stopping")


def test_every_request_is_an_event_written_before_the_stop_ends_and_without_its_text(stories_home, serve):
    with serve(stories_home, "stories") as url:
        sent = [httpx.post(f"{url}/v1/completions", json=ASKED).headers["x-request-id"] for _ in range(5)]
        bad = httpx.post(f"{url}/v1/completions", json={**ASKED, "temperature": -1}).headers["x-request-id"]
        httpx.get(f"{url}/health")
    written = {e["id"]: e for e in events(stories_home)}
    model = stories_home.open("stories", Model).id
    for number in sent:
        event = written[number]
        assert (event["service"], event["route"], event["artifact"]) == ("stories", "/v1/completions", model)
        assert (event["status"], event["new_tokens"], event["finish"], event["text"]) == (200, 3, "length", None)
        assert 0 < event["first_seconds"] <= event["seconds"]
    assert (written[bad]["status"], written[bad]["error"]) == (400, "invalid_value")
    assert not [e for e in written.values() if e["route"] == "/health"]
    assert b"Lily" not in (stories_home.root / "service.db").read_bytes()


def test_text_is_kept_only_where_it_was_asked_for(stories_home, serve):
    with serve(stories_home, "stories", log_text=True) as url:
        answer = httpx.post(f"{url}/v1/completions", json={**ASKED, "prompt": "Tom"})
    event = next(e for e in events(stories_home) if e["id"] == answer.headers["x-request-id"])
    assert event["text"] == {"input": {"prompt": "Tom"}, "output": [answer.json()["choices"][0]["text"]]}


def test_a_key_is_asked_of_everyone(docs_home, serve):
    with serve(docs_home, "docs", api_key="s3cret") as url:
        ask = {"params": {"q": "heap"}}
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}/v1/models", headers={"authorization": "Bearer s3cre"}).status_code == 401
        assert httpx.get(f"{url}/v1/models", headers={"authorization": "Bearer s3cret"}).status_code == 200
        assert httpx.get(f"{url}/search.json", **ask).status_code == 401
        page = httpx.get(f"{url}/search", **ask)
        assert (page.status_code, page.headers["www-authenticate"][:5]) == (401, "Basic")
        token = base64.b64encode(b"me:s3cret").decode()
        assert httpx.get(f"{url}/search", **ask, headers={"authorization": f"Basic {token}"}).status_code == 200
        assert httpx.get(f"{url}/search", **ask, headers={"authorization": "Basic !!"}).status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.com", ""])
def test_nothing_is_bound_beyond_loopback_without_a_key(host):
    with pytest.raises(InputError, match="API key"):
        check_exposure(host, "")
    check_exposure(host, "key")


def test_what_is_loopback():
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"]))
    assert not any(map(is_loopback, ["localhost.evil.example", "127.0.0.1.evil.example", "1", ""]))


def test_it_says_when_it_is_stale_and_when_its_name_has_moved(docs_home, serve, monkeypatch, tmp_path):
    monkeypatch.setattr(app_module, "REFRESH_SECONDS", 0.05)
    index = docs_home.open("docs@index", Index).id
    docs_home.ledger.move_name("moving", "index", index)
    with serve(docs_home, "moving") as url:
        before = httpx.get(f"{url}/search", params={"q": "heap"})
        assert "x-loomwork-stale" not in before.headers
        docs_home.ledger.move_name("moving", "index", docs_home.open("words@index", Index).id)
        while not (health := httpx.get(f"{url}/health").json())["remarks"]:
            time.sleep(0.02)
        assert "has moved" in health["remarks"][0]
        assert (health["index"], health["stale"]) == (index, False)  # it still serves what it was started with
    docs_home.ledger.add_events("stale", {docs_home.open("words@index", Index).id: {"because": "rows were forgotten"}})
