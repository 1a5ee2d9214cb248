"""Train a language model on plain text: from fresh weights, or further."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, Group, step
from loomwork.learn.settings import Adapter, Share, Training, made_parts, together


@step(
    makes="model",
    uses=["torch", "transformers", "tokenizers", "numpy"],
    heavy=True,
    parallel=True,
    parts=made_parts,
    checks=together(),
)
def pretrain(
    base: Model,
    data: Dataset,
    holdout: Dataset | None = None,
    *,
    text: str = "text",
    tokens: Annotated[int, Ge(0)] = 0,
    context_tokens: Annotated[int, Ge(0)] = 0,
    batch_tokens: Annotated[int, Ge(8)] = 8192,
    dropout: Share = 0.0,
    training: Annotated[Training, Group()] = Training(learning_rate=3e-4, floor=0.1, beta2=0.95, weight_decay=0.1),
    tuning: Annotated[Adapter, Group()] = Adapter(),
    out: Path,
) -> Card:
    """Train a causal language model on texts: a fresh one of train.init, or any other further.

    Texts begin and end with their control tokens. A batch's texts lie one after another without padding, attention
    stays inside each, and positions begin anew: a text's loss is the one it has alone. A longer text is cut, each
    piece beginning with the last token of the one before. Several sources are mixed beforehand, by data.mix.
    The folder opens in transformers. On CPU, the same inputs give the same bytes.

    Args:
        base: the model to begin with.
        data: the texts to train on.
        holdout: texts on which the loss is watched, as the series `holdout_bits_per_byte`: of a sample, the pieces
            of a long text each alone, ends counted.
        text: the column that holds the texts, in both.
        tokens: how many tokens are predicted in training, to the nearest batch; 0 for one pass over the data, more
            than the data has means epochs.
        context_tokens: the most that is read at once; 0 for what the model reads, at most 2,048.
        batch_tokens: of one step.
        dropout: of what layers add.

    Raises:
        InputError: no text, a tokenizer that does not fit the model, or a setting out of range.

    Source: Krell et al. 2021, arXiv:2107.02027 (packing).
    """
    from loomwork.learn.causal_run import run_causal
    from loomwork.learn.order import TokenOrder
    from loomwork.learn.room import check_texts
    from loomwork.learn.sequences import read_texts
    from loomwork.learn.written import about_trained, write_trained
    from loomwork.models.chat_template import load_tokenizer
    from loomwork.models.folder import read_context, within_context

    training.check_stop()
    for given in (data, holdout):
        if given is not None:
            check_texts(given, text)
    most = read_context(base)
    if context_tokens == 1 or context_tokens > most:
        raise InputError(f"context_tokens is {context_tokens}, and the model reads 2 to {most}", "or 0 for its own")
    longest, notes = within_context(base, context_tokens or min(2048, most), tuning.tokens_before)
    notes = [note.replace("max_tokens", "context_tokens") for note in notes]
    if longest > batch_tokens:
        raise InputError(f"batch_tokens is {batch_tokens} and context_tokens {longest}", "a batch holds at least one")
    tokenizer = load_tokenizer(base)
    work = context().work
    sequences = read_texts(data, text, tokenizer, longest, work / "train.tokens")
    held = None if holdout is None else read_texts(holdout, text, tokenizer, longest, work / "holdout.tokens")
    order = TokenOrder(sequences.lengths, batch_tokens, training.seed)
    epoch = int(sequences.target_counts.sum())
    steps = max(1, round((tokens or epoch) / (epoch / order.steps_per_epoch)))
    run = run_causal(
        base,
        sequences,
        order,
        steps,
        training,
        tuning,
        holdout=held,
        bits=held.target_counts.sum() / held.text_bytes if held else 0.0,
        dropout=dropout,
        mark=["pretrain", data.digest, text, longest, batch_tokens],
    )
    about = about_trained("train.pretrain", base, data, [text], training)
    steps = write_trained(
        run, base, "causal", about, tuning, out, order=order, row_ids=sequences.row_ids, lengths=sequences.lengths
    )
    trained = steps * epoch / order.steps_per_epoch
    return Card(
        metrics=run.metrics
        | {"trained_tokens": float(round(trained)), "epochs": trained / epoch, "filled_share": order.filled},
        notes=[*run.notes, *notes],
    )
