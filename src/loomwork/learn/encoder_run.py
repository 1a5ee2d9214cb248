"""One run of a model that transformers computes, from rows to trained weights: what the steps for encoders share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from loomwork.core.artifact import Model, digest
from loomwork.core.context import context
from loomwork.learn.adapters import PROMPTS, adapted
from loomwork.learn.distributed import size
from loomwork.learn.forward import compile_encoder
from loomwork.learn.four_bits import parameter_count
from loomwork.learn.judges import Judge
from loomwork.learn.kept import KeptWeights
from loomwork.learn.loop import History, fit
from loomwork.learn.model_io import PEFT_TASKS, Kind, open_base
from loomwork.learn.number_unit import NumberUnit
from loomwork.learn.order import RowOrder
from loomwork.learn.padded import Ids, Make, PaddedBatches, Weigh
from loomwork.learn.parts import part_tokens
from loomwork.learn.room import check_room, check_tokens
from loomwork.learn.settings import Adapter, Training
from loomwork.learn.sharded import Shards
from loomwork.learn.watch import HeldOut, Watch
from loomwork.models.packed_encoder import is_packed, pack_encoder
from loomwork.models.short_attention import set_attention

WATCHED_ROWS = 2048  # of held-out data that a run looks at


def open_trained(base: Model, kind: Kind, training: Training, adapter: Adapter, **config: Any) -> Any:
    """A model on this run's device, ready to be trained: adapter on, the rest frozen."""
    device = context().device
    torch.set_num_threads(context().threads)
    model = open_base(base, kind, seed=training.seed, **config)
    set_attention(model)
    if not training.shard and adapter.adapter not in PROMPTS:  # split weights are gathered by transformers' own forward
        pack_encoder(model)
    if training.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    with torch.random.fork_rng([]):
        torch.manual_seed(training.seed)
        model = adapted(model, adapter, PEFT_TASKS[kind]).to(device)  # weights are split by run_encoder
    if reason := compile_encoder(model, training, getattr(torch, context().precision)):
        model.opened_notes.append(reason)
    return model


def batches_for(model: Any, ids: Sequence[Ids], order: RowOrder, make: Make, weigh: Weigh) -> PaddedBatches:
    """The batches of a run of a model that `open_trained` gave. See PaddedBatches for the arguments.

    Raises:
        InputError: the tokenizer does not fit the model, or a prompt adapter finds no room in it.
    """
    inside = model.get_base_model() if hasattr(model, "peft_config") else model
    check_tokens(
        max((int(max(row, default=0)) for row in ids), default=0), inside.get_input_embeddings().num_embeddings
    )
    check_room(max(map(len, ids)), model)
    return PaddedBatches(
        ids, order, make, weigh, context().device, model.config.pad_token_id or 0, packed=is_packed(model)
    )


@dataclass
class EncoderRun:
    """What a run came to: see CausalRun. `model` is what is to be written."""

    model: Any
    history: History
    metrics: dict[str, float]
    notes: list[str]
    kept: KeptWeights


def run_encoder(
    model: Any,
    objective: torch.nn.Module,
    batches: Any,
    held: Any,
    steps: int,
    training: Training,
    adapter: Adapter,
    mark: Any,
    unit: NumberUnit | None = None,
    judge: Judge | None = None,
) -> EncoderRun:
    """Train.

    Args:
        model: what `open_trained` gave.
        objective: of parts.
        batches: with `parts(step, limit)` and `sample(rows, limit, seed)`.
        held: the same for held-out data, or None.
        steps: how many.
        training, adapter: the settings.
        mark: whatever makes this run another one: in the name of its checkpoint.
        unit: what is written gives numbers in it.
        judge: of held-out data; the objective has `outputs` and `loss_of`.
    """
    shards = Shards(model, training, context().device)
    limit = part_tokens(training.part_tokens, context().device)
    watch = None
    if held is not None:
        look = HeldOut(objective, lambda n: held.sample(WATCHED_ROWS, n, training.seed), limit, judge)
        watch = Watch(look, judge=judge, stop_on=training.stop_on)
    settings = [asdict(training), asdict(adapter), steps, context().precision, context().device, mark]
    name = "run-" + digest(settings)[:16]  # another run's work in the same folder is not this one's

    def gather() -> None:
        shards.gather()
        if unit:
            unit.put_on(shards.whole)

    def keep(step: int) -> None:
        kept.keep(step)
        if unit:
            unit.take_off(shards.whole)

    kept = KeptWeights(shards.whole, context().work / f"{name}-kept", gather=gather)
    history = fit(objective, batches.parts, training, steps=steps, watch=watch, keep=keep, name=name)
    gather()
    metrics: dict[str, float] = {
        "parameters": parameter_count(model),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "steps": len(history.losses),
        "final_loss": history.last_loss(),
        "train_seconds": history.seconds,
    }
    if history.tokens:
        metrics["tokens_per_second"] = history.tokens / max(history.seconds, 1e-9)
    metrics |= watch.card(bool(training.patience)) if watch else {}
    notes = [*model.opened_notes, *([] if is_packed(model) else ["forward pass: transformers"])]
    if size() > 1:
        notes.append(f"trained by {size()} processes" + (", the weights split" if training.shard else ""))
    if history.resumed_at:
        notes.append(f"went on from step {history.resumed_at}, where an earlier run of it had ended")
    if history.stopped_early:
        notes.append(f"stopped at step {len(history.losses)} of {steps}: no better held-out {training.stop_on} since")
    if history.part_tokens < limit:
        notes.append(f"memory ran out: parts of {history.part_tokens} tokens, the batch as it was")
    return EncoderRun(shards.whole, history, {k: float(v) for k, v in metrics.items()}, notes, kept)
