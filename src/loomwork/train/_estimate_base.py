"""The models that an estimated run begins with and learns from, as far as they are known before anything has run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loomwork.core.artifact import Artifact, Model
from loomwork.core.call import find
from loomwork.core.errors import InputError, MissingDependency
from loomwork.core.explain import Why
from loomwork.core.home import Home
from loomwork.core.recipe import Recipe, Reference, StepCall

KINDS = {
    "train.pretrain": "causal",
    "train.sft": "causal",
    "train.classify": "classes",
    "train.tag": "tokens",
    "train.answer": "spans",
    "train.translate": "seq2seq",
    "train.pretrain_masked": "masked",
    "train.embed": "classes",  # an encoder; its output layer is too small to count
}


class Unknown(Exception):
    """What an estimate would need is not there; says what."""


@dataclass
class Base:
    """A model to begin with, as far as it is known: its config of transformers, and a folder with its tokenizer."""

    config: Any
    tokenizer: Path | None
    assumed: list[str]


@dataclass(frozen=True)
class Bases:
    """What a recipe's references are, or will be.

    Args:
        home, recipe: of the run.
        plans: what each step would do.
    """

    home: Home
    recipe: Recipe
    plans: dict[str, Why]

    def artifact(self, reference: Reference | None, kind: type[Artifact]) -> Any:
        """An input that is there already, or None."""
        if reference is None:
            return None
        if reference.kind == "step" and self.plans[reference.target].verdict != "hit":
            return None
        sources = {n: (w.artifact, w.run) for n, w in self.plans.items() if w.verdict == "hit"}
        found = find(self.home, reference, kind, sources)
        return found.artifact if found else None

    def base(self, reference: Reference) -> Base:
        """The model that a reference will be, from its maker's settings where it is not there yet."""
        here = self.artifact(reference, Model)
        if here is not None:
            return Base(_config(here.path), here.path, [])
        if reference.kind != "step":
            raise Unknown(f"its base is {reference}, and there is no such name yet")
        maker = self.recipe.steps[reference.target]
        if maker.use == "train.base":
            folder = _folder_of(maker.settings)
            return Base(_config(folder), folder, [])
        if maker.use == "train.init":
            return self._fresh(maker)
        if maker.use == "train.student":
            base = self.base(maker.inputs["teacher"])
            layers = maker.settings["layers"]
            base.config.num_hidden_layers = len(layers) if layers is not None else maker.settings["keep"]
            if getattr(base.config, "layer_types", None):
                base.config.layer_types = base.config.layer_types[: base.config.num_hidden_layers]
            return base
        if maker.use in KINDS or maker.use in ("train.distill", "train.merge", "train.extend"):
            base = self.base(maker.inputs["base"])
            if maker.use == "train.extend":
                added = len(maker.settings["tokens"] or []) + maker.settings["words"]
                base.config.vocab_size += added
                base.assumed.append(f"{maker.name} adds {added} tokens")
            return base
        raise Unknown(f"its base is made by {maker.name} ({maker.use}), which has not run")

    def _fresh(self, maker: StepCall) -> Base:
        """What train.init will make."""
        from loomwork.train.init import fresh_config

        reference = maker.inputs["tokenizer"]
        tokenizer = self.artifact(reference, Artifact)
        assumed = []
        if tokenizer is not None:
            from loomwork.models.chat_template import load_tokenizer

            opened: Any = load_tokenizer(tokenizer)
        else:
            trainer = self.recipe.steps.get(reference.target)
            if trainer is None or trainer.use != "train.tokenizer":
                raise Unknown(f"the tokenizer {reference} of its base is not there yet")
            size = trainer.settings["vocabulary"]
            assumed.append(f"the tokenizer comes to all of its {size:,} tokens")
            opened = _Size(size)
        settings = {name: maker.settings[name] for name in ("architecture", "layers", "context_tokens")}
        config = fresh_config(settings["architecture"], opened, settings["layers"], settings["context_tokens"])
        return Base(config, tokenizer.path if tokenizer is not None else None, assumed)

    def kind(self, call: StepCall) -> str:
        """Of the output layer of a call's model."""
        if call.use != "train.distill":
            if call.use not in KINDS:
                raise Unknown(f"{call.use} is not estimated")
            return KINDS[call.use]
        reference = call.inputs.get("teacher")
        if reference is None:
            return "causal"
        here = self.artifact(reference, Model)
        if here is not None:
            named = str(here.read_json("config.json").get("architectures"))
            return "classes" if "ForSequenceClassification" in named else "causal"
        maker = self.recipe.steps.get(reference.target)
        if reference.kind != "step" or maker is None or maker.use not in (*KINDS, "train.distill"):
            raise Unknown(f"its teacher {reference} is not there yet")
        return self.kind(maker)


@dataclass(frozen=True)
class _Size:
    """A tokenizer of which only the size is known."""

    size: int
    bos_token_id: int = 0
    eos_token_id: int = 1
    pad_token_id: int | None = None

    def __len__(self) -> int:
        return self.size


def _config(folder: Path) -> Any:
    import transformers

    if not (folder / "config.json").is_file():
        raise Unknown(f"{folder} has no config.json")
    return transformers.AutoConfig.from_pretrained(folder, local_files_only=True)


def _folder_of(settings: dict[str, Any]) -> Path:
    """The folder that train.base will take a model from."""
    from loomwork.train.base import package_folder

    if settings["path"] is not None:
        return Path(settings["path"]).expanduser()
    if settings["hub"]:
        raise Unknown(f"its base {settings['hub']} is still at the hub: run that step first")
    try:
        return package_folder(settings["package"], settings["folder"])
    except (InputError, MissingDependency) as error:
        raise Unknown(error.what) from error
