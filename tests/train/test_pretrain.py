"""A model from nothing: opens in transformers, learns, resumes, and comes out the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from loomwork.models.packed_llama import PackedLlama, pack_rows
from transformers import LlamaForCausalLM

from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError, Stopped
from loomwork.core.recipe import load_recipe
from loomwork.models.decoder import load_decoder
from loomwork.models.folder import read_about
from loomwork.train.pretrain import pretrain
from loomwork.train.tokenizer import tokenizer

SMALL = {"layers": 1, "tokens": 30_000, "context_tokens": 64, "batch_tokens": 512, "learning_rate": 1e-2}


WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def counting(rows: int, seed: int) -> list[dict[str, str]]:
    """A language with something to learn: four to eight numbers in order."""
    draw = random.Random(seed)
    starts = [(draw.randrange(12), draw.randint(4, 8)) for _ in range(rows)]
    return [{"text": " ".join(WORDS[(start + i) % 12] for i in range(length))} for start, length in starts]


@pytest.fixture(autouse=True)
def one_thread():
    with use_context(Context(threads=1)):
        yield


@pytest.fixture
def parts(make_dataset, run_step):
    data = make_dataset(counting(400, 1))
    return data, run_step(tokenizer, data=data, vocabulary=300)[0], make_dataset(counting(50, 2))


def test_it_learns_and_opens_in_transformers_with_the_same_loss(parts, run_step, tmp_path):
    data, tok, holdout = parts
    events = []
    with use_context(Context(report=events.append, threads=1, work_folder=tmp_path / "work")):
        model, card = run_step(pretrain, data=data, tokenizer=tok, holdout=holdout, **SMALL)
    curve = [e["value"] for e in events if e.get("name") == "holdout_bits_per_byte"]
    assert len(curve) == 5
    assert 0.15 < curve[-1] < 0.8 * curve[0] < 1.5  # where it starts and ends is drawn at random: 0.2 bits a byte
    assert card.metrics["trained_tokens"] == pytest.approx(30_000, rel=0.05)
    assert card.metrics["filled_share"] > 0.9
    assert card.metrics["tokens_per_second"] > 0
    assert card.metrics["epochs"] > 2
    opened = LlamaForCausalLM.from_pretrained(model.path)
    assert opened.config.max_position_embeddings == 64
    ids = torch.tensor([[0, 5, 6, 7, 8]])
    packed = PackedLlama(opened)
    with torch.no_grad():
        assert float(packed(pack_rows([[ids[0]]], 64))) == pytest.approx(float(opened(ids, labels=ids).loss), abs=1e-5)
    assert read_about(model).task == "generate"
    decoder = load_decoder(model, threads=1)
    true, false = decoder.log_probabilities(["two three four five six", "two three nine five six"])
    assert true > false + 2
    assert "".join(decoder.generate("eleven twelve", max_tokens=8, temperature=0)).startswith(" one two three")


def test_the_same_run_gives_the_same_bytes_also_when_it_was_stopped_in_between(parts, run_step, tmp_path):
    data, tok, _ = parts
    small = SMALL | {"tokens": 6_000}

    def run(**context):
        with use_context(Context(threads=1, **context)):
            return run_step(pretrain, data=data, tokenizer=tok, **small)[0]

    stop = tmp_path / "stop"

    def after_five(event):
        if event.get("name") == "loss" and event["step"] >= 5:
            stop.touch()

    whole = run(work_folder=tmp_path / "a")
    with pytest.raises(Stopped):
        run(work_folder=tmp_path / "b", report=after_five, stop_file=stop)
    stop.unlink()
    assert run(work_folder=tmp_path / "b").id == whole.id


def test_bfloat16_learns_as_float32_does(parts, run_step):
    data, tok, _ = parts
    losses = [
        run_step(pretrain, data=data, tokenizer=tok, precision=p, **SMALL | {"tokens": 8_000})[1].metrics["last_loss"]
        for p in ("float32", "bfloat16")
    ]
    assert losses[1] == pytest.approx(losses[0], abs=0.05)
    assert losses[1] != losses[0]  # two runs, not one and its checkpoint


def test_layers_is_the_one_dial_of_size(parts, run_step):
    data, tok, _ = parts
    model, card = run_step(pretrain, data=data, tokenizer=tok, **SMALL | {"layers": 2, "tokens": 1})
    opened = LlamaForCausalLM.from_pretrained(model.path)
    assert (opened.config.hidden_size, opened.config.num_hidden_layers) == (128, 2)
    assert card.metrics["parameters"] == sum(p.numel() for p in opened.parameters())
    assert card.metrics["steps"] == 1


def test_what_cannot_be_trained_on_is_refused(parts, run_step, make_dataset):
    data, tok, _ = parts
    with pytest.raises(InputError, match="batch_tokens"):
        run_step(pretrain, data=data, tokenizer=tok, batch_tokens=100)
    with pytest.raises(InputError, match="did you mean 'text'"):
        run_step(pretrain, data=data, tokenizer=tok, text="txt")
    with pytest.raises(InputError, match="no column"):
        run_step(pretrain, data=data, tokenizer=tok, holdout=make_dataset([{"other": "a"}]))


def test_the_recipe_holds_together():
    loaded = load_recipe(Path(__file__).parents[2] / "recipes" / "pretrain.yaml")
    assert {"model", "ngram_bits", "lzma_bits", "beats_ngram", "beats_lzma", "samples"} <= set(loaded.steps)
    assert not loaded.gates
