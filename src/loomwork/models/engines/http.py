"""The http engine: a model behind any OpenAI-compatible endpoint that returns log-probabilities.

The model is a folder with a `loomwork.json` alone:

    {"task": "generate", "engine": "http", "endpoint": {"url": "http://127.0.0.1:8000/v1", "model": "my-model"}}

`endpoint` may also hold `key_variable` (the environment variable with the key; keys are never written down), `begin`
(the text of the beginning-of-text token, for empty contexts), `timeout_seconds`, `attempts`, `at_once` (calls under
way at the same time) and `window_characters` (of one call of a rolling text). A server that is not there, or refuses
the key, is an error; a call that times out, is told to wait, or is answered with rubbish is made again, later each
time, and in the end its request is marked failed. After 16 such in a row the rest is not asked.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from loomwork.core.artifact import Model, canonical_json
from loomwork.core.context import context
from loomwork.core.errors import InputError, StepFailed, Stopped, did_you_mean
from loomwork.models.engines._completions import Question, Refused, Rubbish, questions_of, read_answer
from loomwork.models.folder import ABOUT, About
from loomwork.models.scoring.keep import Keep
from loomwork.models.scoring.requests import Answer, Generate, LogLikelihood, Request, Rolling, Scoring

AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)  # what may be better later
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 60.0
LARGEST_ANSWER = 64 << 20
GIVE_UP = 16  # requests that fail one after another, each after all its attempts: the server is not well


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers, and how it is asked."""

    url: str
    model: str
    key_variable: str = ""
    begin: str = ""
    timeout_seconds: float = 60.0
    attempts: int = 5
    at_once: int = 8
    window_characters: int = 8000

    @classmethod
    def of(cls, model: Model, about: About) -> Endpoint:
        """As the folder says.

        Raises:
            InputError: something is missing, unknown or out of range.
        """
        where, given = model.path / ABOUT, about.endpoint
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                raise InputError(f"{where}: endpoint has an unknown field {name!r}", did_you_mean(name, known))
        for name in ("url", "model"):
            if not isinstance(given.get(name), str) or not given[name]:
                raise InputError(f"{where}: endpoint has no {name}", 'such as {"url": "http://host/v1", "model": "m"}')
        made = cls(**given)
        if not made.url.startswith(("http://", "https://")):
            raise InputError(f"{where}: the endpoint's url {made.url!r} is neither http:// nor https://")
        if made.url.rstrip("/").endswith("/completions"):
            raise InputError(f"{where}: the endpoint's url {made.url!r} is that of one call", "end it at /v1")
        if made.timeout_seconds <= 0 or min(made.attempts, made.at_once) < 1 or made.window_characters < 2:
            raise InputError(f"{where}: timeout_seconds is above 0, attempts and at_once 1 or more")
        return made

    def key(self) -> str:
        if not self.key_variable:
            return ""
        value = os.environ.get(self.key_variable, "")
        if not value:
            raise InputError(
                f"the environment variable {self.key_variable} is not set; it must hold the endpoint's key"
            )
        return value


class Again(Exception):
    """A call that did not work and may work later. `wait`: what the server asks for, in seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class Absent(Again):
    """No server is there. It may be starting; where it stays away, no other call would work either."""


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None  # the key goes to the host it was given for, and nowhere else


class HttpScorer:
    """See `Scorer`."""

    def __init__(self, endpoint: Endpoint, revision: str = "") -> None:
        self.endpoint, self.revision, self._key = endpoint, revision, endpoint.key()
        self._open = urllib.request.build_opener(_Stay).open

    def score(self, requests: Sequence[Request], *, keep: Path | None = None) -> Scoring:
        unique = list(dict.fromkeys(requests))
        where = self.endpoint
        kept = Keep(keep, [where.url, where.model, self.revision, where.begin, where.window_characters])
        keys = {r: kept.key(canonical_json([type(r).__name__, asdict(r)])) for r in unique}
        try:
            known = {key: Answer(**json.loads(text)) for key, (_, _, text) in kept.read(keys.values()).items()}
            answers = {r: known[key] for r, key in keys.items() if key in known}
            left = [r for r in unique if r not in answers]
            calls = sum(len(self._questions(r)) for r in left)
            self._ask_all(left, answers, kept, keys)
        finally:
            kept.close()
        counts = {
            "requests": len(requests), "unique": len(unique), "kept": len(known), "calls": calls,
            "failed": sum(bool(answers[r].failed) for r in requests), "cut": 0,
        }  # fmt: skip
        why = f"the model answers at {self.endpoint.url}"
        return Scoring([answers[r] for r in requests], "http", why, counts)

    def _ask_all(self, left: list[Any], answers: dict[Any, Answer], kept: Keep, keys: dict[Any, bytes]) -> None:
        pool = ThreadPoolExecutor(self.endpoint.at_once)
        lost = 0  # one after another
        try:
            jobs = {pool.submit(self._answer, request): request for request in left}
            for done, job in enumerate(as_completed(jobs), 1):
                request = jobs[job]
                answer = answers[request] = job.result()
                if not answer.failed:  # what failed is asked again next time
                    kept.write({keys[request]: (0.0, False, json.dumps(asdict(answer)))})
                lost = lost + 1 if answer.again else 0
                if lost >= GIVE_UP and done < len(left):
                    raise StepFailed(
                        f"{lost} requests in a row failed: {answer.failed}",
                        "what was answered is kept: run it again when the server is well",
                    )
                context().progress(done, len(left), "requests")
                if context().stop_requested:
                    raise Stopped(f"stopped after {done} of {len(left)} requests; they are kept")
        finally:
            pool.shutdown(cancel_futures=True)

    def _questions(self, request: LogLikelihood | Rolling | Generate) -> list[Question]:
        return questions_of(request, self.endpoint.begin, self.endpoint.window_characters)

    def _answer(self, request: LogLikelihood | Rolling | Generate) -> Answer:
        text = request.text if isinstance(request, Rolling) else getattr(request, "continuation", "")
        size = len(text.encode("utf-8", "surrogatepass"))
        try:
            parts = [self._call(request, question) for question in self._questions(request)]
        except (Again, Refused) as error:
            return Answer(bytes=size, failed=str(error), again=isinstance(error, Again))
        if isinstance(request, Generate):
            return parts[0]
        return Answer(
            math.fsum(p.log_probability for p in parts),
            all(p.greedy for p in parts),
            sum(p.tokens for p in parts),
            size,
        )

    def _call(self, request: LogLikelihood | Rolling | Generate, question: Question) -> Answer:
        """One question, asked until it is answered, or often enough."""
        for attempt in range(1, self.endpoint.attempts + 1):
            try:
                return read_answer(request, question, self._post(question.body))
            except (Again, Rubbish) as error:
                if attempt == self.endpoint.attempts:
                    if isinstance(error, Absent):
                        raise InputError(str(error), "start it, or check the address") from None
                    raise Again(f"{error} (asked {attempt} times)") from None
                wait = FIRST_WAIT_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
                time.sleep(min(LONGEST_WAIT_SECONDS, max(wait, getattr(error, "wait", 0.0))))
        raise AssertionError("attempts is at least 1")

    def _post(self, body: dict[str, Any]) -> Any:
        url = self.endpoint.url.rstrip("/") + "/completions"
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        data = json.dumps({"model": self.endpoint.model, **body}).encode()
        call = urllib.request.Request(url, data, headers, method="POST")  # noqa: S310 (the url was checked)
        try:
            with self._open(call, timeout=self.endpoint.timeout_seconds) as answer:
                return json.loads(answer.read(LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            self._raise(error, url)
        except TimeoutError:
            raise Again(f"{url} gave no answer within {self.endpoint.timeout_seconds:g} s") from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise Again(f"{url} gave no answer within {self.endpoint.timeout_seconds:g} s") from None
            raise Absent(f"no server answers at {url}: {error.reason}") from None
        except (ConnectionError, http.client.HTTPException) as error:
            raise Again(f"the connection to {url} broke: {error!r}") from None
        except ValueError:
            raise Rubbish(f"{url} answered with something that is not JSON") from None

    def _raise(self, error: urllib.error.HTTPError, url: str) -> None:
        told = error.read(2000).decode("utf-8", "replace")
        try:
            told = str(json.loads(told)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            told = told[:200] or error.reason
        told = told.replace(self._key, "***") if self._key else told
        if error.code in (401, 403, 404, 405) or 300 <= error.code < 400:
            hint = "check the url and the model's name" if error.code > 403 or error.code < 400 else "check the key"
            raise InputError(f"{url} refuses: {error.code} {told}", hint) from None
        if error.code in AGAIN:
            after = error.headers.get("Retry-After", "")
            raise Again(f"{error.code} {told}", float(after) if after.isdigit() else 0.0) from None
        raise Refused(f"{error.code} {told}") from None


def scorer(model: Model, about: About, threads: int, settings: object | None) -> HttpScorer:
    """Open an endpoint.

    Raises:
        InputError: its description is wrong, its key is not set, or settings are given: they are for models run here.
    """
    endpoint = Endpoint.of(model, about)
    if settings is not None:
        raise InputError(
            f"{endpoint.model} answers at {endpoint.url}: how it computes cannot be set here",
            "leave out max_tokens, or the like",
        )
    return HttpScorer(endpoint, about.origin.get("revision", ""))
