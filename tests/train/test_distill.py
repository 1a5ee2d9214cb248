"""Distillation of causal models: the loss is the formula, a cache is as good as the teacher, and students learn."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError, RecipeError
from loomwork.core.recipe import load_recipe
from loomwork.models.folder import read_about
from loomwork.train.distill import distill
from loomwork.train.student import student
from loomwork.train.teacher import teacher

TALES = [
    "Once upon a time there was a little girl called Lily. She had a red ball.",
    "Tom saw a big dog in the park. The dog was happy and ran to him.",
    "One day, Mia and her mom went to the sea.",
    "The cat sat on the mat. It was a sunny day and the cat wanted to play with a ball of wool.",
    "Ben had a toy car.",
    "A bird sang in the tree. Sam liked the song and sang too.",
]


def opened(model):
    return AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32).eval()


@pytest.fixture(autouse=True)
def one_thread(tmp_path):
    with use_context(Context(threads=1, work_folder=tmp_path / "work")):
        yield


@pytest.fixture
def tales(make_dataset):
    return make_dataset([{"text": t} for t in TALES])


@pytest.fixture
def small(stories, run_step):
    return run_step(student, teacher=stories, keep=2)[0]


def test_the_loss_is_the_formula(stories, small, tales, run_step):
    """One batch of all texts, each alone through transformers."""
    given = dict(divergence="forward", temperature=2.0, teacher_share=0.7, hidden_weight=0.3, layer_map={1: 2, 2: 4})
    _, card = run_step(distill, base=small, teacher=stories, data=tales, steps=1, batch=6, **given)
    tokenizer = AutoTokenizer.from_pretrained(stories.path)
    mine, theirs = (opened(m) for m in (small, stories))
    total, count = 0.0, 0
    caught: list[torch.Tensor] = []  # transformers gives the last layer's states after the norm only
    mine.model.layers[-1].register_forward_hook(lambda m, i, o: caught.append(o))
    for text in TALES:
        ids = tokenizer.encode(text, add_special_tokens=False)
        ids = torch.tensor([[tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]])
        with torch.no_grad():
            a, b = mine(ids, output_hidden_states=True), theirs(ids, output_hidden_states=True)
        log_q, log_p = ((x.logits[0, :-1] / 2).log_softmax(-1) for x in (a, b))
        total += 0.3 * float(F.cross_entropy(a.logits[0, :-1], ids[0, 1:], reduction="sum"))
        total += 0.7 * 4 * float((log_p.exp() * (log_p - log_q)).sum())
        for x, y in ((a.hidden_states[1], b.hidden_states[2]), (caught.pop(), b.hidden_states[4])):
            total += 0.3 * 0.5 * float((x[0, :-1] - y[0, :-1]).square().mean(-1).sum())
        count += ids.shape[1] - 1
    assert card.metrics["final_loss"] == pytest.approx(total / count, rel=1e-4)


def test_a_cache_of_the_whole_vocabulary_is_the_teacher_and_one_of_some_is_near(stories, small, tales, run_step):
    vocabulary = opened(stories).config.vocab_size
    caches = {k: run_step(teacher, teacher=stories, data=tales, k=k, temperature=2.0) for k in (vocabulary, 32)}
    assert caches[32][1].metrics["mean_probability_kept"] > 0.5
    assert caches[vocabulary][1].metrics["mean_probability_kept"] == pytest.approx(1, abs=1e-5)
    common = dict(base=small, data=tales, temperature=2.0, teacher_share=0.8, steps=4, batch=3, learning_rate=1e-3)
    live, card = run_step(distill, teacher=stories, **common)
    made = {k: run_step(distill, cached=cache, **common) for k, (cache, _) in caches.items()}
    assert made[vocabulary][1].metrics["final_loss"] == pytest.approx(card.metrics["final_loss"], rel=1e-5)
    whole, cached = (opened(m) for m in (live, made[vocabulary][0]))
    for (name, one), other in zip(whole.named_parameters(), cached.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4, msg=name)
    near = made[32][1].metrics["final_loss"]
    assert 0.7 * card.metrics["final_loss"] < near < card.metrics["final_loss"]  # a lower bound


def test_cached_rows_are_aligned_with_the_token_rows(stories, tales, run_step):
    import pyarrow.parquet as pq

    cache, card = run_step(teacher, teacher=stories, data=tales, k=5)
    table = pq.read_table(next((cache.path / "logprobs").glob("*.parquet"))).to_pylist()
    assert [r["row_id"] for r in table] == [r["row_id"] for r in tales.rows(["row_id"])]
    assert sum(len(r["token_ids"]) for r in table) == card.metrics["learned_tokens"]
    model, tokenizer = opened(stories), AutoTokenizer.from_pretrained(stories.path)
    ids = tokenizer.encode(TALES[3], add_special_tokens=False)
    ids = torch.tensor([[tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]])
    with torch.no_grad():
        expected = model(ids).logits[0, :-1].log_softmax(-1).topk(5)
    torch.testing.assert_close(torch.tensor(table[3]["log_probabilities"]), expected.values, rtol=1e-4, atol=1e-4)
    again, _ = run_step(teacher, teacher=stories, data=tales, k=5)
    assert again.id == cache.id


@pytest.mark.parametrize("divergence", ["forward", "reverse", "jensen_shannon"])
def test_a_student_comes_nearer(stories, small, tales, run_step, divergence):
    common = dict(base=small, teacher=stories, data=tales, divergence=divergence, teacher_share=1.0, batch=6)
    _, before = run_step(distill, **common, steps=1)
    made, after = run_step(distill, **common, steps=25, learning_rate=3e-3, holdout=tales)
    assert after.metrics["final_loss"] < 0.75 * before.metrics["final_loss"]  # the mean of the last twenty steps
    about = read_about(made)
    assert about.training["teacher"] == stories.id
    assert about.training_data is None  # what the teacher has seen is not known
    assert opened(made).config.num_hidden_layers == 2


def test_conversations_and_an_adapter(stories, small, make_dataset, run_step):
    talk = [{"messages": [{"role": "user", "content": t[:20]}, {"role": "assistant", "content": t}]} for t in TALES]
    data = make_dataset(talk)
    made, card = run_step(
        distill, base=small, teacher=stories, data=data, template="chatml", steps=2, adapter="lora", rank=2
    )
    assert (made.path / "adapter").is_dir()
    assert card.metrics["trained_parameters"] < 0.2 * card.metrics["parameters"]
    assert "<|im_start|>" in AutoTokenizer.from_pretrained(made.path).chat_template
    cache, _ = run_step(teacher, teacher=stories, data=data, template="chatml", k=8)
    _, kept = run_step(distill, base=small, cached=cache, data=data, template="chatml", steps=1)
    assert kept.metrics["learned_tokens_per_epoch"] == card.metrics["learned_tokens_per_epoch"]


def test_a_wider_teacher_is_met_by_a_projection_that_is_thrown_away(stories, small, tales, run_step, tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    from loomwork.core.artifact import Model
    from loomwork.learn.model_io import copy_beside

    wide = tmp_path / "wide"
    config = LlamaConfig.from_pretrained(stories.path)
    config.hidden_size, config.head_dim, config.num_hidden_layers = 2 * config.hidden_size, 16, 3
    LlamaForCausalLM(config).save_pretrained(wide)
    copy_beside(stories, wide)
    made, card = run_step(distill, base=small, teacher=Model(wide), data=tales, hidden_weight=1.0, steps=2)
    assert any("hidden states: 1 from 2, 2 from 3" in note for note in card.notes)
    names = json.loads((made.path / "config.json").read_text())
    assert names["hidden_size"] == config.hidden_size // 2
    _, loaded = AutoModelForCausalLM.from_pretrained(made.path, output_loading_info=True)
    assert not loaded["unexpected_keys"]


def test_a_model_that_is_not_covered_goes_through_transformers(stories, small, tales, run_step, monkeypatch):
    common = dict(base=small, teacher=stories, data=tales, steps=1, batch=6, teacher_share=0.6)
    _, packed = run_step(distill, **common)
    for place in ("loomwork.learn.forward", "loomwork.learn.teachers"):
        monkeypatch.setattr(f"{place}.not_covered", lambda model: "for this test")
    _, plain = run_step(distill, **common, seed=8)
    assert plain.metrics["final_loss"] == pytest.approx(packed.metrics["final_loss"], rel=1e-4)
    with pytest.raises(InputError, match="hidden states of the teacher"):
        run_step(distill, **common, hidden_weight=1.0)


def test_what_does_not_go_together_is_refused(stories, small, tales, minilm, make_dataset, run_step, tmp_path):
    common = dict(base=small, data=tales)
    with pytest.raises(InputError, match="teacher or cached"):
        run_step(distill, **common)
    minilm_lm = tmp_path / "minilm"
    shutil.copytree(minilm.path, minilm_lm)
    config = minilm.read_json("config.json") | {"architectures": ["BertLMHeadModel"]}
    (minilm_lm / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="different tokenizers"):
        run_step(distill, **common, teacher=Model(minilm_lm))
    for named in ("LlamaForTokenClassification", "LlamaModel"):
        shutil.copytree(stories.path, tmp_path / named)
        config = stories.read_json("config.json") | {"architectures": [named]}
        (tmp_path / named / "config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match=f"is a {named}: train.distill takes causal language models and class"):
            run_step(distill, **common, teacher=Model(tmp_path / named))
    with pytest.raises(InputError, match="hidden_weight is 0"):
        run_step(distill, **common, teacher=stories, layer_map={1: 1})
    with pytest.raises(InputError, match="mixture is of jensen_shannon"):
        run_step(distill, **common, teacher=stories, mixture=0.1)
    with pytest.raises(InputError, match="beyond the student's 2"):
        run_step(distill, **common, teacher=stories, hidden_weight=1.0, layer_map={3: 1})
    with pytest.raises(InputError, match="nothing is learned from the teacher"):
        run_step(distill, **common, teacher=stories, teacher_share=0.0)
    with pytest.raises(InputError, match="template is for conversations"):
        run_step(distill, **common, teacher=stories, template="chatml")
    cache, _ = run_step(teacher, teacher=stories, data=tales, k=4)
    with pytest.raises(InputError, match="forward divergence alone"):
        run_step(distill, **common, cached=cache, divergence="reverse")
    with pytest.raises(InputError, match="of temperature 1, the run's is 2"):
        run_step(distill, **common, cached=cache, temperature=2.0)
    with pytest.raises(InputError, match="other token rows"):
        run_step(distill, base=small, data=make_dataset([{"text": TALES[0]}]), cached=cache)
    with pytest.raises(InputError, match=r"has no logprobs\.json"):
        run_step(distill, **common, cached=stories)


def test_a_folder_of_cached_log_probabilities_is_no_data(stories, tales, tmp_path):
    """data.read would make a dataset of it."""
    (tmp_path / "cached").mkdir()
    step = {
        "use": "train.distill",
        "base": str(stories.path),
        "data": str(tales.path),
        "cached": str(tmp_path / "cached"),
    }
    with pytest.raises(RecipeError, match=r"cached needs a logprobs, and .* is a path\n  give an artifact's id"):
        load_recipe({"recipe": "cached", "steps": {"small": step}})
