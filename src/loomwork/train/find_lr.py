"""Which learning rate? A short run of growing rates on the real objective, before the real run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from loomwork.core.artifact import Model, digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.score import write_json
from loomwork.core.step import Card, Group, step
from loomwork.learn.settings import Adapter, Share, Training

Objective = Literal["texts", "chats", "classes"]


@step(makes="curve", uses=["torch", "transformers", "tokenizers", "numpy"], heavy=True)
def find_lr(
    base: Model,
    data: Dataset,
    *,
    objective: Objective = "texts",
    text: str = "text",
    label: str = "label",
    template: str = "",
    max_tokens: Annotated[int, Ge(8)] = 256,
    batch: Annotated[int, Ge(1)] = 16,
    batch_tokens: Annotated[int, Ge(8)] = 8192,
    smallest: Annotated[float, Gt(0)] = 1e-6,
    largest: Annotated[float, Gt(0)] = 1.0,
    steps: Annotated[int, Ge(20)] = 100,
    optimizer: Literal["adamw", "sgd", "adafactor"] = "adamw",
    beta2: Annotated[float, Gt(0), Lt(1)] = 0.999,
    weight_decay: Annotated[float, Ge(0)] = 0.01,
    clip_norm: Annotated[float, Ge(0)] = 1.0,
    dropout: Share = 0.0,
    part_tokens: Annotated[int, Ge(0)] = 0,
    seed: int = 7,
    tuning: Annotated[Adapter, Group()] = Adapter(),
    out: Path,
) -> Card:
    """Train a copy of a model with a rate that grows from step to step, and see where the loss is lowest.

    Nothing of the copy is kept. The card has `largest_stable`, the rate at which the loss is lowest, and
    `suggested_learning_rate`, a third of it; curve.html shows the curve, and curve.json holds it. The run ends early
    where the loss runs away. Give what the training step is given: another batch, optimizer or adapter has another
    best rate.

    Args:
        base: the model that is to be trained.
        data: what it is to be trained on; of much data, a random part is taken.
        objective: texts, as train.pretrain learns them; chats, as train.sft; classes, as train.classify.
        text: the column of texts and of texts with classes.
        label: the column of classes.
        template: of chats: chatml, llama-3, zephyr or plain; "" for the tokenizer's own.
        max_tokens: of a row; longer texts are cut, longer chats left out.
        batch: rows a step, of chats and classes.
        batch_tokens: of one step, of texts.
        smallest: the first rate.
        largest: the last rate.
        steps: between the two.
        optimizer, beta2, weight_decay, clip_norm, dropout, part_tokens: as of the training step.
        seed: of the order of the rows, of first weights and of dropout.

    Raises:
        InputError: the range is empty, or the data cannot be learned from.

    Source: Smith 2015, arXiv:1506.01186.
    """
    from loomwork.learn.rate_range import range_test
    from loomwork.models.folder import within_context

    if smallest >= largest:
        raise InputError(f"smallest is {smallest} and largest {largest}", "the rates grow from one to the other")
    for setting, is_given, use in (("template", template, "chats"), ("label", label != "label", "classes")):
        if is_given and objective != use:
            raise InputError(f"{setting} is for the objective {use}, and it is {objective}", "leave it out")
    training = Training(
        optimizer=optimizer,
        beta2=beta2,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        part_tokens=part_tokens,
        seed=seed,
    )
    size = batch_tokens if objective == "texts" else batch
    columns = {"texts": [text], "chats": ["messages"], "classes": [text, label]}[objective]
    data.require(*columns)
    data.require_rows()
    wanted = steps * (batch_tokens // FEWEST_TOKENS + 1 if objective == "texts" else batch)
    max_tokens, notes = within_context(base, max_tokens, tuning.tokens_before)
    some = sampled(data, columns, wanted, seed, context().work / "sample")
    given = _Given(base, some, training, tuning, size, max_tokens, dropout)
    if objective == "classes":
        learner, parts_at = _classes(given, text, label)
    else:
        learner, parts_at = _causal(given, text if objective == "texts" else "", template)
    settings = [base.id, data.digest, objective, text, label, template, max_tokens, size, smallest, largest, steps]
    name = "range-" + digest([*settings, dropout, asdict(training), asdict(tuning)])[:16]
    found = range_test(learner, parts_at, training, smallest=smallest, largest=largest, steps=steps, name=name)

    report = {"suggested_learning_rate": found.suggested, **asdict(found), "largest_stable": found.largest_stable}
    write_json(out / "curve.json", report)
    write_page(report, out / "curve.html")
    rates = {"suggested_learning_rate": found.suggested, "largest_stable": found.largest_stable}
    metrics = {name: rate for name, rate in rates.items() if rate is not None}
    return Card(metrics=metrics | {"steps": float(len(found.losses))}, notes=[told(report), *notes])


FEWEST_TOKENS = 8  # that a text is taken to have, for how many of them fill a batch


@dataclass(frozen=True)
class _Given:
    """What both kinds of models are opened and trained with; `size` is of a batch."""

    base: Model
    data: Dataset
    training: Training
    tuning: Adapter
    size: int
    max_tokens: int
    dropout: float


Parts = Callable[[int, int], Sequence[Any]]


def _causal(given: _Given, text: str, template: str) -> tuple[Any, Parts]:
    """The objective and the batches of texts (of a column), or of chats."""
    import torch

    from loomwork.learn.adapters import adapted
    from loomwork.learn.causal import CausalBatches, CausalObjective
    from loomwork.learn.forward import causal_decoder
    from loomwork.learn.model_io import PEFT_TASKS, open_base
    from loomwork.learn.order import RowOrder, TokenOrder
    from loomwork.learn.room import check_room, check_tokens
    from loomwork.learn.sequences import read_chats, read_texts
    from loomwork.models.chat_template import ChatTemplate, load_tokenizer

    seed, device = given.training.seed, context().device
    tokenizer, longest = load_tokenizer(given.base), given.max_tokens
    file = context().work / "range.tokens"
    order: RowOrder | TokenOrder
    if text:
        longest = min(longest, given.size)
        sequences = read_texts(given.data, text, tokenizer, longest, file)
        order = TokenOrder(sequences.lengths, given.size, seed)
    else:
        sequences = read_chats(given.data, ChatTemplate(tokenizer, template), longest, file)
        order = RowOrder(len(sequences), given.size, seed)
    torch.set_num_threads(context().threads)
    model = open_base(given.base, "causal", seed=seed)
    check_tokens(int(sequences.ids.max()), model.get_input_embeddings().num_embeddings)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = adapted(model, given.tuning, PEFT_TASKS["causal"]).to(device)
    check_room(int(sequences.lengths.max()), model)
    dtype = getattr(torch, context().precision)
    decoder, _ = causal_decoder(model, given.tuning, dtype, given.training, dropout=given.dropout)
    return CausalObjective(decoder), CausalBatches(sequences, order, device).parts


def _classes(given: _Given, text: str, label: str) -> tuple[Any, Parts]:
    """The objective and the batches of texts with classes."""
    import torch

    from loomwork.learn.encoder_run import batches_for, open_trained
    from loomwork.learn.objectives import ClassObjective, Outputs
    from loomwork.learn.order import RowOrder
    from loomwork.train.classify import label_config, read_labelled

    labelled = read_labelled(given.base, given.data, text, label, given.max_tokens)
    config = label_config(labelled.classes)
    model = open_trained(given.base, "classes", given.training, given.tuning, dropout=given.dropout, **config)
    outputs = Outputs(model, getattr(torch, context().precision))
    targets, weights = torch.tensor(labelled.targets), torch.tensor(labelled.weights)

    def make(chosen: list[int], step: int) -> dict[str, Any]:
        return {"targets": (targets[chosen], weights[chosen])}

    order = RowOrder(len(labelled.ids), given.size, given.training.seed)
    return ClassObjective(outputs).to(context().device), batches_for(model, labelled.ids, order, make, len).parts


def sampled(data: Dataset, columns: list[str], rows: int, seed: int, folder: Path) -> Dataset:
    """The dataset itself, or of a larger one so many rows at random, in a folder."""
    import numpy as np

    from loomwork.core.dataset import DatasetWriter

    if len(data) <= rows:
        return data
    if not folder.is_dir():
        chosen = np.sort(np.random.default_rng(seed).permutation(len(data))[:rows])
        at, half = 0, folder.with_suffix(".half")
        with DatasetWriter(half) as writer:
            for table in data.tables(columns):
                here = chosen[(chosen >= at) & (chosen < at + len(table))] - at
                writer.write(table.take(here))
                at += len(table)
        half.rename(folder)
    return Dataset(folder)


def told(report: dict[str, Any]) -> str:
    """The result in a sentence."""
    rates, stable = report["rates"], report["largest_stable"]
    if stable is None:
        return f"no rate from {rates[0]:.2g} to {rates[-1]:.2g} lowered the loss beyond its noise: take more steps"
    end = "ran away at" if report["diverged"] else "did not run away up to"
    return (
        f"the loss is lowest at the rate {stable:.2g} and {end} {rates[-1]:.2g}; "
        f"begin with {report['suggested_learning_rate']:.2g}"
    )


def write_page(report: dict[str, Any], path: Path) -> None:
    """Write the curve as one HTML file that needs nothing else."""
    from math import log10

    from loomwork.report.curve import Line, line_chart
    from loomwork.report.page import Figure, KeyFigure, KeyFigures, Page, Section, render
    from loomwork.report.svg import Svg

    logs = [log10(rate) for rate in report["rates"]]
    lines = [
        Line("mean of neighbours", list(zip(logs, report["smoothed"], strict=True)), smooth=False),
        Line("each step", list(zip(logs, report["losses"], strict=True)), smooth=False),
    ]

    def draw(width: int) -> Svg:
        return line_chart(
            lines,
            title="Loss over the learning rate",
            x_label="learning rate, power of 10",
            y_label="loss",
            width=width,
        )

    figures = []
    if report["largest_stable"] is not None:
        figures = [
            KeyFigure("Suggested rate", f"{report['suggested_learning_rate']:.2g}"),
            KeyFigure("Largest stable rate", f"{report['largest_stable']:.2g}", note="the loss is lowest here"),
        ]
    page = Page(
        title="Learning-rate range test",
        kicker="Before a training run",
        lead=told(report).capitalize() + ".",
        blocks=[KeyFigures(figures)] if figures else [],
        sections=[Section("Curve", "The rate grows by one factor a step.", [Figure.of(draw)])],
        footer="Made by Loomwork. This file is complete; its numbers stand in curve.json beside it.",
    )
    path.write_text(render(page), encoding="utf-8")
