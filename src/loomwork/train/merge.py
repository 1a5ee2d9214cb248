"""Put adapters into a model's weights: one, several with weights, or one with its sign turned, which takes it out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.step import Card, step
from loomwork.models.folder import ADAPTER, ADAPTER_CONFIG

if TYPE_CHECKING:
    from loomwork.learn.model_io import Kind

SUM = "weighted"  # peft's name of the adapter that is made of the others
PRUNED = ("ties", "dare_linear")
HEAD = ("id2label", "label2id", "problem_type")  # of config.json: what an output layer of classes needs


@step(makes="model", uses=["torch", "transformers", "peft", "safetensors"], heavy=True)
def merge(
    base: Model,
    adapters: dict[str, Model],
    *,
    weights: dict[str, float] | None = None,
    method: Literal["cat", "linear", "svd", "ties", "dare_linear"] = "cat",
    rank: Annotated[int, Ge(1)] | None = None,
    density: Annotated[float, Gt(0), Le(1)] | None = None,
    seed: int = 7,
    out: Path,
) -> Card:
    """Add adapters, each times its weight, to a model's own weights, and write the whole model.

    - cat: the exact sum of what each adapter adds to a matrix.
    - svd: that sum, cut to a rank.
    - linear: peft's mean of the adapters' factors, which adds products of one's factor with another's.
    - ties: factors without their small numbers, and of opposing signs only the stronger side.
    - dare_linear: factors of which a random share is dropped and the rest made larger.

    A negative weight takes away what an adapter has learned; -1 on a model that it was merged into undoes that, as
    exactly as the number format of the weights allows.

    Args:
        base: the model that they are added to.
        adapters: by name, in PEFT's format: `$tuned/adapter`, the whole model `$tuned`, or a folder of one.
        weights: by the same names; one that is not named counts 1.
        method: how several are put together; of one adapter all are the same.
        rank: of svd; null for the largest of the adapters.
        density: of ties and dare_linear: the share of numbers that stays; null for 0.5.
        seed: of what dare_linear drops.

    Raises:
        InputError: a folder has no adapter, one cannot be merged or weighted, or does not fit the model.

    Source: Ilharco et al. 2022, arXiv:2212.04089 (arithmetic); Yadav et al. 2023, arXiv:2306.01708 (TIES); Yu et al.
    2023, arXiv:2311.03099 (DARE).
    """
    from loomwork.learn.model_io import open_base, save_whole
    from loomwork.models.chat_template import TEMPLATE_FILE
    from loomwork.models.folder import ABOUT, read_about
    from loomwork.train._token_rows import merged_past

    if not adapters:
        raise InputError("train.merge has no adapter to merge", "for example adapters: {tuned: $tuned/adapter}")
    for name in weights or {}:
        if name not in adapters:
            raise InputError(f"weights has {name!r}, which is no adapter here", did_you_mean(name, adapters))
    folders = {name: adapter_folder(name, model) for name, model in adapters.items()}
    configs = {name: json.loads((folder / ADAPTER_CONFIG).read_bytes()) for name, folder in folders.items()}
    by_name = {name: float((weights or {}).get(name, 1.0)) for name in adapters}
    _check(configs, by_name, method, rank, density)
    model = open_base(base, _kind(configs), **_head(adapters))
    merged = weighted(model, folders, by_name, method, rank, density or 0.5, seed)

    about = read_about(base)
    tasks = []
    for adapter in adapters.values():
        own = read_about(adapter)
        about = replace(about, **merged_past(about, own))  # taken away again or not, it was seen
        if any((adapter.path / name).is_file() for name in (ABOUT, "config.json")):
            tasks.append(own.task)
    made = {"step": "train.merge", "base": base.id, "method": method, "weights": by_name}
    about = replace(about, task=tasks[0] if tasks else about.task, training=made)
    save_whole(merged, base, about, out)
    if template := _template(base, folders):
        (out / TEMPLATE_FILE).write_text(template, encoding="utf-8")
    return Card(
        metrics={"parameters": float(sum(p.numel() for p in merged.parameters())), "adapters": float(len(adapters))},
        notes=_notes(base, configs, by_name),
    )


def _template(base: Model, folders: dict[str, Path]) -> str:
    """The chat template that an adapter was trained with, where the base has none; "" where adapters differ."""
    from loomwork.models.chat_template import TEMPLATE_FILE, load_tokenizer

    files = [folder / TEMPLATE_FILE for folder in folders.values()]
    found = {file.read_text("utf-8") for file in files if file.is_file()}
    if len(found) != 1 or load_tokenizer(base).chat_template:
        return ""
    return found.pop()


def adapter_folder(name: str, model: Model) -> Path:
    """Where the adapter of an artifact is: the chosen part, its part `adapter`, or the folder itself.

    Raises:
        InputError: there is none.
    """
    places = [model.path / model.part] if model.part else [model.path, model.path / ADAPTER]
    for place in places:
        if (place / ADAPTER_CONFIG).is_file():
            return place
    hint = "train with adapter: lora makes $step/adapter, and train.base path=FOLDER takes an adapter's folder in"
    raise InputError(f"adapter {name!r}: {places[0]} has no {ADAPTER_CONFIG}", hint)


def weighted(
    model: Any,
    folders: dict[str, Path],
    weights: dict[str, float],
    method: str = "cat",
    rank: int | None = None,
    density: float = 0.5,
    seed: int = 7,
) -> Any:
    """The model with the weighted adapters in its weights; changed in place.

    Args:
        model: of transformers.
        folders: of the adapters, in PEFT's format.
        weights: by the same names.
        method, rank, density, seed: see `merge`.

    Raises:
        InputError: an adapter does not fit the model, or the adapters do not fit one another.
    """
    import peft
    import torch

    own = {name: f"adapter{i}" for i, name in enumerate(folders)}  # a name may have what no module's name can
    factors = [weights[name] for name in folders]
    try:
        (first, folder), *rest = zip(own.values(), folders.values(), strict=True)
        tuned: Any = peft.PeftModel.from_pretrained(model, folder, adapter_name=first)
        for name, folder in rest:
            tuned.load_adapter(folder, adapter_name=name)
        if rest or factors[0] != 1.0:
            with torch.random.fork_rng([]):
                torch.manual_seed(seed)
                tuned.base_model.add_weighted_adapter(
                    list(own.values()),
                    factors,
                    SUM,
                    combination_type=method,
                    svd_rank=rank,
                    density=density if method in PRUNED else None,
                )
            for module in tuned.modules():
                if SUM in getattr(module, "lora_A", {}):
                    module.scaling[SUM] = 1.0  # peft takes rsLoRA's scale for the sum, which is scaled already
            tuned.set_adapter(SUM)
        return tuned.merge_and_unload(adapter_names=[SUM if SUM in tuned.peft_config else first])
    except (ValueError, RuntimeError, KeyError) as error:
        raise InputError(
            f"the adapters {', '.join(folders)} do not fit the model, or one another: {error}",
            "give the model that they were trained on; method: cat takes adapters of unequal rank",
        ) from error


def _check(
    configs: dict[str, dict[str, Any]], weights: dict[str, float], method: str, rank: int | None, density: float | None
) -> None:
    several = len(configs) > 1
    if rank is not None and (method != "svd" or not several):
        raise InputError("rank is of method svd with several adapters", "leave it out")
    if density is not None and (method not in PRUNED or not several):
        raise InputError("density is of the methods ties and dare_linear with several adapters", "leave it out")
    for name, config in configs.items():
        kind = config.get("peft_type")
        if kind not in ("LORA", "IA3"):
            raise InputError(
                f"adapter {name!r} is of the kind {kind}, which stands before a text and is in no weights",
                "it is used as it is: peft.PeftModel.from_pretrained(model, folder)",
            )
        why = "of the kind IA3" if kind == "IA3" else "a DoRA" if config.get("use_dora") else ""
        if config.get("modules_to_save"):
            why = f"with layers that were trained whole ({', '.join(config['modules_to_save'])})"
        if why and (several or weights[name] != 1.0):
            raise InputError(f"adapter {name!r} is {why}: it can be merged alone, with weight 1, only")


def _kind(configs: dict[str, dict[str, Any]]) -> Kind:
    """The output layer that the adapters were trained with."""
    from loomwork.learn.model_io import PEFT_TASKS

    tasks = {str(config.get("task_type") or "CAUSAL_LM") for config in configs.values()}
    found: list[Kind] = [kind for kind, task in PEFT_TASKS.items() if task in tasks]
    if len(tasks) > 1 or not found:
        raise InputError(f"the adapters are for {', '.join(sorted(tasks))}", "merge those of one task")
    return found[0]


def _head(adapters: dict[str, Model]) -> dict[str, Any]:
    """What config.json beside an adapter says of the output layer that the base may lack."""
    for model in adapters.values():
        if (model.path / "config.json").is_file():
            config = model.read_json("config.json")
            found = {name: config[name] for name in HEAD if name in config}
            if "id2label" in found:
                found["id2label"] = {int(i): label for i, label in found["id2label"].items()}
                return found | {"num_labels": len(found["id2label"])}
    return {}


def _notes(base: Model, configs: dict[str, dict[str, Any]], weights: dict[str, float]) -> list[str]:
    notes = []
    for name, config in configs.items():
        on = str(config.get("base_model_name_or_path") or "unknown")
        where = "on this model" if on == base.id else f"on another one: {on[:12]}"
        notes.append(f"{name}: weight {weights[name]:g}, rank {config.get('r', 'none')}, trained {where}")
    return notes
