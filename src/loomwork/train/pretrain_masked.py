"""Train an encoder on plain text by masked language modelling: from fresh weights, or further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
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
def pretrain_masked(
    base: Model,
    data: Dataset,
    holdout: Dataset | None = None,
    *,
    text: str = "text",
    hidden_share: Annotated[float, Gt(0), Lt(1)] = 0.15,
    max_tokens: Annotated[int, Ge(8)] = 128,
    dropout: Share = 0.1,
    rows: Annotated[Rows, Group()] = Rows(epochs=1.0, batch=32),
    training: Annotated[Training, Group()] = Training(),
    tuning: Annotated[Adapter, Group()] = Adapter(),
    out: Path,
) -> Card:
    """Teach an encoder to tell hidden tokens of texts from those around them: a fresh one of train.init, or any other.

    Of the hidden tokens eight in ten are masked, one is replaced by a random one, and one stays. They are drawn anew
    at each step, from the seed and the step alone; control tokens are never hidden. The folder opens in transformers'
    AutoModelForMaskedLM, and is an encoder still: train.embed, train.classify and the others take it.

    Args:
        base: an encoder. Its tokenizer needs a token that masks; an output layer that it has not begins at random.
        data: the texts. Rows without one are left out and counted.
        holdout: texts on which the loss is watched, as the series `holdout_loss`; always with the same tokens hidden.
        text: the column that holds the texts, in both.
        hidden_share: of each text's tokens, to the nearest token, at least one.
        max_tokens: of a piece; a longer text is cut into several.
        dropout: everywhere in the model.

    Raises:
        InputError: no text, a tokenizer without a mask, or a model without such an output layer.

    Source: Devlin et al. 2018, arXiv:1810.04805.
    """
    import torch

    from loomwork.learn.encoder_run import batches_for, open_trained, run_encoder
    from loomwork.learn.masked import MaskedObjective, Pieces, read_pieces, read_special
    from loomwork.learn.objectives import Outputs
    from loomwork.learn.order import RowOrder
    from loomwork.learn.padded import pad_targets
    from loomwork.learn.parts import fewer_for_logits, part_tokens
    from loomwork.learn.room import check_texts
    from loomwork.learn.written import about_trained, write_trained
    from loomwork.models.cross_entropy import IGNORED
    from loomwork.models.encoder import load_tokenizer
    from loomwork.models.folder import within_context

    training.check_stop()
    special = read_special(base)
    longest, notes = within_context(base, max_tokens, tuning.tokens_before)

    def read(given: Dataset, name: str) -> Pieces:
        check_texts(given, text)
        return read_pieces(given, text, load_tokenizer(base), special, longest, context().work / name)

    pieces = read(data, "train.tokens")
    held = None if holdout is None else read(holdout, "holdout.tokens")
    model = open_trained(base, "masked", training, tuning, dropout=dropout)
    objective = MaskedObjective(Outputs(model, getattr(torch, context().precision)))
    limit = part_tokens(training.part_tokens, context().device)
    sized = replace(training, part_tokens=fewer_for_logits(limit, hidden_share, special.vocabulary))

    def batches(given: Pieces) -> Any:
        def make(chosen: list[int], step: int) -> dict[str, Any]:
            made = [given.masked(piece, hidden_share, training.seed, step) for piece in chosen]
            return {"ids": [ids for ids, _ in made], "targets": pad_targets([t for _, t in made], IGNORED)}

        def weigh(chosen: Sequence[int]) -> float:
            return sum(given.hidden(piece, hidden_share) for piece in chosen)

        order = RowOrder(len(given), rows.batch, training.seed)
        return batches_for(model, given, order, make, weigh)

    steps = rows.count(len(pieces))
    taken = batches(pieces)
    settings = ["masked", base.id, data.digest, text, hidden_share, longest, dropout, asdict(rows)]
    run = run_encoder(model, objective, taken, batches(held) if held else None, steps, sized, tuning, settings)
    about = about_trained("train.pretrain_masked", base, data, [text], training)
    steps = write_trained(
        run, base, "masked", about, tuning, out, order=taken.order, row_ids=pieces.row_ids, lengths=pieces.lengths
    )
    counted = {
        "epochs": steps * rows.batch / len(pieces),
        "rows": len(set(pieces.row_ids)),
        "rows_left_out": pieces.left_out,
        "rows_cut": pieces.cut,
        "pieces": len(pieces),
    }
    return Card(run.metrics | {n: float(v) for n, v in counted.items()}, notes=[*run.notes, *notes])
