"""One run of a causal language model, from token rows to a model folder: what pretraining and chat tuning share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from loomwork.core.artifact import Model, digest
from loomwork.core.context import context
from loomwork.learn.adapters import adapted
from loomwork.learn.causal import WATCHED_TOKENS, CausalBatches, CausalObjective
from loomwork.learn.distributed import size
from loomwork.learn.forward import causal_decoder
from loomwork.learn.four_bits import parameter_count
from loomwork.learn.kept import KeptWeights
from loomwork.learn.loop import History, fit
from loomwork.learn.model_io import PEFT_TASKS, frozen_weights, open_base
from loomwork.learn.order import RowOrder, TokenOrder
from loomwork.learn.parts import part_tokens
from loomwork.learn.room import check_room, check_tokens
from loomwork.learn.sequences import Sequences
from loomwork.learn.settings import Adapter, Training
from loomwork.learn.sharded import Shards
from loomwork.learn.watch import HeldOut, Watch

MakeObjective = Callable[[Any, torch.nn.Module], torch.nn.Module]


@dataclass
class CausalRun:
    """What a run came to.

    Args:
        model: the trained model of transformers, or peft's around it.
        history: of the loop.
        metrics: for the card.
        notes: for the card.
        watch: what was seen of the held-out data, or None.
        kept: the weights that were kept on the way.
    """

    model: Any
    history: History
    metrics: dict[str, float]
    notes: list[str]
    watch: Watch | None
    kept: KeptWeights


def run_causal(
    base: Model,
    sequences: Sequences,
    order: RowOrder | TokenOrder,
    steps: int,
    training: Training,
    adapter: Adapter,
    *,
    holdout: Sequences | None = None,
    bits: float = 0.0,
    dropout: float = 0.0,
    smoothing: float = 0.0,
    mark: Any = None,
    objective: MakeObjective | None = None,
) -> CausalRun:
    """Train.

    Args:
        base: the model to begin with.
        sequences: what is learned.
        order: which of it at each step.
        steps: how many.
        training, adapter: the settings.
        holdout: what is looked at on the way.
        bits: learned tokens for each byte of the held-out text: its curve is then in bits per byte.
        dropout: of what layers add.
        smoothing: of targets.
        mark: whatever else makes this run another one: in the name of its checkpoint.
        objective: makes another objective of the model and its decoder.
    """
    device, dtype = context().device, getattr(torch, context().precision)
    torch.set_num_threads(context().threads)
    model = open_base(base, "causal", seed=training.seed)
    opened_notes = model.opened_notes
    for given in (sequences, holdout):
        if given is not None:
            check_tokens(int(given.ids.max()), model.get_input_embeddings().num_embeddings)
    with torch.random.fork_rng([]):
        torch.manual_seed(training.seed)
        model = adapted(model, adapter, PEFT_TASKS["causal"])
    check_room(max(int(given.lengths.max()) for given in (sequences, holdout) if given), model)
    shards = Shards(model, training, device)
    decoder, reason = causal_decoder(model, adapter, dtype, training, dropout=dropout)
    learner = objective(model, decoder) if objective else CausalObjective(decoder, smoothing)
    batches = CausalBatches(sequences, order, device, training.shard)
    limit = part_tokens(training.part_tokens, device)
    watch = None
    if holdout is not None and len(holdout):
        held = CausalBatches(holdout, order, device, training.shard)
        look = HeldOut(CausalObjective(decoder), lambda n: held.sample(WATCHED_TOKENS, n, training.seed), limit)
        series, scale = ("holdout_bits_per_byte", bits / math.log(2)) if bits else ("holdout_loss", 1.0)
        watch = Watch(look, series, scale)
    settings = [base.id, asdict(training), asdict(adapter), steps, dropout, smoothing, str(dtype), device, mark]
    name = "causal-" + digest(settings)[:16]  # another run's work in the same folder is not this one's
    kept = KeptWeights(
        shards.whole, context().work / f"{name}-kept", lambda: frozen_weights(model, base, "causal"), shards.gather
    )
    history = fit(learner, batches.parts, training, steps=steps, watch=watch, keep=kept.keep, name=name)
    shards.gather()
    counts = sequences.target_counts
    metrics = {
        "parameters": parameter_count(model),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "steps": len(history.losses),
        "rows": sequences.rows,
        "rows_left_out": sum(sequences.left_out.values()),
        "rows_cut": sequences.cut,
        "learned_tokens_per_epoch": int(counts.sum()),
        "final_loss": history.last_loss(),
        "train_seconds": history.seconds,
    }
    if history.tokens:
        metrics["tokens_per_second"] = history.tokens / max(history.seconds, 1e-9)
    metrics |= watch.card(bool(training.patience)) if watch else {}
    notes = [f"forward pass: {decoder.name}" + (f" ({reason})" if reason else ""), *opened_notes]
    notes += [f"left out: {n} rows, {why}" for why, n in sorted(sequences.left_out.items())]
    if size() > 1:
        notes.append(f"trained by {size()} processes" + (", the weights split" if training.shard else ""))
    if history.resumed_at:
        notes.append(f"went on from step {history.resumed_at}, where an earlier run of it had ended")
    if history.stopped_early:
        notes.append(f"stopped at step {len(history.losses)} of {steps}: no better held-out loss since")
    if history.part_tokens < limit:
        notes.append(f"memory ran out: parts of {history.part_tokens} tokens, the batch as it was")
    return CausalRun(shards.whole, history, {k: float(v) for k, v in metrics.items()}, notes, watch, kept)
