"""Whole runs against transformers' own forward pass, one text at a time."""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys

import pytest
import torch

from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError, StepFailed, Stopped
from loomwork.models.decoder import Decoder
from loomwork.models.scoring.requests import Generate, LogLikelihood, Rolling
from loomwork.models.scoring.run import Settings, score
from tests.models.scoring.conftest import CONFIGS, ENDINGS, NOT_COVERED


def asked(contexts):
    return [LogLikelihood(c, e) for c in contexts for e in ENDINGS]


@torch.inference_mode()
def reference(decoder: Decoder, request: LogLikelihood) -> tuple[float, bool]:
    """Straight from the definition: the whole text at once, in float32, no batch and no cache."""
    read = decoder.tokenizer(request.context)["input_ids"] or [decoder.first_id]
    ids = decoder.tokenizer(request.context + request.continuation)["input_ids"]
    logits = decoder.model(torch.tensor([ids]), use_cache=False).logits[0, len(read) - 1 : -1].double()
    targets = torch.tensor(ids[len(read) :])
    total = logits.log_softmax(-1).gather(1, targets[:, None]).sum()
    return float(total), bool((logits.argmax(-1) == targets).all())


@pytest.mark.parametrize("name", CONFIGS)
def test_log_probabilities_are_transformers_own(name, tiny, contexts):
    decoder = tiny(name)
    requests = asked(contexts[3:8])
    found = decoder.score(requests)
    assert (found.engine == "transformers") == (name in NOT_COVERED)
    for request, answer in zip(requests, found, strict=True):
        total, greedy = reference(decoder, request)
        assert answer.log_probability == pytest.approx(total, abs=1e-4 + 2e-6 * abs(total))
        assert answer.greedy == greedy


def test_log_probabilities_of_a_real_model(stories, contexts):
    requests = asked(contexts)
    found = stories.score(requests)
    assert found.engine == "packed"
    assert "LlamaForCausalLM" in found.why
    assert found.counts["tokens_computed"] < 0.35 * found.counts["tokens_asked"]
    for request, answer in zip(requests, found, strict=True):
        assert answer.log_probability == pytest.approx(reference(stories, request)[0], abs=1e-4)
        assert answer.bytes == len(request.continuation)


def test_a_greedy_continuation_is_known_as_such(stories, contexts):
    texts = [g.text for g in stories.score([Generate(c, max_tokens=6) for c in contexts])]
    ids = stories.tokenizer
    requests = []
    for context, text in zip(contexts, texts, strict=True):
        for space in ("", " "):  # the new tokens by themselves do not say whether a space goes before them
            whole = ids(context + space + text)["input_ids"]
            if whole[: len(ids(context)["input_ids"])] == ids(context)["input_ids"]:
                requests.append(LogLikelihood(context, space + text))
    flags = [a.greedy for a in stories.score(requests)]
    assert flags == [reference(stories, r)[1] for r in requests]
    assert any(flags)
    assert not all(flags)


@pytest.mark.parametrize("settings", [Settings(share=False), Settings(batch_tokens=1), Settings(batch_tokens=100_000)])
def test_sharing_and_batches_change_nothing(settings, stories, contexts):
    requests = asked(contexts)
    expected = [a.log_probability for a in stories.score(requests)]
    found = stories.score(requests, settings=settings)
    assert [a.log_probability for a in found] == pytest.approx(expected, abs=1e-4)
    few = found.counts["tokens_computed"] < 0.35 * found.counts["tokens_asked"]
    assert few == settings.share


def test_the_order_of_requests_changes_nothing(stories, contexts):
    requests = [*asked(contexts), Rolling(contexts[0] * 9), *(Generate(c, max_tokens=5) for c in contexts)]
    expected = dict(zip(requests, stories.score(requests), strict=True))
    random.Random(1).shuffle(requests)
    for request, answer in zip(requests, stories.score(requests), strict=True):
        assert answer.log_probability == pytest.approx(expected[request].log_probability, abs=1e-4, nan_ok=True)
        assert (answer.text, answer.tokens) == (expected[request].text, expected[request].tokens)


def test_equal_requests_are_computed_once(stories):
    one = LogLikelihood("Once upon a", " time")
    found = stories.score([one] * 5 + [LogLikelihood("Once upon a ", "time")])
    assert found.counts["requests"] == 6
    assert found.counts["tokens_computed"] == stories.score([one]).counts["tokens_computed"]
    assert len({a.log_probability for a in found}) == 1


def test_scores_do_not_depend_on_the_size_of_a_batch(stories):
    words = ["Tom", "Lily", "the dog", "a big tree", "the sun", "his ball", "her mom", "a red box"]
    requests = [LogLikelihood(f"Once upon a time {a} saw {b}.", f" {b} was happy") for a in words for b in words]
    alone, few, many = (
        stories.score(requests, settings=Settings(batch_tokens=size * 24, share=False)) for size in (1, 8, 64)
    )
    for other in (few, many):
        for a, b in zip(alone, other, strict=True):
            assert a.log_probability == pytest.approx(b.log_probability, abs=1e-4)
            assert a.greedy == b.greedy


def test_an_interrupted_evaluation_goes_on_where_it_was(stories, contexts, tmp_path):
    requests = [*asked(contexts), Rolling("Once upon a time. " * 300)]
    keep = tmp_path / "kept.sqlite"
    stop = tmp_path / "stop"

    def after_some(event):
        if event["type"] == "progress" and event["done"] >= 20:
            stop.touch()

    settings = Settings(batch_tokens=64)
    with use_context(Context(stop_file=stop, report=after_some)), pytest.raises(Stopped, match="stopped after"):
        stories.score(requests, keep=keep, settings=settings)
    again = stories.score(requests, keep=keep)
    assert 20 <= again.counts["kept"] < len(requests)
    assert 0 < again.counts["tokens_computed"] < stories.score(requests).counts["tokens_computed"]
    expected = [a.log_probability for a in stories.score(requests)]
    assert [a.log_probability for a in again] == pytest.approx(expected, abs=1e-4)
    third = stories.score(requests, keep=keep)
    assert third.counts["tokens_computed"] == 0
    assert third.answers == again.answers


KILLED = """
import os, signal, sys
from pathlib import Path
from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.models.decoder import load_decoder
from loomwork.models.scoring.requests import LogLikelihood
from loomwork.models.scoring.run import Settings

def report(event):
    if event["type"] == "progress" and event["done"] >= 10:
        os.kill(os.getpid(), signal.SIGKILL)

with use_context(Context(report=report, threads=1)):
    requests = [LogLikelihood(f"Once upon a time there were {n} cats", " and a dog.") for n in range(30)]
    settings = Settings(batch_tokens=1, share=False)
    load_decoder(Model(Path(sys.argv[1]))).score(requests, keep=Path(sys.argv[2]), settings=settings)
"""


def test_what_a_killed_process_had_answered_is_kept(stories, tmp_path):
    keep = tmp_path / "kept"
    died = subprocess.run([sys.executable, "-c", KILLED, stories.source.path, keep], capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    requests = [LogLikelihood(f"Once upon a time there were {n} cats", " and a dog.") for n in range(30)]
    again = stories.score(requests, keep=keep)
    assert 10 <= again.counts["kept"] < 30
    expected = [a.log_probability for a in stories.score(requests)]
    assert [a.log_probability for a in again] == pytest.approx(expected, abs=1e-4)


def test_the_harness_gives_the_same_answers(stories, contexts):
    pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval, or accelerate with it, is not installed")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    tricky = [("Once upon ", "a time"), ("", " The end"), ("", "<s>The end"), ("<s>Lily", " ran"), ("a\n\n", "b")]
    tricky += [
        ("Lily was ", " sad"),
        ("Tom said </s> hello", " Ünïcode 東京"),
        ("Once upon a time. " * 200, " The end."),
    ]
    pairs = [*((r.context, r.continuation) for r in asked(contexts)), *tricky]
    lm = HFLM(pretrained=stories.model, tokenizer=stories.tokenizer, device="cpu", batch_size=8)
    theirs = lm.loglikelihood([Instance("loglikelihood", {}, p, n) for n, p in enumerate(pairs)], disable_tqdm=True)
    found = stories.score([LogLikelihood(c, e) for c, e in pairs])
    assert [a.log_probability for a in found] == pytest.approx([t[0] for t in theirs], abs=2e-4)
    assert [a.greedy for a in found] == [t[1] for t in theirs]
    settings = {"until": ["."], "max_gen_toks": 20, "do_sample": False}
    made = lm.generate_until(
        [Instance("generate_until", {}, (c, dict(settings)), n) for n, c in enumerate(contexts)], disable_tqdm=True
    )
    assert [a.text for a in stories.score([Generate(c, (".",), 20) for c in contexts])] == made


def test_another_model_or_engine_does_not_read_the_kept_answers(stories, tiny, tmp_path):
    request = [LogLikelihood("Once upon a", " time")]
    keep = tmp_path / "kept.sqlite"
    stories.score(request, keep=keep)
    assert stories.score(request, keep=keep, settings=Settings(packed=False)).counts["kept"] == 0
    with pytest.raises(InputError, match="not read from a folder"):
        tiny("gpt2").score(request, keep=keep)
    other = Decoder(tiny("llama").model, stories.tokenizer)
    other.__dict__["digest"] = "another"
    assert other.score(request, keep=keep).counts["kept"] == 0
    (tmp_path / "text").write_text("no database" * 99)
    with pytest.raises(InputError, match="no file of kept answers"):
        stories.score(request, keep=tmp_path / "text")


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_too_long_loses_its_beginning_and_says_so(packed, tiny):
    decoder = tiny("gpt2")
    long = "Once upon a time there was a cat. " * 60
    settings = Settings(packed=packed, max_tokens=256)
    cut, whole, failed = decoder.score(
        [LogLikelihood(long, " The end."), LogLikelihood("A cat", " sat."), LogLikelihood("A", long)], settings=settings
    )
    assert cut.cut_tokens > 100
    assert whole.cut_tokens == 0
    assert math.isnan(failed.log_probability)
    assert "the model reads 256" in failed.failed
    ids = decoder.tokenizer(long + " The end.")["input_ids"]
    with torch.inference_mode():
        logits = decoder.model(torch.tensor([ids[-257:-1]])).logits[0, -cut.tokens :].double().log_softmax(-1)
    expected = logits.gather(1, torch.tensor(ids[-cut.tokens :])[:, None]).sum()
    assert cut.log_probability == pytest.approx(float(expected), abs=1e-3)
    counts = decoder.score([LogLikelihood(long, " x")] * 2, settings=Settings(max_tokens=8)).counts
    assert (counts["cut"], counts["failed"]) == (2, 0)


def test_nothing_costs_nothing(stories):
    empty, start, text, none = stories.score(
        [LogLikelihood("Once", ""), LogLikelihood("", " upon"), Rolling(""), LogLikelihood("", "")]
    )
    assert (empty.log_probability, empty.tokens, empty.greedy) == (0.0, 0, True)
    assert start.log_probability < 0
    assert (text.tokens, none.tokens) == (1, 0)  # the beginning-of-text token that the tokenizer adds is scored
    assert stories.score([]).answers == []


@pytest.mark.parametrize("packed", [True, False])
def test_logits_that_are_not_numbers_are_an_error(packed, tiny):
    import copy

    broken = Decoder(copy.deepcopy(tiny("llama").model), tiny("llama").tokenizer)
    with torch.no_grad():
        broken.model.lm_head.weight[7] = math.nan
    with pytest.raises(StepFailed, match="not numbers"):
        score(broken, [LogLikelihood("Once", " upon")], settings=Settings(packed=packed))
    if packed:
        with pytest.raises(StepFailed, match="not numbers"):
            score(broken, [Generate("Once")])


def test_a_tokenizer_without_a_beginning_of_text(stories, tiny):
    import copy

    tokenizer = copy.deepcopy(stories.tokenizer)
    tokenizer.bos_token = None
    ended = Decoder(tiny("gpt2").model, tokenizer)
    assert ended.first_id == tokenizer.eos_token_id
    ids = tokenizer(" upon", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = ended.model(torch.tensor([[ended.first_id, *ids[:-1]]])).logits[0].double().log_softmax(-1)
    expected = logits.gather(1, torch.tensor(ids)[:, None]).sum()
    assert ended.score([LogLikelihood("", " upon")])[0].log_probability == pytest.approx(float(expected), abs=1e-4)
    tokenizer.eos_token = None
    neither = Decoder(tiny("gpt2").model, tokenizer)
    with pytest.raises(InputError, match="neither a beginning-of-text nor an end-of-text"):
        neither.score([LogLikelihood("", " upon")])
    assert neither.score([LogLikelihood("Once", " upon")])[0].tokens > 0


def test_a_stop_request_before_anything_is_heeded(stories, tmp_path):
    (tmp_path / "stop").touch()
    with use_context(Context(stop_file=tmp_path / "stop")), pytest.raises(Stopped):
        stories.score([LogLikelihood("Once", " upon")])
