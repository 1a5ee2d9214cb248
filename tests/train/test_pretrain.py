"""A model from nothing: opens in transformers, learns, resumes, and comes out the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError, Stopped
from loomwork.core.recipe import load_recipe
from loomwork.learn.causal import CausalObjective
from loomwork.learn.order import positions
from loomwork.models.decoder import load_decoder
from loomwork.models.folder import read_about
from loomwork.train.init import init
from loomwork.train.pretrain import pretrain
from loomwork.train.tokenizer import tokenizer
from tests.train.counting import counting

SMALL = {"tokens": 30_000, "batch_tokens": 512, "learning_rate": 1e-2}
SHORT = SMALL | {"tokens": 6_000}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Dataset, Path]:
    """Texts and their tokenizer."""
    folder = tmp_path_factory.mktemp("counting")
    with DatasetWriter(folder / "data") as writer:
        writer.write(counting(400, 1))
    (folder / "tokenizer").mkdir()
    tokenizer(data=Dataset(folder / "data"), vocabulary=300, out=folder / "tokenizer")
    return Dataset(folder / "data"), folder / "tokenizer"


@pytest.fixture(scope="module")
def fresh(made, tmp_path_factory) -> Model:
    """A Llama of one layer that knows nothing."""
    from loomwork.core.artifact import Tokenizer

    out = tmp_path_factory.mktemp("fresh")
    init(Tokenizer(made[1]), layers=1, context_tokens=64, out=out)
    return Model(out)


@pytest.fixture
def parts(made, make_dataset) -> tuple[Dataset, Dataset]:
    return made[0], make_dataset(counting(50, 2))


def test_it_learns_and_opens_in_transformers(parts, fresh, run_step, tmp_path):
    data, holdout = parts
    events = []
    with use_context(Context(report=events.append, threads=1, work_folder=tmp_path / "work")):
        model, card = run_step(pretrain, base=fresh, data=data, holdout=holdout, **SMALL)
    curve = [e["value"] for e in events if e.get("name") == "holdout_bits_per_byte"]
    assert len(curve) == 5
    assert 0.15 < curve[-1] < 0.8 * curve[0] < 1.5  # where it starts and ends is drawn at random: 0.2 bits a byte
    assert card.metrics["trained_tokens"] == pytest.approx(30_000, rel=0.05)
    assert card.metrics["filled_share"] > 0.9
    assert card.metrics["tokens_per_second"] > 0
    assert card.metrics["epochs"] > 2
    assert card.metrics["best_holdout_bits_per_byte"] == min(curve)
    assert card.notes[0] == "forward pass: packed"
    opened = LlamaForCausalLM.from_pretrained(model.path)
    assert opened.config.max_position_embeddings == 64
    assert read_about(model).task == "generate"
    assert read_about(model).trained_on == [{"dataset": data.digest, "columns": ["text"]}]
    decoder = load_decoder(model, threads=1)
    true, false = decoder.log_probabilities(["two three four five six", "two three nine five six"])
    assert true > false + 2
    assert "".join(decoder.generate("eleven twelve", max_tokens=8, temperature=0)).startswith(" one two three")


def test_the_holdout_curve_is_the_loss_in_bits_per_byte(parts, fresh, run_step, tmp_path):
    data, holdout = parts
    events = []
    with use_context(Context(report=events.append, threads=1)):
        model, _ = run_step(pretrain, base=fresh, data=data, holdout=holdout, looks=1, **SHORT)
    (found,) = (e["value"] for e in events if e.get("name") == "holdout_bits_per_byte")
    decoder, opened = load_decoder(model, threads=1), LlamaForCausalLM.from_pretrained(model.path)
    bits = size = 0.0
    for row in holdout.rows():
        ids = torch.tensor([[0, *decoder.encode(row["text"]), 1]])
        with torch.no_grad():
            bits += float(opened(ids, labels=ids).loss) * (ids.shape[1] - 1) / torch.log(torch.tensor(2.0)).item()
        size += len(row["text"])
    assert found == pytest.approx(bits / size, rel=1e-4)


def test_the_same_run_gives_the_same_bytes_also_when_it_was_stopped_in_between(parts, fresh, run_step, tmp_path):
    data, _ = parts

    def run(**context):
        with use_context(Context(threads=1, **context)):
            return run_step(pretrain, base=fresh, data=data, ema=0.9, keep_every=6, **SHORT)[0]

    stop = tmp_path / "stop"

    def after_seven(event):
        if event.get("name") == "loss" and event["step"] >= 7:
            stop.touch()

    whole = run(work_folder=tmp_path / "a")
    with pytest.raises(Stopped):
        run(work_folder=tmp_path / "b", report=after_seven, stop_file=stop)
    stop.unlink()
    resumed = run(work_folder=tmp_path / "b")
    assert resumed.id == whole.id
    kept = sorted(p.name for p in whole.path.glob("checkpoint-*"))
    assert kept == ["checkpoint-12", "checkpoint-6"]
    last, first = (load_file(whole.path / name / "model.safetensors") for name in kept)
    assert all(not torch.equal(t, first[n]) for n, t in last.items())
    AutoModelForCausalLM.from_pretrained(whole.path / "checkpoint-6")


def test_bfloat16_learns_as_float32_does(parts, fresh, run_step):
    losses = []
    for precision in ("float32", "bfloat16"):
        with use_context(Context(threads=1, precision=precision)):
            losses.append(run_step(pretrain, base=fresh, data=parts[0], **SHORT)[1].metrics["final_loss"])
    assert losses[1] == pytest.approx(losses[0], abs=0.05)
    assert losses[1] != losses[0]  # two runs, not one and its checkpoint


def test_the_order_tells_the_steps_that_saw_a_row(parts, fresh, run_step, monkeypatch):
    """Checked by recording what the objective was given."""
    data, holdout = parts
    seen: dict[tuple[int, ...], list[int]] = {}
    step = -1
    real = CausalObjective.forward

    def recorded(self, part):
        nonlocal step
        if self.training:
            step += part.tokens > 0
            for ids in part.flat.ids.split(part.flat.lengths.tolist()):
                seen.setdefault(tuple(ids.tolist()), []).append(step)
        return real(self, part)

    monkeypatch.setattr(CausalObjective, "forward", recorded)
    how = SHORT | {"part_tokens": 4096, "learning_rate": 1e-5}  # a batch is one part
    model, card = run_step(pretrain, base=fresh, data=data, holdout=holdout, looks=10, patience=1, **how)
    assert 0 < step + 1 == card.metrics["steps"]
    encode = load_decoder(model, threads=1).encode
    rows = [(r["text"], bytes(r["row_id"])) for r in data.rows()]
    by_text: dict[str, set[int]] = {}
    for text, row_id in rows:
        by_text.setdefault(text, set()).update(positions(model.path, row_id))
    for text, found in by_text.items():
        assert found == set(seen.get((0, *encode(text), 1), [])), text
    assert json.loads((model.path / "order" / "order.json").read_text())["steps"] == step + 1


def test_a_run_that_is_stopped_early_says_how_far_it_came(parts, fresh, run_step, monkeypatch):
    monkeypatch.setattr("loomwork.learn.watch.Watch.at", lambda self, step: setattr(self, "worse", self.worse + 1))
    model, card = run_step(pretrain, base=fresh, data=parts[0], holdout=parts[1], looks=5, patience=2, **SHORT)
    planned = run_step(pretrain, base=fresh, data=parts[0], **SHORT)[1].metrics["steps"]
    done = int(planned) * 2 // 5
    assert card.metrics["steps"] == done
    assert any(n.startswith(f"stopped at step {done} of {int(planned)}") for n in card.notes)
    assert json.loads((model.path / "order" / "order.json").read_text())["steps"] == done
    assert read_about(model).training["steps"] == done


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen3", "gpt2", "gpt_neox"])
def test_layers_is_the_one_dial_of_size_and_each_architecture_trains(architecture, made, parts, run_step):
    from loomwork.core.artifact import Tokenizer

    base, card = run_step(init, tokenizer=Tokenizer(made[1]), architecture=architecture, layers=2, context_tokens=32)
    opened = AutoModelForCausalLM.from_pretrained(base.path)
    assert (opened.config.hidden_size, opened.config.num_hidden_layers) == (128, 2)
    assert card.metrics["parameters"] == sum(p.numel() for p in opened.parameters())
    model, card = run_step(pretrain, base=base, data=parts[0], **SHORT | {"tokens": 1500})
    assert card.notes[0] == "forward pass: packed"
    assert card.metrics["final_loss"] < 5.5
    assert AutoModelForCausalLM.from_pretrained(model.path).config.model_type == architecture


def test_frozen_layers_stay_byte_for_byte(parts, made, run_step):
    from loomwork.core.artifact import Tokenizer

    base, _ = run_step(init, tokenizer=Tokenizer(made[1]), layers=2, context_tokens=64)
    for precision in ("float32", "bfloat16"):
        with use_context(Context(threads=1, precision=precision)):
            model, card = run_step(
                pretrain, base=base, data=parts[0], freeze_layers=1, keep_every=2, **SHORT | {"tokens": 1000}
            )
        for folder in (model.path, model.path / "checkpoint-2"):
            old, new = load_file(base.path / "model.safetensors"), load_file(folder / "model.safetensors")
            same = {n for n in old if torch.equal(old[n], new[n]) and old[n].dtype == new[n].dtype}
            assert same == {n for n in old if "embed" in n or ".layers.0." in n}
        assert card.metrics["trained_parameters"] < card.metrics["parameters"]


def test_what_cannot_be_trained_on_is_refused(parts, fresh, run_step, make_dataset):
    data, _ = parts
    with pytest.raises(InputError, match="batch_tokens"):
        run_step(pretrain, base=fresh, data=data, batch_tokens=50)
    with pytest.raises(InputError, match="did you mean 'text'"):
        run_step(pretrain, base=fresh, data=data, text="txt")
    with pytest.raises(InputError, match="no column"):
        run_step(pretrain, base=fresh, data=data, holdout=make_dataset([{"other": "a"}]))


def test_the_recipe_holds_together():
    loaded = load_recipe(Path(__file__).parents[2] / "recipes" / "pretrain.yaml")
    assert {"model", "ngram_bits", "lzma_bits", "beats_ngram", "beats_lzma", "samples"} <= set(loaded.steps)
    assert not loaded.gates
