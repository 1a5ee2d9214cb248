"""The model folder that a run ends with: weights, what the model is and was taught, and which rows it saw when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset
from loomwork.learn import distributed
from loomwork.learn.adapters import PROMPTS
from loomwork.learn.causal_run import CausalRun
from loomwork.learn.encoder_run import EncoderRun
from loomwork.learn.model_io import Kind, save_trained, torch_dtype
from loomwork.learn.order import RowOrder, TokenOrder, save_order
from loomwork.learn.settings import Adapter, Training
from loomwork.models.folder import WEIGHTS, About, read_about, taught


def about_trained(
    step: str, base: Model, data: Dataset, columns: Sequence[str], training: Training, **more: Any
) -> About:
    """What a model says of itself after a step: its base's word, the training, and what was learned.

    Args:
        step: its public name.
        columns: of the data, that were learned.
        more: what else its training is to tell.
    """
    about = read_about(base)
    made = {"step": step, "base": base.id, "data": data.digest, **asdict(training), **more}
    return replace(about, training=made, trained_on=taught(about, data, *columns))


def write_trained(
    run: CausalRun | EncoderRun,
    base: Model,
    kind: Kind,
    about: About,
    tuning: Adapter,
    out: Path,
    *,
    order: RowOrder | TokenOrder,
    row_ids: list[bytes],
    lengths: Any,
    config: dict[str, Any] | None = None,
) -> int:
    """Write a model folder, with the checkpoints that were kept and the order of the rows.

    Args:
        run: what the run came to.
        base: what it was trained from.
        kind: of its output layer.
        about: becomes `loomwork.json`, with the number of steps.
        tuning: the adapter that is on it.
        out: an empty folder.
        order, row_ids, lengths: see `save_order`.
        config: what `open_base` changed in config.json.

    Returns: the steps that were done: fewer than planned where the run was stopped early.
    """
    steps = len(run.history.losses)
    save_trained(run.model, base, kind, replace(about, training=about.training | {"steps": steps}), tuning, out, config)
    run.kept.move_to(out)
    save_order(out, order, row_ids, lengths, steps)
    if not distributed.rank() and tuning.adapter not in PROMPTS:  # a prompt changes no weight
        run.notes.extend(_rounded(base, out))
    return steps


def _rounded(base: Model, out: Path) -> list[str]:
    """What is left of the training in weights of 16 bits: small steps fall between their numbers."""
    dtype = torch_dtype(base)
    if dtype == torch.float32:
        return []
    same = count = 0
    with safe_open(base.path / WEIGHTS, "pt") as before, safe_open(out / WEIGHTS, "pt") as after:
        for name in set(before.keys()) & set(after.keys()):
            was, now = before.get_tensor(name), after.get_tensor(name)
            if was.shape == now.shape:
                same, count = same + int((was == now).sum()), count + now.numel()
    kept = (
        f"saved as {str(dtype).removeprefix('torch.')}, as the base is: {count - same:,} of {count:,} numbers changed"
    )
    lost = "; what was learned is lost in rounding: a larger learning_rate, more steps, or the part `adapter`"
    return [kept + (lost if same == count else "")]
