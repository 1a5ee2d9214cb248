"""Opening a base model to train it, and writing what was trained as an ordinary Hugging Face folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open

from loomwork.core.artifact import Artifact, Model
from loomwork.core.errors import InputError
from loomwork.learn import distributed
from loomwork.learn.adapters import PROMPTS, merged, save_adapter
from loomwork.learn.room import tokens_note
from loomwork.learn.settings import Adapter
from loomwork.models.complete import GET_AGAIN, open_complete
from loomwork.models.folder import ADAPTER, BESIDE, READ_ME, WEIGHTS, About, save_about
from loomwork.models.opened import refuse_unmerged

Kind = Literal["causal", "masked", "classes", "tokens", "spans", "seq2seq"]
CLASSES: dict[Kind, str] = {
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "classes": "AutoModelForSequenceClassification",
    "tokens": "AutoModelForTokenClassification",
    "spans": "AutoModelForQuestionAnswering",
    "seq2seq": "AutoModelForSeq2SeqLM",
}
PEFT_TASKS: dict[Kind, str] = {
    "causal": "CAUSAL_LM",
    "masked": "FEATURE_EXTRACTION",
    "classes": "SEQ_CLS",
    "tokens": "TOKEN_CLS",
    "spans": "QUESTION_ANS",
    "seq2seq": "SEQ_2_SEQ_LM",
}
CLASS_LAYERS = re.compile(
    r"^(\w*classifier|score|classification_head|logits_proj)\."
)  # weights of these are of classes
DROPOUTS = (  # what the families call it in config.json
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "hidden_dropout",
    "attention_dropout",
    "dropout",
    "dropout_rate",
)


def open_base(base: Model, kind: Kind, *, seed: int = 0, dropout: float | None = None, **config: Any) -> Any:
    """A transformers model with a base's weights, in float32, on the CPU.

    Args:
        base: a Hugging Face folder.
        kind: which output layer it is to have; one that the folder has not begins at random.
        seed: of the weights that begin at random.
        dropout: everywhere; None leaves what config.json says.
        config: what is changed in config.json.

    Returns: the model; its attribute `new_modules` names those that begin at random, and `opened_notes` tells of an
        output layer of the base that is among them, because it is of other classes.

    Raises:
        InputError: the folder holds no such model, or is quantised, or has learned what is in no weights; a causal
            model is wanted, and its tokens see those after them.
    """
    import transformers

    if (base.path / WEIGHTS).is_file() is False:
        alone = (base.path / ADAPTER).is_dir()
        hint = "it is an adapter: train.merge puts it into its model" if alone else "train.base takes a model in"
        raise InputError(f"{base.path} has no {WEIGHTS}", hint)
    refuse_unmerged(base)
    settings = transformers.AutoConfig.from_pretrained(base.path, local_files_only=True)
    replaced = _replaced_classes(base, settings, config) if kind in ("classes", "tokens") else ""
    if dropout is not None:
        config |= {name: dropout for name in DROPOUTS if hasattr(settings, name)}
    for name, value in config.items():
        setattr(settings, name, value)
    set_filling(settings, kind)
    auto: Any = getattr(transformers, CLASSES[kind])
    weights = None
    try:
        if replaced:
            auto, weights = _without_class_layers(base, auto, settings)
        # a causal model without its output layer is refused below, for what it more likely is: an encoder
        model, missing, notes = open_complete(
            auto, base.path, new_head=kind != "seq2seq", seed=seed, config=settings, state_dict=weights
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{base.path} does not open as {CLASSES[kind]}: {error}",
            "is it the right kind of base model for this step?",
        ) from error
    model.name_or_path = base.id  # what peft writes into an adapter's config: never a path of this machine
    model.new_modules = sorted({name.rpartition(".")[0] for name in missing})
    model.opened_notes = [replaced] if replaced else notes
    model.opened_notes += tokens_note(base, model.get_input_embeddings().num_embeddings)
    if kind == "causal" and _looks_ahead(model):
        raise InputError(
            f"{base.path} is an encoder: each of its tokens sees those after it, so it would see what it is to predict",
            "train.pretrain_masked, train.classify, train.tag, train.answer and train.embed train encoders",
        )
    if kind == "causal" and model.new_modules:
        raise InputError(f"{base.path} lacks the output layer of a language model: {model.new_modules[0]}", GET_AGAIN)
    return model


def set_filling(config: Any, kind: Kind) -> None:
    """Name the token that fills batches of texts that are to be classified, where a config has none.

    A decoder reads a text's class at the last token that is none of these, so it must be none that texts end in.
    """
    if kind == "classes" and config.pad_token_id is None:
        ends = config.eos_token_id
        config.pad_token_id = (ends[0] if isinstance(ends, list) else ends) or 0


def _replaced_classes(base: Model, settings: Any, wanted: dict[str, Any]) -> str:
    """A note on a base's output layer that is of other classes than those that are wanted, or ""."""
    own = {"num_labels": settings.num_labels, "id2label": settings.id2label}
    if all(wanted.get(name, value) == value for name, value in own.items()):
        return ""
    with safe_open(base.path / WEIGHTS, "pt") as file:
        if not any(CLASS_LAYERS.match(name) for name in list(file.keys())):
            return ""
    known = ", ".join(str(name) for name in list(settings.id2label.values())[:20])
    return f"the output layer begins anew: the base's is of other classes ({known})"


def _without_class_layers(base: Model, auto: Any, settings: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """The class that an auto class opens a base with, which alone takes weights, and these without the layers."""
    with torch.device("meta"):
        of_base = type(auto.from_config(settings))
    with safe_open(base.path / WEIGHTS, "pt") as file:
        names = [name for name in list(file.keys()) if not CLASS_LAYERS.match(name)]
        return of_base, {name: file.get_tensor(name).clone() for name in names}


def _looks_ahead(model: Any) -> bool:
    """Whether a token changes the logits of those before it."""
    ids = torch.tensor([[0, 1, 0, 1], [0, 1, 0, 0]], device=model.device)
    with torch.no_grad():
        one, other = model.eval()(input_ids=ids).logits[:, :-1]
    return float((one - other).abs().max()) > SAME_LOGITS * float(one.abs().max())


SAME_LOGITS = 1e-4  # float noise between two rows of a batch is under a hundredth of it


def save_trained(
    model: Any, base: Model, kind: Kind, about: About, how: Adapter, out: Path, config: dict[str, Any] | None = None
) -> None:
    """Write a trained model, with the tokenizer and the papers of its base. Of several processes the first one does.

    What was frozen is written as it was in the base. Adapters that can be are merged into the weights, and their own
    weights are in the folder `adapter`, in peft's format; prompts cannot be, so the weights are the base's.

    Args:
        model: of transformers, or peft's around it.
        base: what it was trained from.
        kind: of its output layer.
        about: becomes `loomwork.json`.
        how: the adapter.
        out: an empty folder.
        config: what `open_base` changed in config.json.
    """
    if distributed.rank():
        return
    copy_beside(base, out)
    model.cpu()
    if how.adapter == "none":
        for name, weight in frozen_weights(model, base, kind, config).items():
            model.get_parameter(name).data = weight
        whole = model
    else:
        save_adapter(model, about.training.get("base", ""), out)
        fresh = open_base(base, kind, seed=about.training.get("seed", 0), **(config or {}))
        whole = fresh if how.adapter in PROMPTS else merged(fresh, how, out / ADAPTER, PEFT_TASKS[kind])
    write_weights(whole, base, about, out)


def save_whole(model: Any, base: Model, about: About, out: Path) -> None:
    """Write a model with the tokenizer and the papers of its base, and its weights in the base's number format.

    Args:
        model: of transformers; changed in place.
        base: what it was made from.
        about: becomes `loomwork.json`.
        out: an empty folder.
    """
    copy_beside(base, out)
    write_weights(model, base, about, out)


def write_weights(model: Any, base: Model, about: About, out: Path) -> None:
    """Write weights in the base's number format, config.json and `loomwork.json`."""
    own = torch_dtype(base)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(own)
    model.config.dtype = own
    model.save_pretrained(out, safe_serialization=True, max_shard_size="10TB")
    save_about(out, about)


def frozen_weights(
    model: Any, base: Model, kind: Kind, config: dict[str, Any] | None = None
) -> dict[str, torch.Tensor]:
    """What is not trained in a model, as it is in its base: a forward pass may have turned it to another dtype."""
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    if not frozen:
        return {}
    fresh = open_base(base, kind, **(config or {}))
    return {name: fresh.get_parameter(name).data for name in frozen}


def torch_dtype(base: Model) -> torch.dtype:
    """What a base's weights are stored in: float32 where it is nothing that weights can be trained in."""
    named = base.read_json("config.json")
    name = str(named.get("dtype") or named.get("torch_dtype") or "float32")
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(name, torch.float32)


def copy_beside(base: Artifact, out: Path) -> None:
    """Copy what a model needs beside its weights; config.json is written with them.

    A README.md tells of the base, which the new model is not; what it declares of licence and data is in `About`.
    """
    for name in BESIDE:
        if (base.path / name).is_file() and name not in ("config.json", "generation_config.json", READ_ME):
            shutil.copyfile(base.path / name, out / name)
