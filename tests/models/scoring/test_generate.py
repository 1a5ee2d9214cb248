"""Texts side by side against transformers' own generate, and one by one."""

from __future__ import annotations

import pytest
import torch

from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError, Stopped
from loomwork.models.scoring import generate as module
from loomwork.models.scoring.requests import Generate
from loomwork.models.scoring.run import Settings


@torch.inference_mode()
def transformers_text(decoder, context, count):
    ids = torch.tensor([decoder.tokenizer(context)["input_ids"]])
    made = decoder.model.generate(ids, max_new_tokens=count, do_sample=False, pad_token_id=0)
    return decoder.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)


def test_greedy_texts_are_transformers_own(stories, contexts, monkeypatch):
    monkeypatch.setattr(module, "LANES", 4)  # so that lanes are given on
    found = stories.score([Generate(c, max_tokens=12 + n) for n, c in enumerate(contexts)])
    assert found.engine == "packed"
    for number, (context, answer) in enumerate(zip(contexts, found, strict=True)):
        assert answer.text == transformers_text(stories, context, 12 + number)
        assert answer.tokens == 12 + number


@pytest.mark.parametrize("name", ["llama3-rope", "mistral", "qwen3", "gpt2", "gpt_neox"])
def test_every_family_generates_what_transformers_does(name, tiny, contexts):
    decoder = tiny(name)
    for context, answer in zip(
        contexts[2:7], decoder.score([Generate(c, max_tokens=9) for c in contexts[2:7]]), strict=True
    ):
        assert answer.text == transformers_text(decoder, context, 9)


def test_a_shared_prefix_changes_nothing(stories, contexts):
    shots = contexts[:5]
    together = [a.text for a in stories.score([Generate(c, max_tokens=10) for c in shots])]
    alone = [stories.score([Generate(c, max_tokens=10)])[0].text for c in shots]
    assert together == alone


def test_stop_strings_end_texts_and_are_no_part_of_them(stories):
    whole = stories.score([Generate("Once upon a time", max_tokens=60)])[0]
    stop = whole.text[25:32]
    cut = stories.score([Generate("Once upon a time", stop=("never said", stop, whole.text[40:50]), max_tokens=60)])[0]
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.tokens < whole.tokens
    assert cut.bytes == len(cut.text)


@pytest.mark.parametrize("packed", [True, False])
def test_a_sampled_text_depends_on_its_seed_and_not_on_its_neighbours(packed, stories):
    requests = [Generate("Once upon a", max_tokens=15, temperature=0.9, top_p=0.9, seed=s) for s in range(4)]
    found = [a.text for a in stories.score(requests, settings=Settings(packed=packed))]
    assert len(set(found)) > 1
    assert [stories.score([r])[0].text for r in reversed(requests)] == found[::-1]


def test_the_end_of_text_ends_it(stories):
    told = stories.score([Generate("They lived happily ever after. The end.", max_tokens=300)])[0]
    ids = torch.tensor([stories.tokenizer("They lived happily ever after. The end.")["input_ids"]])
    made = stories.model.generate(ids, max_new_tokens=300, do_sample=False, pad_token_id=0)[0, ids.shape[1] :].tolist()
    assert told.tokens == len([i for i in made if i not in stories.end_ids])


def test_a_context_that_is_too_long_loses_its_beginning(stories):
    long, none = stories.score([Generate("Once upon a time. " * 200, max_tokens=20), Generate("a", max_tokens=512)])
    assert long.cut_tokens > 0
    assert long.tokens > 0
    assert "the model's context has 512" in none.failed


def test_an_empty_context_begins_a_text(stories):
    assert stories.score([Generate("", max_tokens=5)])[0].text == "Once upon a time,"


def test_generations_are_kept(stories, contexts, tmp_path):
    requests = [Generate(c, max_tokens=8) for c in contexts]

    def stop(event):
        (tmp_path / "stop").touch()

    keep = tmp_path / "kept"
    with use_context(Context(stop_file=tmp_path / "stop", report=stop)), pytest.raises(Stopped):
        stories.score(requests, keep=keep)
    again = stories.score(requests, keep=keep)
    assert 0 < again.counts["kept"] < len(requests)
    third = stories.score(requests, keep=keep)
    answers = [[(a.text, a.tokens) for a in s.answers] for s in (third, again, stories.score(requests))]
    assert answers[0] == answers[1] == answers[2]  # their log-probabilities are NaN: generated texts have none
    assert third.counts["tokens_generated"] == 0


def test_settings_out_of_range_are_refused():
    for wrong in (dict(max_tokens=0), dict(temperature=-1.0), dict(top_p=0.0)):
        with pytest.raises(InputError, match="cannot generate"):
            Generate("a", **wrong)
