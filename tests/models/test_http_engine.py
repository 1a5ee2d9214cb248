"""The http engine against a small real server that answers as OpenAI's completions do, with a real model behind it."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import threading
import time
from typing import Any

import pytest
import torch

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError
from loomwork.models.decoder import load_decoder
from loomwork.models.engines import http as engine
from loomwork.models.engines._completions import Rubbish, pieces, questions_of, read_answer
from loomwork.models.scorer import load_scorer
from loomwork.models.scoring.requests import Generate, LogLikelihood, Rolling
from loomwork.models.scoring.run import Settings

KEY = "sk-a-key-for-this-test"
REQUESTS = [
    LogLikelihood("Once upon a time, there was a", " little girl"),
    LogLikelihood("Once upon a time, there was a ", "dog"),
    LogLikelihood("Lily and Tom", " went to the park."),
    Generate("Once upon a time", max_tokens=12),
    Generate("Lily", ("\n", " big", "a", "b", "zebra"), max_tokens=20),
]


def changed(key: str, change: Any) -> Any:
    """Changes a list of the log-probabilities, of all places but the first."""

    def make(choice: dict[str, Any]) -> None:
        values = choice["logprobs"][key]
        choice["logprobs"][key] = [values[0], *(change(v) for v in values[1:])]

    return make


TEXT_FAULTS = {
    "null": lambda choice: choice.update(text=None),
    "no text": lambda choice: choice.update(text={"a": 1}),
    "half a surrogate": lambda choice: choice.update(text="a \ud800"),
}
FAULTS = {
    "bare": lambda choice: choice.update(logprobs=None),
    "positive": changed("token_logprobs", lambda value: 5.0),
    "infinite": changed("token_logprobs", lambda value: -math.inf),
    "NaN": changed("token_logprobs", lambda value: math.nan),
    "words": changed("token_logprobs", str),
    "yes": changed("token_logprobs", lambda value: True),
    "positive tops": changed("top_logprobs", lambda top: dict.fromkeys(top, 1.0)),
    "null tops": changed("top_logprobs", lambda top: None),
    "offsets beyond the text": changed("text_offset", lambda offset: offset * 3),
    "offsets that fall": changed("text_offset", lambda offset: -1),
    "offsets of 0": changed("text_offset", lambda offset: 0),
    "offsets of null": changed("text_offset", lambda offset: None),
    "tokens as numbers": changed("tokens", lambda token: 7),
    "half of the prompt": lambda choice: choice["logprobs"].update(
        {k: v[: len(v) // 2] for k, v in choice["logprobs"].items()}
    ),
}


def counted(choice: dict[str, Any]) -> None:
    """The beginning-of-text token, added by the server, counts as characters."""
    of = choice["logprobs"]
    of["tokens"][0] = "<s>"
    of["text_offset"] = [0, *(offset + 3 for offset in of["text_offset"][1:])]


HABITS = {
    "the beginning counts as characters": counted,
    "what is unlikely is clipped": changed("token_logprobs", lambda value: value if value > -0.1 else -9999.0),
    "rounded above 0": changed("token_logprobs", lambda value: value if value < -0.5 else 0.004),
    "no token more": lambda choice: choice["logprobs"].update({k: v[:-1] for k, v in choice["logprobs"].items()}),
}


def unbegun(choice: dict[str, Any]) -> None:
    """No beginning-of-text token is added, so nothing can be said of the first one."""
    of = choice["logprobs"]
    choice["logprobs"] = {k: v[1:] for k, v in of.items()}
    choice["logprobs"]["token_logprobs"][0] = choice["logprobs"]["top_logprobs"][0] = None


class Server:
    """POST /v1/completions. `faults` are taken before answers, one a call: a status, "slow", "rubbish", or one below.

    `habit` is one of HABITS: what real servers do, and is right.
    """

    def __init__(self, decoder: Any) -> None:
        self.decoder, self.faults, self.calls, self.habit = decoder, [], 0, None
        self.most_at_once = self.at_once = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.02)
        status, payload = await self.answer(scope, json.loads(body))
        self.at_once -= 1
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        headers = [(b"retry-after", b"0"), (b"location", b"http://127.0.0.1:1/")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def answer(self, scope: Any, asked: dict[str, Any]) -> tuple[int, Any]:
        given = dict(scope["headers"]).get(b"authorization", b"").decode()
        fault = self.faults.pop(0) if self.faults else None
        if fault == "slow":
            await asyncio.sleep(3)
        if isinstance(fault, int):
            return fault, {"error": {"message": f"no, and your key is {given}"}}
        if fault == "rubbish":
            return 200, b"<html>hello</html>"
        if given != f"Bearer {KEY}":
            return 401, {"error": {"message": f"wrong key {given}"}}
        if asked["model"] != "stories":
            return 404, {"error": {"message": f"no model {asked['model']}"}}
        payload = self.scored(asked) if asked.get("echo") else self.said(asked)
        for change in (HABITS.get(self.habit), {**FAULTS, **TEXT_FAULTS, "unbegun": unbegun}.get(fault)):
            if change:
                change(payload["choices"][0])
        return 200, payload

    def said(self, asked: dict[str, Any]) -> dict[str, Any]:
        made = self.decoder.generate(asked["prompt"], max_tokens=asked["max_tokens"], temperature=0.0)
        text = "".join(made)
        return {"choices": [{"text": text}], "usage": {"completion_tokens": made.new_tokens}}

    @torch.inference_mode()
    def scored(self, asked: dict[str, Any]) -> dict[str, Any]:
        tokenizer = self.decoder.tokenizer
        made = tokenizer(asked["prompt"], return_offsets_mapping=True)
        ids, spans = made["input_ids"], made["offset_mapping"]
        log_p = self.decoder.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        values = [None, *(float(log_p[i, t]) for i, t in enumerate(ids[1:]))]
        tops = [None, *({str(int(row.argmax())): float(row.max())} for row in log_p[:-1])]
        tokens = [asked["prompt"][a:b] for a, b in spans]
        offsets = [a for a, _ in spans]
        new = {"tokens": ["!"], "token_logprobs": [-1.0], "top_logprobs": [{"!": -1.0}], "text_offset": [spans[-1][1]]}
        found = {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets}
        return {"choices": [{"text": asked["prompt"] + "!", "logprobs": {k: v + new[k] for k, v in found.items()}}]}


@pytest.fixture(scope="module")
def stories(test_data):
    return load_decoder(Model(test_data / "models" / "stories260K-hf"), threads=1)


@pytest.fixture(scope="module")
def running(stories):
    uvicorn = pytest.importorskip("uvicorn")
    app = Server(stories)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield app, f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()


@pytest.fixture
def server(running, monkeypatch):
    monkeypatch.setenv("STORIES_KEY", KEY)
    monkeypatch.setattr(engine, "FIRST_WAIT_SECONDS", 0.01)
    app, _ = running
    app.faults, app.calls, app.most_at_once, app.habit = [], 0, 0, None
    return app


@pytest.fixture
def endpoint(running, tmp_path):
    """endpoint(timeout_seconds=1): the model folder of the server."""

    def make(**changes: Any) -> Model:
        fields = {"url": running[1], "model": "stories", "key_variable": "STORIES_KEY", **changes}
        about = {"task": "generate", "engine": "http", "endpoint": {k: v for k, v in fields.items() if v is not None}}
        (tmp_path / "loomwork.json").write_text(json.dumps(about))
        return Model(tmp_path)

    return make


def test_answers_are_those_of_the_same_model_here(server, endpoint, stories):
    found = load_scorer(endpoint()).score(REQUESTS)
    here = stories.score(REQUESTS)
    assert found.engine == "http"
    for far, near in zip(found, here, strict=True):
        assert far.failed == ""
        assert far.log_probability == pytest.approx(near.log_probability, abs=1e-4, nan_ok=True)
        assert (far.greedy, far.tokens) == (near.greedy, near.tokens) or far.text
        assert far.text.strip() == near.text.strip()
    assert found[4].bytes == len(found[4].text)


def test_a_long_text_is_asked_for_in_pieces_that_make_the_whole(server, endpoint, stories):
    text = "Once upon a time, there was a little girl named Lily. She loved to play. " * 12
    found = load_scorer(endpoint(window_characters=400)).score([Rolling(text)])
    assert found.counts["calls"] > 3
    assert found[0].bytes == len(text)
    assert found[0].log_probability == pytest.approx(stories.log_probabilities([text])[0], rel=0.1)
    parts = list(pieces(text, 400))
    assert "".join(c for _, c in parts) == text
    assert all(len(a + b) <= 400 for a, b in parts)
    assert next(iter(pieces("x" * 50, 10))) == ("", "x" * 10)


def test_calls_run_side_by_side_and_no_more_than_allowed(server, endpoint):
    load_scorer(endpoint(at_once=3)).score([LogLikelihood("Once", f" upon {n}") for n in range(20)])
    assert server.most_at_once == 3


@pytest.mark.parametrize("fault", [429, 503, "rubbish", "slow"])
def test_what_may_be_better_later_is_asked_again(fault, server, endpoint):
    server.faults = [fault, fault] if fault != "slow" else [fault]
    (answer,) = load_scorer(endpoint(timeout_seconds=1)).score(REQUESTS[:1])
    assert answer.failed == ""
    assert answer.log_probability < 0
    assert server.calls == (2 if fault == "slow" else 3)


@pytest.mark.parametrize("fault", [*FAULTS, *TEXT_FAULTS])
def test_an_answer_that_cannot_be_right_is_none(fault, server, endpoint, tmp_path):
    request = REQUESTS[3] if fault in TEXT_FAULTS else REQUESTS[0]
    (right,) = load_scorer(endpoint()).score([request])
    server.faults = [fault] * 2
    (wrong,) = load_scorer(endpoint(attempts=2)).score([request], keep=tmp_path / "kept")
    assert wrong.failed.endswith("(asked 2 times)")
    assert (wrong.text, math.isnan(wrong.log_probability)) == ("", True)
    server.faults = [fault]
    (mended,) = load_scorer(endpoint()).score([request], keep=tmp_path / "kept")
    assert (mended.log_probability, mended.text) == (pytest.approx(right.log_probability, nan_ok=True), right.text)


@pytest.mark.parametrize("habit", HABITS)
def test_what_real_servers_do_is_right(habit, server, endpoint):
    requests = [REQUESTS[0], Rolling("Once upon a time, there was a little girl.")]
    before = load_scorer(endpoint()).score(requests)
    server.habit = habit
    for found, plain in zip(load_scorer(endpoint(attempts=1)).score(requests), before, strict=True):
        assert (found.failed, found.tokens) == ("", plain.tokens)
        if "clipped" in habit:
            assert found.log_probability <= -9999 < plain.log_probability
        elif "rounded" in habit:
            assert plain.log_probability < found.log_probability <= 0
        else:
            assert (found.log_probability, found.greedy) == (pytest.approx(plain.log_probability), plain.greedy)


def test_a_text_without_a_beginning_says_what_to_set_and_is_asked_for_once(server, endpoint):
    server.faults = ["unbegun"]
    (failed,) = load_scorer(endpoint()).score([Rolling("Once upon a time")])
    assert 'say begin="..."' in failed.failed
    assert server.calls == 1
    server.faults = ["unbegun"]
    (begun,) = load_scorer(endpoint(begin="<s>")).score([Rolling("Once upon a time")])
    assert (begun.failed, begun.tokens > 3) == ("", True)


def test_what_never_gets_better_is_marked_failed_and_the_rest_goes_on(server, endpoint, tmp_path):
    server.faults = [429, 503, "rubbish"]
    keep = tmp_path / "kept"
    found = load_scorer(endpoint(attempts=3, at_once=1)).score(REQUESTS, keep=keep)
    assert found.counts["failed"] == 1
    assert "not JSON (asked 3 times)" in found[0].failed
    assert math.isnan(found[0].log_probability)
    assert all(not a.failed for a in found[1:4])
    before = server.calls
    again = load_scorer(endpoint()).score(REQUESTS, keep=keep)
    assert server.calls == before + 1  # only what had failed
    assert again.counts["failed"] == 0
    server.faults = [400]
    (refused,) = load_scorer(endpoint()).score([LogLikelihood("a", " b")])
    assert "400 no" in refused.failed


def test_faults_of_the_set_up_are_errors_at_once(server, endpoint, monkeypatch):
    with pytest.raises(InputError, match="404 no model other"):
        load_scorer(endpoint(model="other")).score(REQUESTS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(InputError, match="no server answers"):
        load_scorer(endpoint(url=url)).score(REQUESTS)
    server.faults = [307]
    with pytest.raises(InputError, match="refuses: 307"):
        load_scorer(endpoint(at_once=1)).score(REQUESTS)
    monkeypatch.setenv("STORIES_KEY", "sk-another-key")
    with pytest.raises(InputError, match="401") as caught:
        load_scorer(endpoint()).score(REQUESTS)
    assert "sk-another-key" not in str(caught.value)
    assert "check the key" in caught.value.hint
    monkeypatch.delenv("STORIES_KEY")
    with pytest.raises(InputError, match="STORIES_KEY is not set"):
        load_scorer(endpoint())


def test_a_wrong_description_is_refused_before_anything_is_asked(endpoint, server):
    for changes, told in (
        ({"url": None}, "has no url"), ({"url": "file:///etc"}, "neither http"), ({"timeout": 3}, "unknown field"),
        ({"at_once": 0}, "1 or more"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=told):
            load_scorer(endpoint(**changes))
    with pytest.raises(InputError, match="cannot be set here"):
        load_scorer(endpoint(), settings=Settings())
    assert server.calls == 0


LISTS = {"tokens": ["a"], "token_logprobs": [-1.0], "text_offset": [0]}


@pytest.mark.parametrize(("payload", "told"), [
    (7, "the answer is 7, no object"),
    ({}, "the answer has no 'choices'"),
    ({"choices": None}, "choices is null, no list with an answer"),
    ({"choices": []}, "choices is [], no list with an answer"),
    ({"choices": [7]}, "choices[0] is 7, no object"),
    ({"choices": [{"text": "a"}]}, "choices[0] has no 'logprobs'"),
    ({"choices": [{"logprobs": None}]}, "choices[0].logprobs is null, no object"),
    ({"choices": [{"logprobs": {"tokens": ["a"]}}]}, "choices[0].logprobs has no 'token_logprobs'"),
    ({"choices": [{"logprobs": {**LISTS, "tokens": 3}}]}, "choices[0].logprobs.tokens is 3, no list"),
    ({"choices": [{"logprobs": {**LISTS, "top_logprobs": "x"}}]}, "choices[0].logprobs.top_logprobs is 'x', no list"),
])  # fmt: skip
def test_what_an_answer_lacks_is_told_with_its_place(payload, told):
    for request in (LogLikelihood("a", "b"), Generate("a")):
        if isinstance(request, Generate) and "logprobs" in told:
            continue
        (question,) = questions_of(request, "", 100)
        with pytest.raises(Rubbish) as found:
            read_answer(request, question, payload)
        assert str(found.value).removesuffix(": does the server give logprobs with echo?") == told


def test_a_scorer_that_runs_here(stories, test_data, tmp_path):
    folder = Model(test_data / "models" / "stories260K-hf")
    found = load_scorer(folder, threads=1, settings=Settings(packed=False)).score(REQUESTS[:1])
    assert found.engine == "transformers"
    (tmp_path / "loomwork.json").write_text('{"task": "generate", "engine": "openvino"}')
    with pytest.raises(InputError, match="scores no texts"):
        load_scorer(Model(tmp_path))
    (tmp_path / "loomwork.json").write_text('{"task": "embed"}')
    with pytest.raises(InputError, match="gives texts no probabilities"):
        load_scorer(Model(tmp_path))
