"""Fine-tune an encoder to classify texts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from loomwork.core.artifact import Model, digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MOST_CLASSES = 1000


@step(makes="model", uses=["torch", "tokenizers", "safetensors", "numpy"], heavy=True)
def classify(
    base: Model,
    data: Dataset,
    *,
    text: str = "text",
    label: str = "label",
    epochs: Annotated[float, Gt(0)] = 2.0,
    steps: int = 0,
    batch: Annotated[int, Ge(1)] = 32,
    learning_rate: Annotated[float, Gt(0)] = 1e-4,
    schedule: Literal["linear", "cosine", "constant", "wsd"] = "linear",
    warmup_share: Annotated[float, Ge(0), Lt(1)] = 0.06,
    weight_decay: float = 0.01,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0,
    class_weights: Literal["none", "balanced"] = "none",
    freeze_layers: int | None = None,
    max_tokens: Annotated[int, Ge(3)] = 128,
    seed: int = 7,
    out: Path,
) -> Card:
    """Train a BERT encoder and a head of classes on labelled texts.

    A batch's texts are computed in groups of like length, so that hardly anything is padding. Weights and optimizer
    are float32; layers compute in the number format that the runner resolved for this machine. What frozen layers
    compute is kept on disk. The folder opens in transformers as BertForSequenceClassification, and
    evals.classification scores it.

    Args:
        base: a BERT encoder.
        data: the texts. Rows without a text or a label are left out and counted.
        text: their column.
        label: the column of classes, of any plain type; the classes are those that occur.
        epochs: how often every row is seen, where `steps` is 0.
        steps: how many batches; 0 for `epochs`.
        batch: texts a step.
        learning_rate: at the peak of the schedule.
        schedule: how the rate goes on after the warm-up.
        warmup_share: over which share of the steps the rate rises.
        weight_decay: of matrices.
        dropout: in the layers that are trained, and before the classifier.
        label_smoothing: how much of the target is spread over all classes.
        class_weights: "balanced" weighs each row by the inverse frequency of its class, for classes of unequal size.
        freeze_layers: how many of the lowest layers stay as they are, the embeddings with them; null trains all.
        max_tokens: how much of each text is read.
        seed: of the order, the head's first weights and dropout.

    Raises:
        InputError: a column is missing, there are fewer than two classes, or the model is no BERT encoder.

    Source: Devlin et al. 2018, arXiv:1810.04805; King and Zeng (2001) for the balanced weights.
    """
    import torch
    from torch.nn import functional as F

    from loomwork.learn.frozen import FrozenLayers
    from loomwork.learn.loop import fit
    from loomwork.learn.order import rows_at
    from loomwork.models.bert import own_name
    from loomwork.models.classifier import TASK, Head
    from loomwork.models.engines.torch import read_tensors
    from loomwork.models.folder import read_about, save_model, taught
    from loomwork.train.embed import open_bert

    data.require(text, label)
    data.require_rows()
    about = read_about(base)
    labelled = read_labelled(base, data, text, label, max_tokens)
    torch.set_num_threads(context().threads)
    device, dtype = torch.device(context().device), getattr(torch, context().precision)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        head = Head(int(base.read_json("config.json")["hidden_size"]), len(labelled.classes), dropout)
    tensors = {own_name(n): t for n, t in read_tensors(base).items()}
    if "pooler.dense.weight" in tensors:
        head.pooler.load_state_dict({k: tensors[f"pooler.dense.{k}"].float() for k in ("weight", "bias")})
    module = torch.nn.ModuleDict({"bert": open_bert(base, freeze_layers, dropout), "head": head}).to(device)
    bert: Any = module["bert"]
    count = steps or max(1, math.ceil(epochs * len(labelled.ids) / batch))
    settings = [text, label, batch, learning_rate, schedule, warmup_share, weight_decay, dropout, label_smoothing]
    settings += [class_weights, freeze_layers, max_tokens, seed, count, str(dtype), str(device)]
    mark = digest([base.id, data.digest, *settings])[:16]  # another run's work in the same folder is not this one's
    below = FrozenLayers(bert, labelled.ids, freeze_layers, dtype, context().work / f"states-{mark}")
    weights = _weights(labelled, class_weights).to(device)
    targets = torch.tensor(labelled.targets, device=device)

    def rows_of(number: int) -> list[int]:
        return rows_at(number, rows=len(labelled.ids), batch=batch, seed=seed)

    def loss_at(number: int) -> Tensor:
        rows = rows_of(number)
        cast = {n: p.to(dtype) for n, p in bert.named_parameters() if p.requires_grad}
        total = torch.zeros((), device=device)
        share = weights[targets[rows]].sum()
        for places, hidden, lengths in below.groups(rows):
            call: Any = torch.func.functional_call
            states = call(_States(bert), {f"bert.{n}": p for n, p in cast.items()}, (hidden, lengths, below.first))
            wanted = targets[[rows[p] for p in places]]
            losses = F.cross_entropy(
                head(states[:, 0].float()), wanted, reduction="none", label_smoothing=label_smoothing
            )
            total = total + (losses * weights[wanted]).sum() / share
        return total

    history = fit(
        module,
        loss_at,
        steps=count,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup_steps=round(warmup_share * count),
        weight_decay=weight_decay,
        seed=seed,
        tokens_at=lambda number: sum(len(labelled.ids[r]) for r in rows_of(number)),
        name=f"classify-{mark}",
    )
    trained = {n: p for n, p in bert.named_parameters() if p.requires_grad}
    made = {f"bert.{n}": trained.get(n, t) for n, t in tensors.items() if not n.startswith(("pooler.", "classifier."))}
    made |= {f"bert.pooler.dense.{k}": getattr(head.pooler, k) for k in ("weight", "bias")}
    made |= {f"classifier.{k}": getattr(head.classifier, k) for k in ("weight", "bias")}
    save_model(
        out,
        {n: t for n, t in made.items() if t.is_floating_point()},
        base,
        replace(
            about,
            task=TASK,
            engine="torch",
            max_tokens=max_tokens,
            training={"step": "train.classify", "base": base.id, "data": data.digest, "steps": count},
            trained_on=taught(about, data, text, label),
        ),
    )
    _write_config(base, labelled.classes, out)
    return Card(
        metrics={
            "steps": count,
            "epochs": count * batch / len(labelled.ids),
            "rows": len(labelled.ids),
            "rows_left_out": labelled.left_out,
            "classes": len(labelled.classes),
            "final_loss": history.last_loss(),
            "train_seconds": history.seconds,
            "tokens_per_second": history.tokens / history.seconds if history.seconds else 0.0,
        },
        notes=[f"classes: {', '.join(labelled.classes[:20])}"],
    )


class Labelled:
    """Token ids of the texts, the number of each one's class, and the classes' names in order."""

    def __init__(self, ids: list[list[int]], targets: list[int], classes: list[str], left_out: int) -> None:
        self.ids, self.targets, self.classes, self.left_out = ids, targets, classes, left_out


def read_labelled(base: Model, data: Dataset, text: str, label: str, max_tokens: int) -> Labelled:
    """Read and tokenise the texts, in the order of the data.

    Raises:
        InputError: there are fewer than two classes, or more than 1,000.
    """
    from loomwork.models.encoder import encode, load_tokenizer

    tokenizer = load_tokenizer(base)
    ids: list[list[int]] = []
    labels: list[str] = []
    left_out = 0
    for table in data.tables([text, label]):
        pairs = list(zip(table.column(text).to_pylist(), table.column(label).to_pylist(), strict=True))
        good = [(t, str(c)) for t, c in pairs if isinstance(t, str) and t.strip() and c is not None and str(c).strip()]
        left_out += len(pairs) - len(good)
        ids += encode(tokenizer, [t for t, _ in good], max_tokens)
        labels += [c for _, c in good]
    classes = sorted(set(labels))
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise InputError(
            f"column {label!r} has {len(classes)} classes",
            "between 2 and 1,000 are needed; is it the right column, and has it values?",
        )
    place = {name: i for i, name in enumerate(classes)}
    return Labelled(ids, [place[c] for c in labels], classes, left_out)


def _weights(labelled: Labelled, kind: str) -> torch.Tensor:
    """The weight of a row of each class, 1 on average over rows.  # (classes,)"""
    import torch

    counts = torch.bincount(torch.tensor(labelled.targets), minlength=len(labelled.classes)).float()
    return counts.sum() / (len(counts) * counts) if kind == "balanced" else torch.ones(len(counts))


def _write_config(base: Model, classes: list[str], out: Path) -> None:
    config = base.read_json("config.json") | {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {str(i): name for i, name in enumerate(classes)},
        "label2id": {name: i for i, name in enumerate(classes)},
        "problem_type": "single_label_classification",
    }
    file = out / "config.json"
    file.unlink()  # it may be a link to the base's
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def _States(bert: Any) -> torch.nn.Module:
    """A module whose call is the encoder's layers: functional_call replaces the weights of a call."""
    import torch

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, hidden: Tensor, lengths: Tensor, first: int) -> Tensor:
            states: Tensor = self.bert.states(hidden, lengths, first)
            return states

    return States()
