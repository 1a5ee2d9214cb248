"""The settings that every step of train/ shares. Each group is one parameter of a step: see core.step.Group."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from loomwork.core.errors import InputError
from loomwork.core.ranges import Seed
from loomwork.core.step import Checks

Share = Annotated[float, Ge(0), Lt(1)]
# What is watched of held-out data beside the loss.
CLASS_METRICS = ("accuracy", "macro_f1", "matthews")
NUMBER_METRICS = ("pearson",)
TAG_METRICS = ("accuracy", "entity_f1")
SPAN_METRICS = ("windows_right",)
PAIR_METRICS = ("mrr_in_batch",)


@dataclass(frozen=True)
class Training:
    """How the weights are moved.

    Args:
        learning_rate: at the peak of the schedule.
        schedule: how the rate goes on after the warm-up; "wsd" is warm-up, stable, decay.
        warmup_share: over which share of the steps the rate rises.
        floor: the fraction of the rate that the schedule ends at.
        optimizer: adamw, adamw_8bit (its state in 8 bits, through bitsandbytes), sgd (with momentum 0.9), or adafactor
            (memory for rows and columns only).
        beta2: of AdamW's mean of squares; the other is 0.9.
        weight_decay: of matrices; biases and norms have none. It is not part of the loss.
        l1: a penalty on the absolute size of matrices, added to their gradient.
        l2: the same on half of their squares.
        clip_norm: the largest norm of the gradient; 0 for no clipping.
        ema: the decay of a moving average of the weights, which is what is saved; 0 for none.
        looks: how often the held-out data is looked at, the end included; not used without held-out data.
        patience: stop after so many looks at held-out data without a better one, and save the best weights; 0 never
            stops.
        stop_on: what is better by: the held-out loss, or a metric that the step watches beside it (accuracy, macro_f1
            and matthews of classes, pearson of numbers, accuracy and entity_f1 of tags, windows_right of answers,
            mrr_in_batch of pairs).
        part_tokens: how many tokens are computed at once; the gradients of a batch's parts are summed, so it changes
            memory and speed only. 0 chooses by the device. Out of memory, it is halved and the run goes on.
        recompute: forget what layers computed inside and compute it again on the way back: less memory, more time.
        compile: compile the layers of the packed forward pass (torch.compile), which takes half a minute or more, and a
            C++ compiler on a CPU: for long runs. Null does so on GPUs.
        shard: split weights, gradients and optimizer state over the processes of the run (FSDP2), for a model that one
            device does not hold. The model is computed by transformers' own forward pass, also in one process, where
            there is nothing to split.
        keep_every: keep the weights every so many steps, as the parts `checkpoint-STEP` of the model; 0 for none.
        seed: of the order of the rows, of first weights and of dropout.
    """

    learning_rate: Annotated[float, Gt(0)] = 1e-4
    schedule: Literal["linear", "cosine", "constant", "wsd"] = "cosine"
    warmup_share: Share = 0.05
    floor: Annotated[float, Ge(0)] = 0.0
    optimizer: Literal["adamw", "adamw_8bit", "sgd", "adafactor"] = "adamw"
    beta2: Annotated[float, Gt(0), Lt(1)] = 0.999
    weight_decay: Annotated[float, Ge(0)] = 0.01
    l1: Annotated[float, Ge(0)] = 0.0
    l2: Annotated[float, Ge(0)] = 0.0
    clip_norm: Annotated[float, Ge(0)] = 1.0
    ema: Share = 0.0
    looks: Annotated[int, Ge(1)] = 5
    patience: Annotated[int, Ge(0)] = 0
    stop_on: str = "loss"
    part_tokens: Annotated[int, Ge(0)] = 0
    recompute: bool = False
    compile: bool | None = None
    shard: bool = False
    keep_every: Annotated[int, Ge(0)] = 0
    seed: Seed = 7

    def check_stop(self, metrics: Sequence[str] = ()) -> None:
        """Refuse to stop on what a step does not watch.

        Args:
            metrics: that it watches beside the loss.

        Raises:
            InputError: `stop_on` is none of these, or there is no patience that could go by it.
        """
        if self.stop_on not in ("loss", *metrics):
            raise InputError(f"stop_on is {self.stop_on!r}", f"this step watches {', '.join(('loss', *metrics))}")
        if self.stop_on != "loss" and not self.patience:
            raise InputError("stop_on says what patience goes by, and patience is 0", "set patience: 2, say")

    def refuse(self, step: str, names: Sequence[str], why: str) -> None:
        """Refuse settings that a step has no use for, rather than take and ignore them.

        Raises:
            InputError: one of them is not at its default.
        """
        kept = {f.name: f.default for f in fields(self)}
        given = [name for name in names if getattr(self, name) != kept[name]]
        if given:
            raise InputError(f"{step} takes no {', '.join(given)}: {why}", "leave it out")


@dataclass(frozen=True)
class Rows:
    """How many rows are seen.

    Args:
        epochs: how often every row is seen, where `steps` is 0.
        steps: how many batches; 0 for `epochs`.
        batch: rows a step.
    """

    epochs: Annotated[float, Gt(0)] = 1.0
    steps: Annotated[int, Ge(0)] = 0
    batch: Annotated[int, Ge(1)] = 16

    def count(self, rows: int) -> int:
        """The steps of a run over that many rows."""
        return self.steps or max(1, math.ceil(self.epochs * rows / self.batch))


def together(*metrics: str) -> Checks:
    """Of a training step that watches these metrics: refuses groups of settings that do not go together."""

    def check(given: Mapping[str, Any], inputs: Collection[str]) -> None:
        training: Training = given["training"]
        training.check_stop(metrics)
        if training.patience and "holdout" not in inputs:
            raise InputError("patience needs held-out data to look at", "give holdout, or leave patience out")
        if "tuning" in given:
            given["tuning"].check()

    return check


def made_parts(settings: Mapping[str, Any]) -> list[str]:
    """The parts of the model that a training step with these settings makes: its files, and folders."""
    adapter = ["adapter"] if settings.get("adapter", "none") != "none" else []
    return ["*.*", "order", *adapter, *(["checkpoint-*"] if settings.get("keep_every") else [])]


@dataclass(frozen=True)
class Adapter:
    """Which weights are trained.

    Args:
        adapter: none trains the model itself. lora, rslora, dora and ia3 add small weights to its linear layers;
            qlora is lora on layers whose own weights are held in 4 bits (bitsandbytes), and the saved model is those
            with what was learned. prompt, prefix and p_tuning put trained states before each text. What they add is
            saved in PEFT's format, as the part `adapter`; those that can be are merged into the saved model as well.
        rank: of LoRA's matrices.
        alpha: LoRA's scale is alpha / rank (rsLoRA: alpha / sqrt(rank)).
        lora_dropout: of what goes into LoRA's matrices.
        targets: the names of the layers that get an adapter; empty for all linear layers but the output layer.
        virtual_tokens: how many states prompt, prefix and p_tuning put before a text.
        freeze_layers: how many of the lowest layers stay as they are, the embeddings with them; null trains all. With
            all of them frozen, an output layer is trained alone.
        train_only: parts of the names of the weights that are trained, as in [layers.3, norm]; the others stay as they
            are, but for an output layer that begins at random. Null trains all.
    """

    adapter: Literal["none", "lora", "qlora", "rslora", "dora", "ia3", "prompt", "prefix", "p_tuning"] = "none"
    rank: Annotated[int, Ge(1)] = 16
    alpha: Annotated[float, Gt(0)] = 32.0
    lora_dropout: Share = 0.0
    targets: list[str] | None = None
    virtual_tokens: Annotated[int, Ge(1)] = 20
    freeze_layers: Annotated[int, Ge(0)] | None = None
    train_only: list[str] | None = None

    @property
    def tokens_before(self) -> int:
        """How many virtual tokens stand before a text."""
        return self.virtual_tokens if "virtual_tokens" in USED[self.adapter] else 0

    def check(self) -> None:
        """Refuse settings that the adapter has no use for.

        Raises:
            InputError: one of them is not at its default, or two exclude one another.
        """
        used = USED[self.adapter]
        given = [f.name for f in fields(self)[1:] if f.name not in used and getattr(self, f.name) != f.default]
        if given:
            raise InputError(
                f"adapter: {self.adapter} takes no {', '.join(given)}",
                f"leave it out; it takes {', '.join(used)}",
            )
        if self.freeze_layers is not None and self.train_only is not None:
            raise InputError("freeze_layers and train_only are both given", "give one of them")


LOW_RANK = ("lora", "qlora", "rslora", "dora")
USED: dict[str, tuple[str, ...]] = {"none": ("freeze_layers", "train_only"), "ia3": ("targets",)}
USED |= dict.fromkeys(LOW_RANK, ("rank", "alpha", "lora_dropout", "targets"))
USED |= dict.fromkeys(("prompt", "prefix", "p_tuning"), ("virtual_tokens",))
