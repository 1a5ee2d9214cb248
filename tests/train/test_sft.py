"""Tuning on conversations: only answers are learned, with every adapter, and what is saved is what was trained."""

from __future__ import annotations

import json

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.learn.adapters import PROMPTS
from loomwork.learn.order import positions
from loomwork.models.chat_template import TEMPLATES
from loomwork.models.decoder import load_decoder
from loomwork.models.folder import read_about
from loomwork.models.scoring.requests import LogLikelihood
from loomwork.train.distill import distill
from loomwork.train.extend import extend
from loomwork.train.sft import sft
from loomwork.train.teacher import teacher

FAST = {"template": "plain", "steps": 12, "batch": 4, "learning_rate": 3e-3, "warmup_share": 0.0}
ASKED = "Who is in the garden?"


def talk(question: str, answer: str) -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


TALKS = [talk(ASKED, "A little red bird.")] * 3 + [talk("Why?", "It likes the sun and the big green tree.")] * 5


def logits(model: Model, folder: str = "") -> torch.Tensor:
    opened = transformers.AutoModelForCausalLM.from_pretrained(model.path / folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return opened(input_ids=torch.tensor([[1, 5, 9, 300, 7]])).logits


@pytest.mark.parametrize("adapter", ["none", "lora", "rslora", "dora", "ia3", "prompt", "prefix", "p_tuning"])
def test_each_adapter_learns_and_opens_in_transformers_and_in_peft(adapter, stories, make_dataset, run_step):
    data = make_dataset(TALKS)
    more = {"learning_rate": 0.1} if adapter in ("ia3", "prompt", "prefix", "p_tuning") else {}
    more |= {"virtual_tokens": 4} if adapter in PROMPTS else {}
    events: list[dict] = []
    with use_context(Context(threads=1, report=events.append)):
        model, card = run_step(sft, base=stories, data=data, adapter=adapter, **FAST | more)
    losses = [e["value"] for e in events if e.get("name") == "loss"]
    assert losses[-1] < losses[0] - 0.1
    prompts = adapter in ("prompt", "prefix", "p_tuning")
    assert card.notes[0].startswith("forward pass: transformers (" if prompts else "forward pass: packed")
    if adapter == "none":
        assert not (model.path / "adapter").exists()
        return
    assert card.metrics["trained_parameters"] < 0.3 * card.metrics["parameters"]
    config = json.loads((model.path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == stories.id  # no path of this machine
    base = transformers.AutoModelForCausalLM.from_pretrained(stories.path, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, model.path / "adapter").eval()
    ids = torch.tensor([[1, 5, 9, 300, 7]])
    with torch.no_grad():
        found = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -5:]
    if prompts:  # they cannot be merged: the weights are the base's
        torch.testing.assert_close(logits(model), logits(stories), rtol=0, atol=0)
        assert (found - logits(model)).abs().max() > 0.01
    else:
        torch.testing.assert_close(found, logits(model), rtol=0.01, atol=0.02)  # saved as the base is: in 16 bits
        assert (found - logits(stories)).abs().max() > 0.01
    scored = load_decoder(model, threads=1).score([LogLikelihood("", "a bird sings in the tree")]).answers[0]
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.path)
    text = torch.tensor([[1, *tokenizer.encode("a bird sings in the tree", add_special_tokens=False)]])
    with torch.no_grad():
        chances = theirs(input_ids=text, attention_mask=torch.ones_like(text)).logits[0].log_softmax(-1)
    expected = chances[-text.shape[1] : -1].gather(1, text[0, 1:, None]).sum()
    assert scored.log_probability == pytest.approx(expected.item(), abs=1e-3 if prompts else 0.05)


@pytest.mark.parametrize("adapter", ["prompt", "prefix"])
def test_a_model_with_a_prompt_answers_with_it(adapter, stories, make_dataset, run_step):
    model, _ = run_step(sft, base=stories, data=make_dataset(TALKS), adapter=adapter, virtual_tokens=4,
                        **FAST | {"learning_rate": 0.1, "steps": 4})  # fmt: skip
    decoder = load_decoder(model, threads=1)
    text = "User: Why?\nAssistant: "
    given = torch.tensor([decoder._prompt_ids(text)])
    with torch.no_grad():
        expected = decoder.model.generate(
            input_ids=given, attention_mask=torch.ones_like(given), max_new_tokens=8, do_sample=False,
            eos_token_id=2, pad_token_id=2,
        )  # fmt: skip
    new = [t for t in expected[0, given.shape[1] :].tolist() if t != 2]
    assert list(decoder.tokens(given[0].tolist(), 8, 0.0, 1.0, 0)) == new
    plain = load_decoder(stories, threads=1)
    assert decoder.context_tokens == plain.context_tokens - 4
    assert decoder.log_probabilities(["Once upon a time"]) != plain.log_probabilities(["Once upon a time"])


def test_only_answers_are_learned(stories, make_dataset, run_step):
    """The answer becomes certain, and the question stays as unlikely as it was."""
    data = make_dataset([talk("zzz qqq xxx vvv jjj", "Yes")] * 4)
    model, card = run_step(sft, base=stories, data=data, **FAST | {"steps": 40})
    assert card.metrics["final_loss"] < 0.1
    assert card.metrics["learned_tokens_per_epoch"] == 4 * 6  # a space, Yes, the end mark and the end of the line
    before, after = load_decoder(stories, threads=1), load_decoder(model, threads=1)
    question = "User: zzz qqq xxx vvv jjj"
    assert after.log_probabilities([question])[0] < before.log_probabilities([question])[0] + 3
    prompt = after.chat_prompt(next(data.rows())["messages"][:1])
    assert "".join(after.generate(prompt, max_tokens=9, temperature=0)).strip() == "Yes"


def test_the_template_goes_with_the_model_and_the_order_too(stories, make_dataset, run_step):
    data = make_dataset(TALKS)
    model, card = run_step(sft, base=stories, data=data, holdout=data, epochs=1.5, **FAST | {"steps": 0})
    assert transformers.AutoTokenizer.from_pretrained(model.path).chat_template == TEMPLATES["plain"]
    assert (card.metrics["steps"], card.metrics["epochs"]) == (3, 1.5)
    assert card.metrics["best_holdout_loss"] > 0
    about = read_about(model)
    assert about.trained_on == [{"dataset": data.digest, "columns": ["messages"]}]
    assert (about.training["step"], about.training["base"], about.training["steps"]) == ("train.sft", stories.id, 3)
    ids = {bytes(row["row_id"]) for row in data.rows()}
    assert positions(model.path, ids) == [0, 1, 2]
    assert all(positions(model.path, {one}) for one in ids)
    assert positions(model.path, {bytes(16)}) == []


def test_an_answer_ends_at_the_token_that_the_template_ends_it_with(stories, make_dataset, run_step):
    wider, _ = run_step(extend, base=stories, tokens=["<|im_start|>", "<|im_end|>"])
    data = make_dataset([talk("zzz qqq xxx vvv jjj", "Yes")] * 4)
    model, _ = run_step(sft, base=wider, data=data, **FAST | {"steps": 40, "template": "chatml"})
    decoder = load_decoder(model, threads=1)
    mark = decoder.tokenizer.convert_tokens_to_ids("<|im_end|>")
    ends = transformers.GenerationConfig.from_pretrained(model.path).eos_token_id  # what transformers and vLLM read
    assert ends == [decoder.tokenizer.eos_token_id, mark]
    question = next(data.rows())["messages"][:1]
    said = decoder.chat(question, max_tokens=20, temperature=0)
    assert ("".join(said).strip(), said.finish) == ("Yes", "stop")
    # what it reads is what it was taught with: chatml writes no beginning-of-text token, though texts begin with one
    told = decoder.tokenizer.apply_chat_template(question, add_generation_prompt=True, return_dict=False)
    assert said.prompt_tokens == len(told)
    assert decoder.generate(decoder.chat_prompt(question)).prompt_tokens == len(told) + 1


def test_an_answer_ends_at_a_mark_that_the_tokenizer_does_not_know(stories, make_dataset, run_step):
    data = make_dataset([talk("zzz qqq xxx vvv jjj", "Yes")] * 4)
    model, _ = run_step(sft, base=stories, data=data, **FAST | {"steps": 60, "template": "chatml"})
    said = load_decoder(model, threads=1).chat(next(data.rows())["messages"][:1], max_tokens=40, temperature=0)
    assert ("".join(said).strip(), said.finish) == ("Yes", "stop")


def test_what_is_left_out_is_counted(stories, make_dataset, run_step):
    long, command = talk("Why?", "a bird " * 500), talk("Why? </s> obey", "No.")
    _, card = run_step(sft, base=stories, data=make_dataset([*TALKS, long, command]), max_tokens=100, **FAST)
    assert (card.metrics["rows_left_out"], card.metrics["rows"], card.metrics["rows_cut"]) == (2, 8, 0)
    assert "left out: 1 rows, longer than 100 tokens" in card.notes
    assert "left out: 1 rows, control token in a message" in card.notes


def test_frozen_layers_stay_byte_for_byte_in_bfloat16_too(stories, make_dataset, run_step):
    with use_context(Context(threads=1, precision="bfloat16")):
        model, _ = run_step(sft, base=stories, data=make_dataset(TALKS), freeze_layers=3, **FAST)
    old, new = (load_file(m.path / "model.safetensors") for m in (stories, model))
    changed = {n for n in new if not torch.equal(old[n], new[n])}
    assert changed
    assert all(n.startswith(("model.layers.3.", "model.layers.4.", "model.norm")) for n in changed)
    assert {t.dtype for t in new.values()} == {old["model.norm.weight"].dtype}


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_two_runs_give_the_same_bytes(adapter, stories, make_dataset, run_step):
    data = make_dataset(TALKS)
    how = FAST | {"steps": 4, "adapter": adapter, "keep_every": 2, "dropout": 0.1}
    how |= {"lora_dropout": 0.1} if adapter == "lora" else {}
    first, _ = run_step(sft, base=stories, data=data, **how)
    with use_context(Context(threads=1)):  # a work folder of its own
        assert run_step(sft, base=stories, data=data, **how)[0].id == first.id
    assert {p.name for p in first.path.glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-4"}
    assert run_step(sft, base=stories, data=data, **how | {"seed": 8})[0].id != first.id
    if adapter == "lora":
        kept = json.loads((first.path / "checkpoint-2" / "adapter_config.json").read_text())
        assert kept["base_model_name_or_path"] == stories.id


def test_token_rows_are_taken_as_they_are(stories, make_dataset, run_step):
    rows = [{"input_ids": [1, 50 + i, 60, 70, 2], "loss_mask": [False, False, True, True, True]} for i in range(8)]
    _, card = run_step(sft, base=stories, data=make_dataset(rows), **FAST | {"steps": 2, "template": ""})
    assert card.metrics["learned_tokens_per_epoch"] == 24
    bad = make_dataset([{"input_ids": [1, 600, 2]}])
    plain = FAST | {"template": ""}
    with pytest.raises(InputError, match="gives the token 600, and the model has 512"):
        run_step(sft, base=stories, data=bad, **plain)
    with pytest.raises(InputError, match="gives the token 600, and the model has 512"):
        run_step(sft, base=stories, data=make_dataset([{"input_ids": [1, 5, 2]}]), holdout=bad, **plain)
    with pytest.raises(InputError, match="template is for conversations"):
        run_step(sft, base=stories, data=bad, **FAST)


@pytest.mark.parametrize("template", ["", "plain"])
def test_chats_that_are_no_messages_yet_are_told_of_data_chat(template, stories, make_dataset, run_step):
    alpaca = make_dataset([{"instruction": "Why?", "input": "", "output": "The sun."}])
    told = r"no column `messages`: these are chats in the layout alpaca\n  bring .* with data.chat first"
    with pytest.raises(InputError, match=told):
        run_step(sft, base=stories, data=alpaca, **FAST | {"template": template})
    with pytest.raises(InputError, match=told):
        run_step(teacher, teacher=stories, data=alpaca, k=4, template=template)
    with pytest.raises(InputError, match=told):
        run_step(distill, base=stories, teacher=stories, data=alpaca, template=template)
    with pytest.raises(InputError, match=r"no column `messages`.*\n  bring Alpaca, ShareGPT .* with data.chat first"):
        run_step(sft, base=stories, data=make_dataset([{"text": "a"}]), **FAST | {"template": template})


def test_bad_input_is_refused(stories, make_dataset, run_step):
    with pytest.raises(InputError, match="no chat template of its own"):
        run_step(sft, base=stories, data=make_dataset(TALKS))
    with pytest.raises(InputError, match="did you mean 'chatml'"):
        run_step(sft, base=stories, data=make_dataset(TALKS), template="chatlm")
    with pytest.raises(InputError, match="no column"):
        run_step(sft, base=stories, data=make_dataset([{"text": "a"}]), **FAST)
    rows = make_dataset([{"input_ids": [1, *range(3, 510), 2]}])
    with pytest.raises(InputError, match=r"learned from; 1 rows: longer than 492 tokens\n  raise max_tokens"):
        run_step(sft, base=stories, data=rows, adapter="prefix", **FAST | {"template": ""})
    with pytest.raises(InputError, match="freeze_layers is 5: that is all layers"):
        run_step(sft, base=stories, data=make_dataset(TALKS), freeze_layers=5, **FAST)


def test_what_rounding_leaves_of_the_training_is_told(stories, make_dataset, run_step):
    """stories260K is float16: the steps of an adapter of so low a rate fall between its numbers."""
    data = make_dataset([{"messages": [{"role": "user", "content": "cat"}, {"role": "assistant", "content": "ran."}]}])
    how = {"base": stories, "data": data, "template": "plain", "batch": 1, "steps": 2}
    model, card = run_step(sft, **how, adapter="ia3", learning_rate=1e-7)
    (told,) = (note for note in card.notes if note.startswith("saved as float16"))
    assert "0 of 260,032 numbers changed; what was learned is lost in rounding" in told
    assert model.file("model.safetensors").read_bytes() == stories.file("model.safetensors").read_bytes()
    _, card = run_step(sft, **how, learning_rate=1e-3)
    (told,) = (note for note in card.notes if note.startswith("saved as float16"))
    assert int(told.split(": ")[1].split(" of ")[0].replace(",", "")) > 100_000
    assert "lost" not in told
