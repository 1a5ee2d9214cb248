"""Which weights of a model are trained: all, some layers, or small ones that peft adds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from loomwork.core.errors import InputError, MissingDependency, did_you_mean
from loomwork.learn.four_bits import hold_in_four_bits, quiet, round_to_four_bits
from loomwork.learn.settings import LOW_RANK, Adapter
from loomwork.models.folder import ADAPTER, ADAPTER_CONFIG

PROMPTS = ("prompt", "prefix", "p_tuning")  # cannot be merged into weights
OUTPUTS = ("classifier", "score", "qa_outputs")  # peft trains whole whatever ends in these
HEADS = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")  # tasks whose output layers are no part of a base model


def adapted(model: Any, how: Adapter, task: str) -> Any:
    """Make a model trainable as the settings say; what is not to be trained is frozen.

    Args:
        model: of transformers, as `open_base` gives it; changed in place. Its output layers, and whatever else begins
            at random (`new_modules`), are trained whole and saved with an adapter.
        how: the settings.
        task: peft's name of it: CAUSAL_LM, SEQ_CLS, TOKEN_CLS, QUESTION_ANS, SEQ_2_SEQ_LM or FEATURE_EXTRACTION.

    Returns: the model itself, or peft's model around it.

    Raises:
        MissingDependency: peft is not installed.
        InputError: a layer that is named is not there, or a setting is of another adapter.

    Source: Hu et al. 2021, arXiv:2106.09685 (LoRA); Dettmers et al. 2023, arXiv:2305.14314 (QLoRA); Kalajdzievski 2023,
    arXiv:2312.03732 (rsLoRA); Liu et al. 2024, arXiv:2402.09353 (DoRA); Liu et al. 2022, arXiv:2205.05638 (IA3); Lester
    et al. 2021, arXiv:2104.08691 (prompt); Li and Liang 2021, arXiv:2101.00190 (prefix); Liu et al. 2021,
    arXiv:2103.10385 (P-tuning).
    """
    how.check()
    if how.adapter == "none":
        _freeze(model, how)
        return model
    quiet()
    try:
        import peft
    except ModuleNotFoundError as error:
        raise MissingDependency(f"adapter {how.adapter}", "peft", "train") from error
    _check_targets(model, how.targets or [])
    if how.adapter == "qlora":
        hold_in_four_bits(model, _trained_whole(model)["modules_to_save"] if task in HEADS else ())
    try:
        return peft.get_peft_model(model, _config(peft, how, task, model))
    except ValueError as error:
        raise InputError(f"the adapter does not fit the model: {error}", "name the layers in targets") from error


def _config(peft: Any, how: Adapter, task: str, model: Any) -> Any:
    new = _trained_whole(model) if task in HEADS else {}
    if how.adapter in LOW_RANK:
        return peft.LoraConfig(
            task_type=task,
            r=how.rank,
            lora_alpha=how.alpha,
            lora_dropout=how.lora_dropout,
            target_modules=how.targets or "all-linear",
            use_rslora=how.adapter == "rslora",
            use_dora=how.adapter == "dora",
            **new,
        )
    if how.adapter == "ia3":
        inner = peft.utils.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(model.config.model_type, [])
        chosen = [name for name in how.targets or [] if name in inner]  # scaled before the layer, not after it
        named = {"target_modules": how.targets, "feedforward_modules": chosen} if how.targets else {}
        return peft.IA3Config(task_type=task, **named, **new)
    kinds = {"prompt": peft.PromptTuningConfig, "prefix": peft.PrefixTuningConfig, "p_tuning": peft.PromptEncoderConfig}
    more = {"encoder_hidden_size": 128} if how.adapter == "p_tuning" else {}
    return kinds[how.adapter](task_type=task, num_virtual_tokens=how.virtual_tokens, **more)


def _check_targets(model: Any, targets: Iterable[str]) -> None:
    """Refuse names that are no layer's: peft passes over them where another one fits."""
    layers = {name: module for name, module in model.named_modules() if getattr(module, "weight", None) is not None}
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in layers):
            matrices = [name for name, layer in layers.items() if layer.weight.ndim == 2]
            raise InputError(
                f"targets has {target!r}, and {type(model).__name__} has no layer of that name",
                did_you_mean(target, {name.rpartition(".")[2] for name in matrices}),
            )


def _trained_whole(model: Any) -> dict[str, list[str]]:
    """What peft is to train as it is: by itself it knows some of these layers by name, not all, and adapts others."""
    whole = {name for name, _ in model.named_children() if name.endswith(OUTPUTS)}
    for name in getattr(model, "new_modules", []):
        outermost = name.partition(".")[0]
        whole.add(name if outermost == model.base_model_prefix else outermost)
    inside = [n for n, _ in model.named_modules() if any(n == w or n.startswith(f"{w}.") for w in whole)]
    return {"modules_to_save": sorted(whole), "exclude_modules": inside}


def _freeze(model: Any, how: Adapter) -> None:
    if how.train_only is not None:
        _train_only(model, how.train_only)
    if how.freeze_layers is None:
        return
    found, layers = layers_of(model), how.freeze_layers
    if layers > len(found):
        raise InputError(f"freeze_layers is {layers}, and the model has {len(found)} layers", f"at most {len(found)}")
    for embedding in (m for n, m in model.named_modules() if n.endswith(EMBEDDINGS)):
        embedding.requires_grad_(False)
    for layer in found[:layers]:
        layer.requires_grad_(False)
    outputs = (m for n, m in model.named_children() if n != model.base_model_prefix)
    if layers == len(found) and not any(p.requires_grad for m in outputs for p in m.parameters()):
        raise InputError(
            f"freeze_layers is {layers}: that is all layers, and the model has no output layer of its own to train",
            f"at most {layers - 1}, or train_only: [norm], say, where that is what you want",
        )


def _train_only(model: Any, parts: list[str]) -> None:
    names = dict(model.named_parameters(remove_duplicate=False))
    for part in parts:
        if not any(_within(part, name) for name in names):
            raise InputError(
                f"train_only has {part!r}, and no weight of {type(model).__name__} has that in its name",
                did_you_mean(part, {piece for name in names for piece in _pieces(name)}),
            )
    model.requires_grad_(False)
    for name, weight in names.items():
        if any(_within(part, name) for part in [*parts, *getattr(model, "new_modules", [])]):
            weight.requires_grad_(True)
    if not any(weight.requires_grad for weight in names.values()):
        raise InputError("train_only is empty: nothing would be trained", "for example train_only: [layers.3, norm]")


def _within(part: str, name: str) -> bool:
    """Whether a part of a name is whole words of it: "layers.1" is none of "layers.10.norm"."""
    return f".{part}." in f".{name}."


def _pieces(name: str) -> Iterable[str]:
    """What of a name may be said for it: each of its words, and a layer with its number."""
    words = name.split(".")
    for before, word in zip(["", *words], words, strict=False):
        yield f"{before}.{word}" if word.isdigit() else word


EMBEDDINGS = ("embed_tokens", "wte", "wpe", "embed_in", "embeddings", "shared", "embed_positions")


def layers_of(model: Any) -> Any:
    """The layers of a transformers model, the lowest first.

    Raises:
        InputError: they are not found.
    """
    from torch import nn

    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) > 0]
    wanted = getattr(model.config, "num_hidden_layers", None)
    found = next((m for m in lists if len(m) == wanted), None)
    if found is None:
        raise InputError(
            f"the layers of {type(model).__name__} are not found", "name what is to be trained: train_only"
        )
    return found


def save_adapter(model: Any, base_name: str, out: Path) -> None:
    """Write a peft model's own weights in its format.

    Args:
        model: peft's model.
        base_name: what its config names as the model that it belongs on.
        out: the model folder.
    """
    for config in model.peft_config.values():
        config.base_model_name_or_path = base_name
    write_adapter(model, out / ADAPTER)


def write_adapter(model: Any, folder: Path) -> None:
    """Write a peft model's own weights in its format, the same bytes each time.

    peft keeps the names of layers as sets, and writes them in the order that this process's hashes happen to give.

    Args:
        model: peft's model.
        folder: of the adapter alone.
    """
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / ADAPTER_CONFIG
    config = json.loads(file.read_bytes())
    for name, value in config.items():
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            config[name] = sorted(set(value))
    file.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def merged(fresh: Any, how: Adapter, folder: Path, task: str) -> Any:
    """A model with an adapter's weights added to its own.

    Args:
        fresh: the model that the adapter belongs on, as it was before.
        how: the adapter's settings.
        folder: of the adapter.
        task: as for `adapted`.
    """
    import peft

    if how.adapter == "qlora":  # what was learned is learned on these
        round_to_four_bits(fresh, _trained_whole(fresh)["modules_to_save"] if task in HEADS else ())
    return peft.PeftModel.from_pretrained(fresh, folder).merge_and_unload()
