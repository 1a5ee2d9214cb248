"""Fine-tune a model to answer questions with a span of a text (extractive question answering)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.context import context as running
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, Group, step
from loomwork.learn.settings import SPAN_METRICS, Adapter, Rows, Share, Training, made_parts, together

if TYPE_CHECKING:
    import numpy as np

NOWHERE = (-1, -1)
NOT_FOUND = "the answer is not in the context"


@step(
    makes="model",
    uses=["torch", "transformers", "tokenizers", "safetensors", "numpy"],
    heavy=True,
    parallel=True,
    parts=made_parts,
    checks=together(*SPAN_METRICS),
)
def answer(
    base: Model,
    data: Dataset,
    holdout: Dataset | None = None,
    *,
    question: str = "question",
    context: str = "context",
    answers: str = "answers",
    dropout: Share = 0.1,
    max_tokens: Annotated[int, Ge(32)] = 384,
    overlap_tokens: Annotated[int, Ge(0)] = 128,
    rows: Annotated[Rows, Group()] = Rows(epochs=2.0, batch=16),
    training: Annotated[Training, Group()] = Training(schedule="linear"),
    tuning: Annotated[Adapter, Group()] = Adapter(),
    out: Path,
) -> Card:
    """Train a model with an output layer for the first and the last token of an answer.

    A long context is read in windows that overlap. Where a window does not hold the answer, or there is none, its
    first token is the right one. The folder opens in transformers' AutoModelForQuestionAnswering; evals.answer
    predicts with it, and evals.squad scores.

    Args:
        base: an encoder.
        data: questions, such as data.read makes of SQuAD's files with reader=squad.
        holdout: the same, to watch: `holdout_loss`, and `holdout_windows_right`, the share of windows in which
            the model finds both ends of the answer.
        question: the column of questions.
        context: the column of texts that are asked about.
        answers: the column of right answers: {text: [...], answer_start: [...]}, a list of texts or one text; the
            first one is learned. None of them means that the context has no answer. Without a place, it is where the
            text first occurs. A row whose answer is not in its context is left out and counted.
        dropout: everywhere in the model.
        max_tokens: of a window, with the question, which has at most a quarter of it.
        overlap_tokens: of two windows that follow one another; at most half of max_tokens.

    Raises:
        InputError: a column is missing, or no row can be learned from.

    Source: Devlin et al. 2018, arXiv:1810.04805 (spans, and the first token for no answer); Rajpurkar et al. 2018,
    arXiv:1806.03822 (SQuAD 2.0).
    """
    import numpy as np
    import torch

    from loomwork.learn.encoder_run import batches_for, open_trained, run_encoder
    from loomwork.learn.judges import SpanJudge
    from loomwork.learn.objectives import Outputs, SpanObjective
    from loomwork.learn.order import RowOrder
    from loomwork.learn.padded import pad_targets
    from loomwork.learn.written import about_trained, write_trained
    from loomwork.models.folder import within_context
    from loomwork.models.reader import UNANSWERABLE, reads_types

    training.check_stop(SPAN_METRICS)
    columns = (question, context, answers)
    max_tokens, notes = within_context(base, max_tokens, tuning.tokens_before)
    asked = read_questions(base, data, columns, max_tokens, overlap_tokens)
    held = None if holdout is None else read_questions(base, holdout, columns, max_tokens, overlap_tokens)
    config = {"num_labels": 2}
    model = open_trained(base, "spans", training, tuning, dropout=dropout, **config)
    objective = SpanObjective(Outputs(model, getattr(torch, running().precision)))
    segments = reads_types(model)

    def batches(given: Asked) -> Any:
        places = np.array(given.places, np.int64)

        def make(chosen: list[int], step: int) -> dict[str, Any]:
            types = pad_targets([given.types[r] for r in chosen], 0)
            wanted = torch.from_numpy(places[chosen])
            return {"targets": (wanted[:, 0], wanted[:, 1]), "more": {"token_type_ids": types} if segments else {}}

        order = RowOrder(len(given.ids), rows.batch, training.seed)
        return batches_for(model, given.ids, order, make, len)

    steps = rows.count(len(asked.ids))
    taken = batches(asked)
    settings = [base.id, data.digest, columns, dropout, max_tokens, overlap_tokens, asdict(rows)]
    watched, mark = batches(held) if held else None, ["answer", *settings]
    run = run_encoder(model, objective, taken, watched, steps, training, tuning, mark, judge=SpanJudge())
    more = {"overlap_tokens": overlap_tokens, UNANSWERABLE: asked.unanswerable}
    about = about_trained("train.answer", base, data, columns, training, **more)
    about = replace(about, task="answer", engine="torch", max_tokens=max_tokens)
    lengths = [len(i) for i in asked.ids]
    steps = write_trained(
        run, base, "spans", about, tuning, out,
        order=taken.order, row_ids=asked.row_ids, lengths=lengths, config=config,
    )  # fmt: skip
    counted = {
        "epochs": steps * rows.batch / len(asked.ids),
        "rows": len(set(asked.row_ids)),
        "rows_left_out": sum(asked.left_out.values()),
        "questions_without_an_answer": asked.unanswerable,
        "windows": len(asked.ids),
        "windows_without_the_answer": sum(place == (0, 0) for place in asked.places),
    }
    notes += [f"left out: {n} rows, {why}" for why, n in sorted(asked.left_out.items())]
    return Card(run.metrics | {n: float(v) for n, v in counted.items()}, notes=[*run.notes, *notes])


@dataclass(frozen=True)
class Asked:
    """The windows of all questions, in the order of the data.

    Args:
        ids: token ids of each.
        types: segments of these tokens.
        places: first and last token of the answer; (0, 0) where it is not in the window.
        row_ids: of the dataset, for each window.
        left_out: how many rows could not be learned from, by reason.
        unanswerable: how many questions have no answer.
    """

    ids: list[np.ndarray]
    types: list[np.ndarray]
    places: list[tuple[int, int]]
    row_ids: list[bytes]
    left_out: dict[str, int]
    unanswerable: int


def read_questions(
    base: Model, data: Dataset, columns: tuple[str, str, str], max_tokens: int, overlap_tokens: int
) -> Asked:
    """Read and tokenise questions, and find their answers.

    Args:
        columns: of questions, contexts and answers.

    Raises:
        InputError: nothing can be learned from.
    """
    from loomwork.models.encoder import load_tokenizer
    from loomwork.models.reader import encode_windows

    data.require(*columns)
    data.require_rows()
    tokenizer = load_tokenizer(base)
    asked = Asked([], [], [], [], {}, 0)
    without = 0
    for batch in data.batches([*columns, "row_id"], rows=1024):
        good: list[tuple[str, str, tuple[int, int], bytes]] = []
        for row in batch.to_pylist():
            one, text, right = (row[c] for c in columns)
            if not (isinstance(one, str) and one.strip() and isinstance(text, str) and text.strip()):
                why: str | tuple[int, int] = "no question or no context"
            else:
                why = _place(text, right)
            if isinstance(why, str):
                asked.left_out[why] = asked.left_out.get(why, 0) + 1
            else:
                good.append((one, text, why, bytes(row["row_id"])))
        without += sum(span == NOWHERE for _, _, span, _ in good)
        questions, contexts = [q for q, _, _, _ in good], [c for _, c, _, _ in good]
        for window in encode_windows(tokenizer, questions, contexts, max_tokens, overlap_tokens):
            _, _, span, row_id = good[window.row]
            asked.ids.append(window.ids)
            asked.types.append(window.types)
            asked.places.append(window.place(*span))
            asked.row_ids.append(row_id)
    if not asked.ids:
        reasons = "; ".join(f"{n} rows: {why}" for why, n in asked.left_out.items())
        raise InputError(f"no row can be learned from: {reasons}", "data.read reader=squad reads the files of SQuAD")
    return replace(asked, unanswerable=without)


def _place(text: str, right: Any) -> tuple[int, int] | str:
    """The characters of the first answer, NOWHERE if there is none, or why it cannot be learned."""
    starts: Any = None
    if isinstance(right, dict):
        right, starts = right.get("text"), right.get("answer_start")
    found = [right] if isinstance(right, str) else list(right or [])
    if not found:
        return NOWHERE
    first = found[0]
    if not isinstance(first, str) or not first.strip():
        return "an answer is no text"
    begin = starts[0] if starts else None
    if begin is None or text[begin : begin + len(first)] != first:
        begin = text.find(first)
    return (begin, begin + len(first)) if begin >= 0 else NOT_FOUND
