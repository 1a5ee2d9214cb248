"""Instruction tuning: teach a language model to answer as the conversations of a dataset do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.step import Card, Group, step
from loomwork.learn.settings import Adapter, Rows, Share, Training, made_parts, together


@step(
    makes="model",
    uses=["torch", "transformers", "tokenizers", "numpy"],
    heavy=True,
    parallel=True,
    parts=made_parts,
    checks=together(),
)
def sft(
    base: Model,
    data: Dataset,
    holdout: Dataset | None = None,
    *,
    template: str = "",
    max_tokens: Annotated[int, Ge(8)] = 1024,
    label_smoothing: Share = 0.0,
    dropout: Share = 0.0,
    rows: Annotated[Rows, Group()] = Rows(epochs=2.0),
    training: Annotated[Training, Group()] = Training(),
    tuning: Annotated[Adapter, Group()] = Adapter(),
    out: Path,
) -> Card:
    """Tune a causal language model on conversations; what the assistant says is learned, its end mark with it.

    A batch's conversations lie one after another without padding, attention stays inside each. The chat template is
    saved with the model, so that whoever serves it writes prompts as they were in training.

    Args:
        base: the model to begin with.
        data: conversations, as data.chat makes them (`messages`), or token rows of data.tokenize (`input_ids`, and
            `loss_mask` where only some are learned). A conversation that is too long is left out and counted: cut,
            it would teach an answer without its end.
        holdout: the same, to watch the loss on, as the series `holdout_loss`.
        template: chatml, llama-3, zephyr or plain; "" for the tokenizer's own.
        max_tokens: of a conversation, control tokens included.
        label_smoothing: how much of each target is spread over the vocabulary.
        dropout: of what layers add.

    Raises:
        InputError: no conversation can be learned from, the tokenizer has no template and none is named, or it does
            not fit the model.

    Source: Wei et al. 2021, arXiv:2109.01652 (instruction tuning).
    """
    from loomwork.learn.causal_run import run_causal
    from loomwork.learn.distributed import rank
    from loomwork.learn.order import RowOrder
    from loomwork.learn.sequences import Sequences, read_chats, read_token_rows
    from loomwork.learn.written import about_trained, write_trained
    from loomwork.models.chat_template import ChatTemplate, load_tokenizer, save_chat
    from loomwork.models.folder import within_context
    from loomwork.train._token_rows import refuse_raw_chats

    training.check_stop()
    tokenizer = load_tokenizer(base)
    longest, notes = within_context(base, max_tokens, tuning.tokens_before)
    columns = ("messages",) if "messages" in data.schema.names else ("input_ids",)
    refuse_raw_chats(data, columns[0], template)
    chats = ChatTemplate(tokenizer, template) if columns == ("messages",) else None

    def read(given: Dataset, name: str) -> Sequences:
        given.require(*columns)
        given.require_rows()
        file = context().work / name
        return read_chats(given, chats, longest, file) if chats else read_token_rows(given, longest, file)

    sequences = read(data, "train.tokens")
    held = None if holdout is None else read(holdout, "holdout.tokens")
    order = RowOrder(len(sequences), rows.batch, training.seed)
    steps = rows.count(len(sequences))
    run = run_causal(
        base,
        sequences,
        order,
        steps,
        training,
        tuning,
        holdout=held,
        dropout=dropout,
        smoothing=label_smoothing,
        mark=["sft", data.digest, template, longest, asdict(rows)],
    )
    about = about_trained("train.sft", base, data, columns, training)
    steps = write_trained(
        run, base, "causal", about, tuning, out, order=order, row_ids=sequences.row_ids, lengths=sequences.lengths
    )
    if chats and not rank():
        save_chat(chats, out)
    return Card(metrics=run.metrics | {"epochs": steps * rows.batch / len(sequences)}, notes=[*run.notes, *notes])
