"""Train a model with an encoder and a decoder on pairs of texts: translation, summaries, corrections."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, Group, step
from loomwork.learn.settings import Adapter, Rows, Share, Training, made_parts, together


@step(
    makes="model",
    uses=["torch", "transformers", "tokenizers", "safetensors", "numpy"],
    heavy=True,
    parallel=True,
    parts=made_parts,
    checks=together(),
)
def translate(
    base: Model,
    data: Dataset,
    holdout: Dataset | None = None,
    *,
    source: str = "source",
    target: str = "target",
    prefix: str = "",
    dropout: Share = 0.1,
    label_smoothing: Share = 0.1,
    max_tokens: Annotated[int, Ge(4)] = 128,
    rows: Annotated[Rows, Group()] = Rows(epochs=3.0, batch=32),
    training: Annotated[Training, Group()] = Training(schedule="linear"),
    tuning: Annotated[Adapter, Group()] = Adapter(),
    out: Path,
) -> Card:
    """Train an encoder-decoder model to write a target for each source.

    A batch's pairs are computed in groups of like length. The folder opens in transformers' AutoModelForSeq2SeqLM;
    evals.translate writes with it, and evals.translation scores.

    Args:
        base: such a model (T5, BART, Marian, ...), or a fresh one of train.init with architecture: bart.
        data: pairs. Those with an empty side, or one that is too long, are left out and counted.
        holdout: the same, to watch the loss on, as the series `holdout_loss`.
        source: the column of what is read.
        target: the column of what is to be written.
        prefix: put before each source, as T5 needs it: "translate English to German: ". evals.translate puts it too.
        dropout: everywhere in the model.
        label_smoothing: how much of each target is spread over the vocabulary.
        max_tokens: of a side, control tokens included.

    Raises:
        InputError: a column is missing, no pair can be learned from, or the model has no encoder and decoder.

    Source: Vaswani et al. 2017, arXiv:1706.03762.
    """
    import torch

    from loomwork.learn.encoder_run import open_trained, run_encoder
    from loomwork.learn.objectives import Outputs, TokenObjective
    from loomwork.learn.order import RowOrder
    from loomwork.learn.parts import fewer_for_logits, part_tokens
    from loomwork.learn.seq2seq import PairBatches, TextPairs, read_text_pairs
    from loomwork.learn.written import about_trained, write_trained
    from loomwork.models.folder import within_context
    from loomwork.models.translator import PREFIX, open_tokenizer

    training.check_stop()
    config = base.read_json("config.json")
    if not config.get("is_encoder_decoder"):
        raise InputError(f"the model {base.path} has no encoder and decoder", "train.init with architecture: bart")
    tokenizer = open_tokenizer(base)
    longest, notes = within_context(base, max_tokens, tuning.tokens_before)
    columns = (source, target)
    pairs = read_text_pairs(data, columns, tokenizer, prefix, longest)
    held = None if holdout is None else read_text_pairs(holdout, columns, tokenizer, prefix, longest)
    model = open_trained(base, "seq2seq", training, tuning, dropout=dropout)
    inside = model.get_base_model() if hasattr(model, "peft_config") else model
    outputs = Outputs(model, getattr(torch, context().precision))
    objective = TokenObjective(outputs, None, label_smoothing)
    limit = part_tokens(training.part_tokens, context().device)
    sized = replace(training, part_tokens=fewer_for_logits(limit, 0.5, inside.config.vocab_size))

    def batches(given: TextPairs) -> PairBatches:
        order = RowOrder(len(given), rows.batch, training.seed)
        shift = inside.prepare_decoder_input_ids_from_labels
        return PairBatches(given, order, shift, context().device, inside.config.pad_token_id or 0)

    steps = rows.count(len(pairs))
    taken = batches(pairs)
    settings = ["translate", base.id, data.digest, columns, prefix, dropout, label_smoothing, longest, asdict(rows)]
    run = run_encoder(model, objective, taken, batches(held) if held else None, steps, sized, tuning, settings)
    about = about_trained("train.translate", base, data, columns, training, **{PREFIX: prefix})
    about = replace(about, task="translate", max_tokens=longest)
    steps = write_trained(
        run, base, "seq2seq", about, tuning, out, order=taken.order, row_ids=pairs.row_ids, lengths=pairs.lengths
    )
    counted = {
        "epochs": steps * rows.batch / len(pairs),
        "rows": len(pairs),
        "rows_left_out": sum(pairs.left_out.values()),
        "target_tokens_per_epoch": sum(len(t) for t in pairs.targets),
    }
    notes += [f"left out: {n} rows, {why}" for why, n in sorted(pairs.left_out.items())]
    return Card(run.metrics | {n: float(v) for n, v in counted.items()}, notes=[*run.notes, *notes])
