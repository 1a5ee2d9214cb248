"""Fine-tune an encoder on pairs of texts that belong together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt

from loomwork.core.artifact import Model, digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, Group, step
from loomwork.learn.settings import PAIR_METRICS, Rows, Share, Training, together

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from loomwork.learn.contrastive import PairPart
    from loomwork.models.bert import Bert


@step(makes="model", uses=["torch", "tokenizers", "numpy", "pyarrow"], heavy=True, checks=together(*PAIR_METRICS))
def embed(
    base: Model,
    data: Dataset,
    holdout: Dataset | None = None,
    *,
    query: str = "query",
    passage: str = "passage",
    dropout: Share = 0.0,
    max_tokens: Annotated[int, Ge(3)] = 40,
    freeze_layers: Annotated[int, Ge(0)] | None = 3,
    scale: Annotated[float, Gt(0)] = 20.0,
    rows: Annotated[Rows, Group()] = Rows(epochs=3.0, batch=48),
    training: Annotated[Training, Group()] = Training(learning_rate=5e-5, schedule="linear", warmup_share=0.04),
    out: Path,
) -> Card:
    """Fine-tune an encoder contrastively: a query and its passage come near, all others of the batch move away.

    Two rows with the same query or the same passage are no negatives of each other. Weights and optimizer are
    float32; layers compute in the number format that the runner resolved for this machine. What the frozen layers
    compute is kept on disk while training.

    Args:
        base: a BERT encoder.
        data: the pairs. Rows with an empty side are left out and counted.
        holdout: the same, to watch: `holdout_loss`, and `holdout_mrr_in_batch`, the mean reciprocal rank of each
            query's passage among those of a batch; a batch of another size has other figures.
        query: the column of queries.
        passage: the column of passages.
        dropout: in the layers that are trained.
        max_tokens: how much of each text is read.
        freeze_layers: how many of the lowest layers stay as they are, the embeddings with them; null trains all.
        scale: the inverse of the softmax temperature.

    Raises:
        InputError: a column is missing, there are too few pairs, or the model is no BERT encoder.
    """
    import torch

    from loomwork.learn.contrastive import PairJudge, PairObjective, PairPart
    from loomwork.learn.frozen import FrozenLayers
    from loomwork.learn.loop import fit
    from loomwork.learn.order import RowOrder, save_order
    from loomwork.learn.watch import HeldOut, Watch
    from loomwork.models.bert import own_name
    from loomwork.models.engines.torch import read_tensors
    from loomwork.models.folder import read_about, save_model, taught

    training.check_stop(PAIR_METRICS)
    for given in (data, holdout):
        if given is not None:
            given.require(query, passage)
            given.require_rows()
    about = read_about(base)
    pairs = read_pairs(base, data, query, passage, max_tokens)
    batch = rows.batch
    useless = ("part_tokens", "recompute", "keep_every", "shard", "compile")
    training.refuse(
        "train.embed", useless, "a batch is computed whole in one process, for all of its pairs are negatives"
    )
    if batch < 2:
        raise InputError("a batch of one pair has no negatives", "set batch to 2 or more")
    if len(pairs) < batch:
        raise InputError(f"there are {len(pairs)} usable pairs, fewer than a batch of {batch}", "set a smaller batch")
    torch.set_num_threads(context().threads)
    device, dtype = torch.device(context().device), getattr(torch, context().precision)
    module = open_bert(base, freeze_layers, dropout).to(device)
    count = rows.count(len(pairs))
    reused = count * batch > 1.2 * len(pairs)  # else keeping costs more than it saves
    made: dict[str, Any] = {"step": "train.embed", "base": base.id, "data": data.digest, "steps": count}
    # Without a runner the work folder is shared: what another run left there must not be taken for this one's.
    settings = [query, passage, asdict(rows), asdict(training), dropout, max_tokens, freeze_layers, scale]
    settings.append(holdout.digest if holdout is not None else "")
    mark = digest([made, *settings, str(dtype), str(device)])[:16]
    states = context().work / f"states-{mark}" if reused else None
    below = FrozenLayers(module, pairs.ids, freeze_layers, dtype, states)
    order = RowOrder(len(pairs), batch, training.seed)
    lengths = [len(pairs.ids[2 * r]) + len(pairs.ids[2 * r + 1]) for r in range(len(pairs))]

    def parts_at(step: int, limit: int) -> list[PairPart]:
        chosen = order.at(step)  # never in parts: every pair is a negative of the others
        return [PairPart(chosen, pairs.same(chosen).to(device), sum(lengths[r] for r in chosen))]

    objective = PairObjective(module, below, about.pooling, scale)
    watch = None
    if holdout is not None:
        held = read_pairs(base, holdout, query, passage, max_tokens)
        some = held.batches(batch, training.seed, device)
        file = context().work / f"held-{mark}"
        above = PairObjective(module, FrozenLayers(module, held.ids, freeze_layers, dtype, file), about.pooling, scale)
        judge = PairJudge()
        watch = Watch(HeldOut(above, lambda limit: some, 0, judge), judge=judge, stop_on=training.stop_on)
    history = fit(objective, parts_at, training, steps=count, watch=watch, name=f"embed-{mark}")
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    tensors = {n: trained.get(own_name(n), t) for n, t in read_tensors(base).items()}
    trained_on = taught(about, data, query, passage)
    save_model(out, tensors, base, replace(about, engine="torch", training=made, trained_on=trained_on))
    save_order(out, order, pairs.row_ids, lengths, len(history.losses))
    steps, watched = len(history.losses), watch.card(bool(training.patience)) if watch else {}
    stopped = f"stopped at step {steps} of {count}: no better held-out {training.stop_on} since"
    return Card(
        metrics=watched
        | {
            "steps": steps,
            "epochs": steps * batch / len(pairs),
            "pairs": len(pairs),
            "pairs_left_out": pairs.left_out,
            "texts_cut": pairs.cut,
            "final_loss": history.last_loss(),
            "train_seconds": history.seconds,
            "tokens_per_second": history.tokens / history.seconds if history.seconds else 0.0,
        },
        notes=[stopped] if history.stopped_early else [],
    )


@dataclass
class Pairs:
    """Token ids of the pairs, query and passage by turns, and the number of each distinct text."""

    ids: list[list[int]]
    numbers: list[int]
    row_ids: list[bytes]
    left_out: int
    cut: int

    def __len__(self) -> int:
        return len(self.ids) // 2

    def batches(self, size: int, seed: int, device: torch.device) -> list[PairPart]:
        """A random sample of them in batches, to look at while training; a last one that is not full is left out.

        Raises:
            InputError: they fill no batch.
        """
        import numpy as np

        from loomwork.learn.contrastive import PairPart
        from loomwork.learn.encoder_run import WATCHED_ROWS

        chosen = np.random.default_rng([seed, 1]).permutation(len(self))[:WATCHED_ROWS].tolist()
        some = [chosen[at : at + size] for at in range(0, len(chosen) - size + 1, size)]
        if not some:
            raise InputError(
                f"there are {len(self)} held-out pairs, fewer than a batch of {size}", "set a smaller batch"
            )
        tokens = [sum(len(self.ids[2 * r]) + len(self.ids[2 * r + 1]) for r in rows) for rows in some]
        return [
            PairPart(rows, self.same(rows).to(device), count, 1 / len(some))
            for rows, count in zip(some, tokens, strict=True)
        ]

    def same(self, rows: list[int]) -> Tensor:
        """bool (rows, rows): which pairs have the same query or the same passage."""
        import torch

        queries = torch.tensor([self.numbers[2 * r] for r in rows])
        passages = torch.tensor([self.numbers[2 * r + 1] for r in rows])
        return (queries[:, None] == queries) | (passages[:, None] == passages)


def read_pairs(base: Model, data: Dataset, query: str, passage: str, max_tokens: int) -> Pairs:
    """Read and tokenise the pairs, in the order of the data."""
    from loomwork.models.encoder import encode_counted, load_tokenizer

    tokenizer = load_tokenizer(base)
    pairs = Pairs([], [], [], 0, 0)
    seen: dict[str, int] = {}
    for table in data.tables(columns=[query, passage, "row_id"]):
        columns = zip(*(table.column(n).to_pylist() for n in (query, passage, "row_id")), strict=True)
        good = [(q, p, r) for q, p, r in columns if q and p and q.strip() and p.strip()]
        pairs.left_out += len(table) - len(good)
        pairs.row_ids += [bytes(r) for _, _, r in good]
        texts = [text for q, p, _ in good for text in (q, p)]
        ids, cut = encode_counted(tokenizer, texts, max_tokens)
        pairs.ids += ids
        pairs.cut += cut
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
    from loomwork.models.opened import refuse_unmerged

    refuse_unmerged(base)
    config, about = base.read_json("config.json"), read_about(base)
    shape = Shape.of(config)
    if shape is None or about.task != "embed":
        raise InputError(f"train.embed trains BERT encoders; this is a {config.get('model_type')!r} for {about.task!r}")
    if about.quantization:
        raise InputError("a quantised model cannot be trained", "train first, then quantise")
    if freeze_layers is not None and not 0 <= freeze_layers < shape.layers:
        raise InputError(f"freeze_layers is {freeze_layers}, and the model has {shape.layers} layers")
    return build_bert(replace(shape, dropout=dropout), read_tensors(base))
