"""Fine-tune an encoder on pairs of texts that belong together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from loomwork.core.artifact import Model, digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step

if TYPE_CHECKING:
    from torch import Tensor

    from loomwork.models.bert import Bert


@step(makes="model", uses=["torch", "tokenizers", "numpy"], heavy=True)
def embed(
    base: Model,
    data: Dataset,
    *,
    query: str = "query",
    passage: str = "passage",
    steps: int = 0,
    epochs: Annotated[float, Gt(0)] = 3.0,
    batch: Annotated[int, Ge(2)] = 48,
    learning_rate: Annotated[float, Gt(0)] = 5e-5,
    schedule: Literal["linear", "cosine", "constant", "wsd"] = "linear",
    warmup_steps: int = 10,
    weight_decay: float = 0.01,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    max_tokens: Annotated[int, Ge(3)] = 40,
    freeze_layers: int | None = 3,
    scale: float = 20.0,
    seed: int = 7,
    out: Path,
) -> Card:
    """Fine-tune an encoder contrastively: a query and its passage come near, all others of the batch move away.

    Two rows with the same query or the same passage are no negatives of each other. Weights and optimizer are
    float32; layers compute in the number format that the runner resolved for this machine. What the frozen layers
    compute is kept on disk while training.

    Args:
        base: a BERT encoder.
        data: the pairs. Rows with an empty side are left out and counted.
        query: the column of queries.
        passage: the column of passages.
        steps: how many batches; 0 for `epochs`.
        epochs: how often every pair is seen, where `steps` is 0.
        batch: pairs a step; more of them make more negatives.
        learning_rate: at the peak of the schedule.
        schedule: how the rate goes on after the warm-up.
        warmup_steps: over how many steps the rate rises.
        weight_decay: of matrices.
        dropout: in the layers that are trained.
        max_tokens: how much of each text is read.
        freeze_layers: how many of the lowest layers stay as they are, the embeddings with them; null trains all.
        scale: the inverse of the softmax temperature.
        seed: of the order of the pairs and of dropout.

    Raises:
        InputError: a column is missing, there are too few pairs, or the model is no BERT encoder.
    """
    import torch

    from loomwork.learn.contrastive import contrastive_loss
    from loomwork.learn.frozen import FrozenLayers, vectors_of
    from loomwork.learn.loop import fit
    from loomwork.learn.order import rows_at
    from loomwork.models.bert import own_name
    from loomwork.models.engines.torch import read_tensors
    from loomwork.models.folder import read_about, save_model, taught

    data.require(query, passage)
    data.require_rows()
    about = read_about(base)
    pairs = read_pairs(base, data, query, passage, max_tokens)
    if len(pairs) < max(2, batch):
        raise InputError(f"there are {len(pairs)} usable pairs, fewer than a batch of {batch}", "set a smaller batch")
    torch.set_num_threads(context().threads)
    device, dtype = torch.device(context().device), getattr(torch, context().precision)
    module = open_bert(base, freeze_layers, dropout).to(device)
    count = steps or max(1, math.ceil(epochs * len(pairs) / batch))
    reused = count * batch > 1.2 * len(pairs)  # else keeping costs more than it saves
    training: dict[str, Any] = {"step": "train.embed", "base": base.id, "data": data.digest, "steps": count}
    # Without a runner the work folder is shared: what another run left there must not be taken for this one's.
    settings = [query, passage, batch, learning_rate, schedule, warmup_steps, weight_decay, dropout, max_tokens]
    mark = digest([training, *settings, freeze_layers, scale, seed, str(dtype), str(device)])[:16]
    states = context().work / f"states-{mark}" if reused else None
    below = FrozenLayers(module, pairs.ids, freeze_layers, dtype, states)

    def rows_of(step: int) -> list[int]:
        return rows_at(step, rows=len(pairs), batch=batch, seed=seed)

    def loss_at(step: int) -> Tensor:
        rows = rows_of(step)
        vectors = vectors_of(module, below, [2 * r for r in rows] + [2 * r + 1 for r in rows], about.pooling)
        return contrastive_loss(vectors[:batch], vectors[batch:], scale, pairs.same(rows).to(device))

    def tokens_at(step: int) -> int:
        return sum(len(pairs.ids[2 * r]) + len(pairs.ids[2 * r + 1]) for r in rows_of(step))

    history = fit(
        module,
        loss_at,
        steps=count,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        seed=seed,
        tokens_at=tokens_at,
        name=f"embed-{mark}",
    )
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    tensors = {n: trained.get(own_name(n), t) for n, t in read_tensors(base).items()}
    trained_on = taught(about, data, query, passage)
    save_model(out, tensors, base, replace(about, engine="torch", training=training, trained_on=trained_on))
    return Card(
        metrics={
            "steps": count,
            "epochs": count * batch / len(pairs),
            "pairs": len(pairs),
            "pairs_left_out": pairs.left_out,
            "final_loss": history.last_loss(),
            "train_seconds": history.seconds,
            "tokens_per_second": history.tokens / history.seconds if history.seconds else 0.0,
        }
    )


@dataclass
class Pairs:
    """Token ids of the pairs, query and passage by turns, and the number of each distinct text."""

    ids: list[list[int]]
    numbers: list[int]
    left_out: int

    def __len__(self) -> int:
        return len(self.ids) // 2

    def same(self, rows: list[int]) -> Tensor:
        """bool (rows, rows): which pairs have the same query or the same passage."""
        import torch

        queries = torch.tensor([self.numbers[2 * r] for r in rows])
        passages = torch.tensor([self.numbers[2 * r + 1] for r in rows])
        return (queries[:, None] == queries) | (passages[:, None] == passages)


def read_pairs(base: Model, data: Dataset, query: str, passage: str, max_tokens: int) -> Pairs:
    """Read and tokenise the pairs, in the order of the data."""
    from loomwork.models.encoder import encode, load_tokenizer

    tokenizer = load_tokenizer(base)
    pairs = Pairs([], [], 0)
    seen: dict[str, int] = {}
    for table in data.tables(columns=[query, passage]):
        columns = zip(table.column(query).to_pylist(), table.column(passage).to_pylist(), strict=True)
        good = [(q, p) for q, p in columns if q and p and q.strip() and p.strip()]
        pairs.left_out += len(table) - len(good)
        texts = [text for pair in good for text in pair]
        pairs.ids += encode(tokenizer, texts, max_tokens)
        pairs.numbers += [seen.setdefault(text, len(seen)) for text in texts]
    return pairs


def open_bert(base: Model, freeze_layers: int | None, dropout: float) -> Bert:
    """The model, ready to be trained.

    Raises:
        InputError: it is another kind of model, or has no layer left to train.
    """
    from loomwork.models.bert import Shape
    from loomwork.models.engines.torch import build_bert, read_tensors
    from loomwork.models.folder import read_about

    config, about = base.read_json("config.json"), read_about(base)
    shape = Shape.of(config)
    if shape is None or about.task != "embed":
        raise InputError(f"train.embed trains BERT encoders; this is a {config.get('model_type')!r} for {about.task!r}")
    if about.quantization:
        raise InputError("a quantised model cannot be trained", "train first, then quantise")
    if freeze_layers is not None and not 0 <= freeze_layers < shape.layers:
        raise InputError(f"freeze_layers is {freeze_layers}, and the model has {shape.layers} layers")
    return build_bert(replace(shape, dropout=dropout), read_tensors(base))
