"""Adapters in a model's weights: the sum that the formula says, peft's own combinations, and back again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.models.folder import read_about
from loomwork.train.merge import merge
from loomwork.train.sft import sft
from tests.models.small_decoders import small

LORA = dict(adapter="lora", template="plain", steps=2, learning_rate=5e-2, batch=2, warmup_share=0.0)
CHATS = [
    {"messages": [{"role": "user", "content": f"Tell me of {who}."}, {"role": "assistant", "content": f"{who} ran."}]}
    for who in ("Lily", "Tom", "a cat", "the sun")
]
IDS = torch.tensor([[1, 403, 407, 261, 378, 432, 417]])


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with use_context(Context(threads=1)):
        yield


@pytest.fixture(scope="module")
def base(stories, tmp_path_factory) -> Model:
    """stories260K in float32, so that rounding does not hide what is tested."""
    out = tmp_path_factory.mktemp("base") / "model"
    shutil.copytree(stories.path, out)
    AutoModelForCausalLM.from_pretrained(stories.path, dtype=torch.float32).save_pretrained(out)
    return Model(out)


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory):
    """tuned(name, rank=4, ...): stories260K after two steps of LoRA, made once."""
    from dataclasses import fields, replace

    from loomwork.core.dataset import Dataset, DatasetWriter
    from loomwork.learn.settings import Adapter, Rows, Training

    folder, made = tmp_path_factory.mktemp("tuned"), {}
    with DatasetWriter(folder / "data") as writer:
        writer.write(CHATS)

    def make(name: str, **settings) -> Model:
        if name not in made:
            given = LORA | settings
            groups = [(Rows(), "rows"), (Training(), "training"), (Adapter(), "tuning")]
            arguments = {}
            for group, role in groups:
                named = {f.name: given.pop(f.name) for f in fields(group) if f.name in given}
                arguments[role] = replace(group, **named)
            out = folder / name
            out.mkdir()
            sft(base, Dataset(folder / "data"), **given, **arguments, out=out)
            made[name] = Model(out)
        return made[name]

    return make


def logits(path: Path) -> torch.Tensor:
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)(IDS).logits


def added(model: Model, rank_scale: float) -> dict[str, torch.Tensor]:
    """What the adapter of a model adds to each matrix, by the formula: scale * B @ A."""
    tensors = load_file(model.path / "adapter" / "adapter_model.safetensors")
    found = {}
    for name, down in tensors.items():
        if "lora_A" in name:
            up = tensors[name.replace("lora_A", "lora_B")]
            found[name.removeprefix("base_model.model.").replace("lora_A.", "")] = rank_scale * up @ down
    return found


def test_an_adapter_of_a_run_opens_in_peft_and_gives_the_merged_models_logits(base, tuned):
    import peft

    model = tuned("one", rank=4, alpha=8.0)
    fresh = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    opened = peft.PeftModel.from_pretrained(fresh, model.path / "adapter").eval()
    with torch.no_grad():
        theirs = opened(IDS).logits
    assert torch.allclose(theirs, logits(model.path), atol=1e-4)
    assert (theirs - logits(base.path)).abs().max() > 0.1  # it learned something


def test_the_chat_template_comes_with_the_adapter(base, tuned, run_step):
    """Also where only the part `adapter` is given, and the base has no template."""
    from dataclasses import replace

    from loomwork.models.chat_template import TEMPLATES, load_tokenizer

    model = tuned("one", rank=4, alpha=8.0)
    assert load_tokenizer(base).chat_template is None
    merged, _ = run_step(merge, base=base, adapters={"a": replace(model, part="adapter")})
    assert load_tokenizer(merged).chat_template == TEMPLATES["plain"]
    assert torch.allclose(logits(merged.path), logits(model.path), atol=1e-5)


def test_weights_sum_as_the_formula_says_of_unequal_ranks_and_scales_too(base, tuned, run_step):
    one, two = tuned("one", rank=4, alpha=8.0), tuned("two", rank=2, alpha=4.0, seed=8, adapter="rslora")
    made, card = run_step(merge, base=base, adapters={"a": one, "b": two}, weights={"a": 0.5, "b": -2.0})
    found, before = load_file(made.path / "model.safetensors"), load_file(base.path / "model.safetensors")
    first, second = added(one, 8 / 4), added(two, 4 / 2**0.5)
    for name, old in before.items():
        expected = old
        if name in first:
            expected = old + 0.5 * first[name] - 2.0 * second[name]
        assert torch.allclose(found[name], expected, atol=1e-5), name
    assert len(first) == 7 * 5
    assert card.metrics["adapters"] == 2
    assert "trained on this model" in card.notes[0]
    assert card.metrics["parameters"] == sum(
        p.numel() for p in AutoModelForCausalLM.from_pretrained(made.path).parameters()
    )


@pytest.mark.parametrize(
    ("method", "more"),
    [("linear", {}), ("svd", {"rank": 3}), ("ties", {"density": 0.6}), ("dare_linear", {"density": 0.6, "seed": 3})],
)
def test_the_other_methods_are_pefts(base, tuned, run_step, method, more):
    import peft

    one, two = tuned("one", rank=4, alpha=8.0), tuned("other", rank=4, alpha=8.0, seed=9)
    made, _ = run_step(
        merge, base=base, adapters={"a": one, "b": two}, weights={"a": 0.7, "b": 0.4}, method=method, **more
    )
    model = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(model, one.path / "adapter", adapter_name="a")
    theirs.load_adapter(two.path / "adapter", adapter_name="b")
    torch.manual_seed(more.get("seed", 7))
    theirs.add_weighted_adapter(
        ["a", "b"], [0.7, 0.4], "c", combination_type=method, svd_rank=more.get("rank"), density=more.get("density")
    )
    theirs.set_adapter("c")
    with torch.no_grad():
        expected = theirs.eval()(IDS).logits
    assert torch.allclose(logits(made.path), expected, atol=1e-4)


def test_merged_and_taken_out_again_it_is_the_base(base, tuned, run_step):
    one = tuned("one", rank=4, alpha=8.0)
    merged, _ = run_step(merge, base=base, adapters={"version 1.0": Model(one.path, "adapter")})
    assert torch.allclose(logits(merged.path), logits(one.path), atol=1e-5)
    back, card = run_step(merge, base=merged, adapters={"a": one}, weights={"a": -1.0})
    assert (logits(merged.path) - logits(base.path)).abs().max() > 0.1
    assert torch.allclose(logits(back.path), logits(base.path), atol=1e-4)
    assert "another one" in card.notes[0]


def test_a_classifier_with_its_head_is_merged_alone(minilm, make_dataset, run_step):
    from transformers import AutoModelForSequenceClassification

    from loomwork.train.classify import classify

    data = make_dataset([{"text": f"{w} thing {i}", "label": w} for i in range(4) for w in ("good", "bad")])
    tuned, _ = run_step(classify, base=minilm, data=data, adapter="lora", rank=2, steps=1, batch=4)
    merged, _ = run_step(merge, base=minilm, adapters={"a": tuned})
    with torch.no_grad():
        both = [
            AutoModelForSequenceClassification.from_pretrained(m.path)(torch.tensor([[101, 2204, 102]])).logits
            for m in (tuned, merged)
        ]
    assert torch.allclose(*both, atol=1e-5)
    with pytest.raises(InputError, match="trained whole"):
        run_step(merge, base=minilm, adapters={"a": tuned}, weights={"a": 0.5})


def test_what_cannot_be_merged_is_refused(base, tuned, minilm, run_step, tmp_path):
    one = tuned("one", rank=4, alpha=8.0)
    with pytest.raises(InputError, match="no adapter to merge"):
        run_step(merge, base=base, adapters={})
    with pytest.raises(InputError, match=r"no adapter_config\.json"):
        run_step(merge, base=base, adapters={"a": base})
    with pytest.raises(InputError, match="is no adapter here"):
        run_step(merge, base=base, adapters={"a": one}, weights={"b": 1.0})
    with pytest.raises(InputError, match="is an encoder"):
        run_step(merge, base=minilm, adapters={"a": one})
    small("llama").save_pretrained(tmp_path)
    with pytest.raises(InputError, match="do not fit the model"):
        run_step(merge, base=Model(tmp_path), adapters={"a": one})
    with pytest.raises(InputError, match="rank is of method svd"):
        run_step(merge, base=base, adapters={"a": one}, rank=2)
    with pytest.raises(InputError, match="density is of"):
        run_step(merge, base=base, adapters={"a": one}, method="ties", density=0.5)
    with pytest.raises(InputError, match="stands before a text"):
        run_step(merge, base=base, adapters={"a": tuned("prompt", adapter="prompt", virtual_tokens=2)})
    with pytest.raises(InputError, match="a DoRA"):
        run_step(merge, base=base, adapters={"a": tuned("dora", adapter="dora", rank=2)}, weights={"a": 2.0})


def test_folders_of_adapters_are_taken_on_the_command_line_and_in_a_recipe(base, tuned, tmp_path, monkeypatch):
    """A model that was written with --out, its adapter alone, and that in a recipe: all are the same adapter."""
    from typer.testing import CliRunner

    from loomwork.cli.main import app
    from loomwork.core.home import Home
    from loomwork.core.runner import run_recipe

    one = tuned("one", rank=4, alpha=8.0)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(one.path, "lo1")
    shutil.copytree(base.path, "st")
    for given in ("lo1", "lo1/adapter"):
        out = given.replace("/", "-") + "-out"
        words = ["call", "train.merge", "base=st", f"adapters.a={given}", "--home", ".loom", "--out", out]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert torch.allclose(logits(tmp_path / out), logits(one.path), atol=1e-5)
    steps = {"made": {"use": "train.merge", "base": "st", "adapters": {"a": "lo1/adapter"}}}
    run = run_recipe({"recipe": "merged", "steps": steps}, home=Home(tmp_path / ".loom"))
    assert run.steps["made"].status == "hit"  # what the command line made
    assert read_about(Model(tmp_path / "lo1-out")).trained_on == read_about(one).trained_on != []


def test_what_an_adapter_made_elsewhere_was_trained_on_is_unknown(base, tuned, run_step, tmp_path):
    """So it is of the merged model, whatever its base declares."""
    from dataclasses import replace

    from loomwork.models.folder import save_about

    known = tmp_path / "known"
    shutil.copytree(base.path, known)
    save_about(known, replace(read_about(base), training_data=["stories"]))
    folder = tuned("one", rank=4, alpha=8.0).path / "adapter"
    merged, _ = run_step(merge, base=Model(known), adapters={"a": Model(folder)})
    assert read_about(merged).training_data is None
