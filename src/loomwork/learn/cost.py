"""What a training run costs on this machine: parameters, memory, and time from a few real steps of a fresh model.

A model too large for that is measured with one and with two layers; what a layer adds is added for the others. One
that is too large even so is taken from the speed of matrix products at its width.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from loomwork.core.context import context
from loomwork.core.errors import InputError
from loomwork.core.memory import peak_memory_bytes
from loomwork.learn.adapters import PROMPTS, adapted
from loomwork.learn.causal import CausalBatches, CausalObjective
from loomwork.learn.encoder_run import batches_for
from loomwork.learn.energy import EnergyMeter
from loomwork.learn.forward import causal_decoder, compile_encoder
from loomwork.learn.masked import MaskedObjective
from loomwork.learn.model_io import CLASSES, DROPOUTS, PEFT_TASKS, Kind, set_filling
from loomwork.learn.objectives import ClassObjective, Outputs, SpanObjective, TokenObjective
from loomwork.learn.optimizer import make_optimizer
from loomwork.learn.order import RowOrder
from loomwork.learn.parts import part_tokens
from loomwork.learn.seq2seq import PairBatches, PairPart, TextPairs
from loomwork.learn.sequences import Sequences
from loomwork.learn.settings import Adapter, Training
from loomwork.models.cross_entropy import IGNORED
from loomwork.models.heap import keep_freed_memory
from loomwork.models.packed_encoder import pack_encoder
from loomwork.models.short_attention import set_attention

WHOLE = 60_000_000  # parameters of a model that is measured as it is
TWO_LAYERS = 200_000_000  # of one of two layers
SHARE_OF_PEAK = 0.5  # of the speed of matrix products that training reaches, where it is not measured
ROUNDS, ENOUGH_SECONDS = 7, 2.0  # of the measurement, the first round not counted
LEAST_SECONDS, MOST_ROUNDS = 1.0, 200  # a small model's rounds would all fall into one moment that something else took
FOUR_BITS_BYTES = 0.52  # a number, its share of the scales with it
OPTIMIZER_BYTES = {"adamw": 8.0, "adamw_8bit": 2.1, "sgd": 4.0, "adafactor": 0.02}  # of a trained parameter


@dataclass(frozen=True)
class Load:
    """A training run, as far as its cost goes.

    Args:
        kind: of the output layer.
        config: of transformers.
        lengths: of typical rows, in tokens.
        rows: of a batch.
        training, adapter: the settings.
        dropout: of what layers add.
        targets: how many of each row's tokens a decoder writes, in an encoder-decoder model.
        hidden_share: of tokens that are to be guessed, in masked language modelling.
    """

    kind: Kind
    config: Any
    lengths: Sequence[int]
    rows: int
    training: Training
    adapter: Adapter
    dropout: float = 0.0
    targets: Sequence[int] = ()
    hidden_share: float = 0.0


@dataclass(frozen=True)
class Cost:
    """Of a run on this machine.

    Args:
        seconds_per_token, seconds_per_update: of gradients, and of moving the weights once a step.
        cpu_seconds_per_token, cpu_seconds_per_update: the same of all cores together; 0 where not measured.
        watts: while it was measured; None where the machine does not say.
        activation_bytes: that are kept of one part for the way back.
        process_bytes: of Python and its libraries.
        how: what was measured.
    """

    seconds_per_token: float
    seconds_per_update: float
    cpu_seconds_per_token: float
    cpu_seconds_per_update: float
    watts: float | None
    activation_bytes: float
    process_bytes: int
    how: str


def counted(load: Load) -> tuple[int, int]:
    """All parameters of a run's model and those that are trained; no memory is taken."""
    with torch.device("meta"):
        model = _model(load, None)
    every = list(model.parameters())
    return sum(p.numel() for p in every), sum(p.numel() for p in every if p.requires_grad)


def memory_bytes(load: Load, cost: Cost, parameters: int, trained: int) -> dict[str, int]:
    """The peak memory of a run, by what holds it."""
    how = load.training
    frozen = torch.finfo(getattr(torch, context().precision)).bits // 8 if load.kind == "causal" else 4
    copies = 4 * trained * (bool(how.ema) + bool(how.patience))
    still = frozen * (parameters - trained)
    if load.adapter.adapter == "qlora":  # in 4 bits, but for the embeddings
        tables = load.config.vocab_size * load.config.hidden_size * (1 if load.config.tie_word_embeddings else 2)
        still = frozen * tables + round(FOUR_BITS_BYTES * max(0, parameters - trained - tables))
    return {
        "weights": 4 * trained + still,
        "gradients": 4 * trained,
        "optimizer": round(OPTIMIZER_BYTES[how.optimizer] * trained) + copies,
        "activations": round(cost.activation_bytes),
        "process": cost.process_bytes,
    }


def measure(load: Load) -> Cost:
    """Measure a run's cost for a few seconds.

    Raises:
        InputError: transformers makes no such model.
    """
    keep_freed_memory()  # as a run does
    torch.set_num_threads(context().threads)
    process = _process_bytes()
    parameters, _ = counted(load)
    layers = int(load.config.num_hidden_layers)
    meter = EnergyMeter(gpu=context().device.startswith("cuda"))
    began = time.perf_counter()
    if parameters <= WHOLE or layers <= 2:
        one, how = _measured(load, None), "a few steps of a fresh model of this shape"
    elif _size(load, 2) <= TWO_LAYERS:
        first, second = _measured(load, 1), _measured(load, 2)
        one = first + (layers - 1) * (second - first)
        how = f"a few steps with 1 and with 2 of the {layers} layers"
    else:
        one, how = _from_products(load, parameters), f"matrix products, taking {SHARE_OF_PEAK:.0%} of their speed"
    joules, seconds = meter.joules(), time.perf_counter() - began
    watts = None if joules is None else joules / seconds
    token, update, cpu_token, cpu_update, kept = (float(value) for value in one)
    return Cost(token, update, cpu_token, cpu_update, watts, kept, process, how)


@functools.cache
def _process_bytes() -> int:
    """Of this process before anything was measured in it."""
    return peak_memory_bytes()


def _size(load: Load, layers: int | None) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in _model(load, layers).parameters())


def _model(load: Load, layers: int | None) -> Any:
    import transformers

    config = copy.deepcopy(load.config)
    set_filling(config, load.kind)
    if load.kind != "causal":  # whose dropout is of the packed forward pass
        for name in DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, load.dropout)
    if layers is not None:
        config.num_hidden_layers = layers
        for name in ("decoder_layers", "num_decoder_layers"):  # of encoder-decoder models
            if getattr(config, name, None):
                setattr(config, name, layers)
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
    try:
        with torch.random.fork_rng([]):
            model = getattr(transformers, CLASSES[load.kind]).from_config(config, dtype=torch.float32)
    except ValueError as error:
        raise InputError(f"transformers makes no {CLASSES[load.kind]} of this config.json: {error}") from error
    adapter = load.adapter
    if adapter.adapter not in PROMPTS:
        pack_encoder(model)
    if layers is not None and adapter.freeze_layers is not None:
        share = adapter.freeze_layers / int(load.config.num_hidden_layers)
        adapter = Adapter(freeze_layers=min(layers - 1, round(share * layers)))
    if layers is not None and adapter.train_only is not None:
        adapter = Adapter()  # its names may be of layers that are not here: as if all were trained
    return adapted(model, adapter, PEFT_TASKS[load.kind])


Parts = Callable[[int, int], Sequence[Any]]


def _learner(load: Load, layers: int | None) -> tuple[torch.nn.Module, Parts]:
    """An objective on a fresh model, and batches of random tokens of the lengths that rows have."""
    device, dtype = context().device, getattr(torch, context().precision)
    model, how = _model(load, layers).to(device), load.training
    draw = np.random.default_rng(0)
    lengths = draw.choice(np.maximum(2, load.lengths), ROUNDS * load.rows)
    most = max(3, int(load.config.vocab_size))
    if load.kind == "causal":
        ids = draw.integers(0, most, int(lengths.sum())).astype(np.uint32)
        ends = np.cumsum(lengths)
        sequences = Sequences(ids, np.ones(len(ids), bool), ends - lengths, ends, [b""] * len(ends), 0, {}, 0)
        decoder, _ = causal_decoder(model, load.adapter, dtype, how, dropout=load.dropout)
        return CausalObjective(decoder), CausalBatches(sequences, RowOrder(len(ends), load.rows, 0), device).parts
    set_attention(model)
    if how.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    compile_encoder(model, how, dtype)
    outputs, order = Outputs(model, dtype), RowOrder(len(lengths), load.rows, 0)
    rows = [draw.integers(0, most, n) for n in lengths]
    if load.kind == "seq2seq":
        return TokenObjective(outputs), _pairs(load, model, rows, order).parts
    objective = OBJECTIVES[load.kind](outputs)
    return objective, batches_for(model, rows, order, lambda chosen, step: _targets(load, rows, chosen), len).parts


OBJECTIVES: dict[str, Callable[[Outputs], torch.nn.Module]] = {
    "classes": ClassObjective,
    "tokens": TokenObjective,
    "spans": SpanObjective,
    "masked": MaskedObjective,
}


def _targets(load: Load, rows: Sequence[np.ndarray], chosen: list[int]) -> dict[str, Any]:
    """Something to learn from some rows, as a step makes it."""
    zeros = torch.zeros(len(chosen), dtype=torch.long)
    if load.kind == "classes":
        return {"targets": (zeros, torch.ones(len(chosen)))}
    if load.kind == "spans":
        return {"targets": (zeros, zeros)}
    targets = torch.zeros(len(chosen), max(len(rows[r]) for r in chosen), dtype=torch.long)
    if load.kind == "masked":
        for row, number in enumerate(chosen):
            targets[row, max(1, round(load.hidden_share * len(rows[number]))) :] = IGNORED
    return {"targets": targets}


def _pairs(load: Load, model: Any, rows: Sequence[np.ndarray], order: RowOrder) -> PairBatches:
    """Rows cut in two, where a decoder writes as much of them as it does on average."""
    written = sum(load.targets) / max(1, sum(load.lengths)) or 0.5
    parts = [np.split(row, [min(len(row) - 1, max(1, round((1 - written) * len(row))))]) for row in rows]
    pairs = TextPairs([source for source, _ in parts], [target for _, target in parts], [], {})
    shift = (model.get_base_model() if hasattr(model, "peft_config") else model).prepare_decoder_input_ids_from_labels
    return PairBatches(pairs, order, shift, context().device, 0)


def _measured(load: Load, layers: int | None) -> np.ndarray:
    """Seconds a token and an update, the same in seconds of cores, and bytes kept for the way back."""
    objective, parts_at = _learner(load, layers)
    trained = [p for p in objective.parameters() if p.requires_grad]
    optimizer = make_optimizer(trained, load.training)
    limit = part_tokens(load.training.part_tokens, context().device)
    objective.train()
    kept = _kept_bytes(objective, max(parts_at(0, limit), key=lambda part: part.tokens))
    taken: list[tuple[float, ...]] = []
    began = time.perf_counter()
    for step in range(MOST_ROUNDS):
        parts = parts_at(step, limit)
        tokens = sum(_real_tokens(part) for part in parts)
        start = _clocks()
        for part in parts:
            objective(part).backward()
        middle = _clocks()
        torch.nn.utils.clip_grad_norm_(trained, load.training.clip_norm or 1e30)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        end = _clocks()
        gradients, update = middle - start, end - middle
        taken.append((gradients[0] / tokens, update[0], gradients[1] / tokens, update[1]))
        passed = time.perf_counter() - began
        if (step >= 2 and passed > ENOUGH_SECONDS) or (step + 1 >= ROUNDS and passed > LEAST_SECONDS):
            break
    return np.array([*(median(column) for column in zip(*taken[1:], strict=True)), kept])


def _real_tokens(part: Any) -> int:
    """Of a part, without what fills it up; what a decoder writes, too."""
    if not hasattr(part, "seen"):
        return int(part.tokens)
    written = int((part.targets != IGNORED).sum()) if isinstance(part, PairPart) else 0
    return int(part.seen.sum()) + written


def _clocks() -> np.ndarray:
    if context().device.startswith("cuda"):
        torch.cuda.synchronize()
    return np.array([time.perf_counter(), time.process_time()])


def _kept_bytes(objective: torch.nn.Module, part: Any) -> int:
    """What autograd keeps of a part's forward pass, the weights not counted."""
    own = {p.untyped_storage().data_ptr() for p in objective.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = objective(part)
    del loss
    return sum(kept.values())


def _from_products(load: Load, parameters: int) -> np.ndarray:
    """The same from how fast matrices are multiplied at the model's width."""
    device, dtype = context().device, getattr(torch, context().precision)
    width, inner = int(load.config.hidden_size), int(getattr(load.config, "intermediate_size", 0) or 0)
    inner = inner or 4 * int(load.config.hidden_size)
    limit = part_tokens(load.training.part_tokens, device)
    x, w = torch.randn(limit, width, device=device, dtype=dtype), torch.randn(inner, width, device=device, dtype=dtype)
    taken = []
    for _ in range(ROUNDS):
        start = _clocks()
        x @ w.T
        taken.append((_clocks() - start)[0])
    speed = 2 * limit * width * inner / median(taken[1:])
    _, trained = counted(load)
    looked_up = 0 if load.config.tie_word_embeddings else int(load.config.vocab_size) * width  # never multiplied
    forward = 2 * (parameters - looked_up)
    operations = (3 if load.training.recompute else 2) * forward + 2 * trained  # back for states, and for weights
    some = [torch.nn.Parameter(torch.zeros(1 << 20, 4, device=device))]
    optimizer = make_optimizer(some, load.training)
    moved = []
    for _ in range(ROUNDS):
        some[0].grad = torch.ones_like(some[0])
        start = _clocks()
        optimizer.step()
        moved.append((_clocks() - start)[0])
    per_update = median(moved[1:]) * trained / some[0].numel()
    layers = 2 if load.training.recompute else int(load.config.num_hidden_layers)
    kept = limit * layers * (8 * width + 3 * inner) * (torch.finfo(dtype).bits // 8)
    return np.array([operations / (speed * SHARE_OF_PEAK), per_update, 0.0, 0.0, kept])
