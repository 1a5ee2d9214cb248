"""Make a smaller model of a larger one by taking some of its layers."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, MinLen

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step

GENERATION = "generation_config.json"


@step(makes="model", uses=["torch", "transformers", "safetensors"], heavy=True)
def student(
    teacher: Model,
    *,
    layers: Annotated[list[Annotated[int, Ge(0)]], MinLen(1)] | None = None,
    keep: Annotated[int, Ge(1)] | None = None,
    out: Path,
) -> Card:
    """Take some layers of a model, in their order, with its embeddings and its output layer as they are.

    What comes out is an ordinary model folder of the same kind (encoder, classifier, causal language model); it has
    not learned to do without the other layers yet: train.distill teaches it that.

    Args:
        teacher: a model folder of a single stack of layers.
        layers: which, from 0: [0, 2, 5].
        keep: or how many, evenly spread from the first to the last: 3 of 6 are 0, 2, 5.

    Raises:
        InputError: neither or both are given, a layer is not there or not in order, or the model's layers are not
            found (weights that layers share, two stacks, numbers that are no floats), or it has learned what is in no
            weights.

    Source: Sanh et al. 2019, arXiv:1910.01108 (DistilBERT begins with every other layer of BERT).
    """
    import transformers
    from safetensors import safe_open
    from safetensors.torch import save_file

    from loomwork.learn.model_io import copy_beside
    from loomwork.models.folder import WEIGHTS, read_about, save_about
    from loomwork.models.opened import refuse_unmerged

    if (layers is None) == (keep is None):
        raise InputError("train.student needs layers or keep, one of the two", "keep: 3, or layers: [0, 2, 5]")
    refuse_unmerged(teacher)
    about = read_about(teacher)
    if about.engine != "torch" or not (teacher.path / WEIGHTS).is_file():
        raise InputError(f"{teacher.path} has no plain weights to take ({about.engine})", "take what it was made from")
    config = transformers.AutoConfig.from_pretrained(teacher.path, local_files_only=True)
    depth = int(config.num_hidden_layers)
    chosen = spread(depth, keep) if keep is not None else list(layers or [])
    if keep is not None and keep > depth:
        raise InputError(f"keep is {keep}, and the model has {depth} layers")
    if chosen != sorted(set(chosen)) or chosen[-1] >= depth:
        raise InputError(f"layers {chosen} are not in order, or not of the {depth} that there are (from 0)")
    with safe_open(teacher.path / WEIGHTS, "pt") as file:
        names = list(file.keys())
        stem = layer_stem(names, depth)
        if stem is None or getattr(config, "is_encoder_decoder", False):
            raise InputError(f"the {depth} layers of {teacher.path} are not found among its weights")
        place = {str(layer): number for number, layer in enumerate(chosen)}
        tensors: dict[str, Any] = {}
        for name in names:
            layer, _, rest = name.removeprefix(stem).partition(".")
            if not name.startswith(stem):
                tensors[name] = file.get_tensor(name)
            elif layer in place:
                tensors[f"{stem}{place[layer]}.{rest}"] = file.get_tensor(name)
    copy_beside(teacher, out)
    if (teacher.path / GENERATION).is_file():
        shutil.copyfile(teacher.path / GENERATION, out / GENERATION)
    save_file(tensors, out / WEIGHTS, metadata={"format": "pt"})
    fewer_layers(config, chosen)
    config.save_pretrained(out)
    made = {"step": "train.student", "base": teacher.id, "layers": chosen}
    save_about(out, replace(about, training=made))
    numbers = float(sum(t.numel() for t in tensors.values()))
    return Card(metrics={"layers": float(len(chosen)), "parameters": numbers}, notes=[f"layers {chosen} of {depth}"])


def spread(depth: int, keep: int) -> list[int]:
    """So many layers of `depth`, evenly from the first to the last."""
    return [0] if keep == 1 else [round(i * (depth - 1) / (keep - 1)) for i in range(keep)]


def layer_stem(names: Iterable[str], depth: int) -> str | None:
    """What the names of all weights of layers begin with ("bert.encoder.layer."), or None."""
    numbers: dict[str, set[int]] = {}
    for name in names:
        pieces = name.split(".")
        at = next((i for i, piece in enumerate(pieces) if piece.isdigit()), None)
        if at is not None:
            numbers.setdefault(".".join(pieces[:at]) + ".", set()).add(int(pieces[at]))
    stems = [stem for stem, found in numbers.items() if found == set(range(depth))]
    return stems[0] if len(stems) == 1 else None


def fewer_layers(config: Any, chosen: list[int]) -> None:
    """Say in a transformers config that only these layers are left; lists of one entry a layer are cut too."""
    depth = int(config.num_hidden_layers)
    for name, value in config.to_dict().items():
        if "layer" in name and isinstance(value, list | tuple) and len(value) == depth:
            setattr(config, name, [value[i] for i in chosen])
    if hasattr(config, "max_window_layers"):  # of Qwen2: layers from this one on have a window
        config.max_window_layers = sum(i < config.max_window_layers for i in chosen)
    config.num_hidden_layers = len(chosen)
