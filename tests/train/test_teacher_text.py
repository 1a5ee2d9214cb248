"""Texts of a teacher: what it says by itself, in rows that training takes, with their origins."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.models.chat_template import ChatTemplate
from loomwork.models.decoder import load_decoder
from loomwork.train.pretrain import pretrain
from loomwork.train.sft import sft
from loomwork.train.teacher_text import teacher_text

BEGINNINGS = ["Once upon a time", "Tom saw a big dog. The dog", "", "Lily and Ben", "Tom saw a big dog. The dog"]


@pytest.fixture(autouse=True)
def one_thread(tmp_path):
    with use_context(Context(threads=1, work_folder=tmp_path / "work")):
        yield


def test_greedy_texts_are_transformers_own(stories, make_dataset, run_step):
    data = make_dataset([{"text": t, "more": "kept out"} for t in BEGINNINGS])
    made, card = run_step(teacher_text, teacher=stories, data=data, max_tokens=24)
    model = AutoModelForCausalLM.from_pretrained(stories.path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(stories.path)
    rows = list(made.select("data").rows())
    assert len(rows) == 4
    for row, begun in zip(rows, [b for b in BEGINNINGS if b], strict=True):
        ids = tokenizer(begun, return_tensors="pt").input_ids
        whole = model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
        assert row["text"] == begun + tokenizer.decode(whole, skip_special_tokens=True)
    ids = [r["row_id"] for r in data.rows()]
    assert [r["origin_ids"] for r in rows] == [[ids[i]] for i in (0, 1, 3, 4)]
    assert [r["reason"] for r in made.select("dropped").rows()] == ["no text"]
    assert card.metrics["generated_tokens"] <= 4 * 24
    student, _ = run_step(pretrain, base=stories, data=made.select("data"), tokens=64, batch_tokens=1024)
    assert (student.path / "model.safetensors").is_file()


def test_sampled_answers_differ_and_come_again(stories, make_dataset, run_step):
    data = make_dataset([{"text": t} for t in BEGINNINGS[:2]])
    how = dict(teacher=stories, data=data, samples=3, temperature=1.0, max_tokens=12)
    made, _ = run_step(teacher_text, **how)
    texts = [r["text"] for r in made.rows()]
    assert len(set(texts)) == 6
    assert run_step(teacher_text, **how)[0].id == made.id
    assert [r["text"] for r in run_step(teacher_text, **how, seed=9)[0].rows()] != texts


def test_conversations_become_conversations(stories, make_dataset, run_step):
    ask = [{"role": "user", "content": "Tell me of a cat."}]
    data = make_dataset(
        [
            {"messages": ask},
            {"messages": [*ask, {"role": "assistant", "content": "No."}]},
            {"messages": [*ask, {"role": "assistant", "content": "No."}, {"role": "user", "content": "Please."}]},
            {"messages": [{"role": "user", "content": "Say <s> again."}]},
            {"messages": [{"role": "assistant", "content": "Hello?"}]},
        ]
    )
    made, card = run_step(teacher_text, teacher=stories, data=data, template="plain", max_tokens=16)
    talks = [r["messages"] for r in made.select("data").rows()]
    assert [len(t) for t in talks] == [2, 2, 4]
    assert all(t[-1]["role"] == "assistant" and t[-1]["content"] for t in talks)
    assert talks[1] == talks[0]  # the answer that was there is not looked at
    reasons = sorted(r["reason"] for r in made.select("dropped").rows())
    assert reasons[0].startswith("control token in a message")
    assert reasons[1] == "nobody asks"
    assert card.metrics["rows_dropped"] == 2
    student, _ = run_step(sft, base=stories, data=made.select("data"), template="plain", steps=1)
    assert (student.path / "model.safetensors").is_file()


def test_an_answer_ends_where_the_template_ends_a_turn(stories):
    decoder = load_decoder(stories)
    before = set(decoder.end_ids)
    assert ChatTemplate(decoder.tokenizer, "chatml").turn_end() == (None, "<|im_end|>")
    assert ChatTemplate(decoder.tokenizer, "plain").turn_end() == (decoder.tokenizer.eos_token_id, "")
    assert decoder.end_ids == before | {decoder.tokenizer.eos_token_id}


def test_what_cannot_be_asked_is_refused(stories, make_dataset, run_step):
    with pytest.raises(InputError, match="at temperature 0 all are alike"):
        run_step(teacher_text, teacher=stories, data=make_dataset([{"text": "a"}]), samples=2)
    with pytest.raises(InputError, match="answered none of 1 prompts"):
        run_step(teacher_text, teacher=stories, data=make_dataset([{"text": ""}]))
    with pytest.raises(InputError, match="are no prompts"):
        run_step(teacher_text, teacher=stories, data=make_dataset([{"input_ids": [1, 2]}]))
