"""Let a reader answer questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step


@step(makes="dataset", uses=["torch", "transformers", "tokenizers"], heavy=True)
def answer(
    data: Dataset,
    model: Model,
    *,
    question: str = "question",
    context: str = "context",
    prediction: str = "prediction",
    longest_tokens: Annotated[int, Ge(1)] = 30,
    least_margin: float | None = None,
    out: Path,
) -> Card:
    """Answer questions with spans of their contexts: the rows as they are, with two more columns. evals.squad scores.

    The column `prediction_margin` says how much better the span is than no answer (a difference of sums of logits).

    Args:
        data: questions and the texts that they are about.
        model: what train.answer made, or a folder of transformers' AutoModelForQuestionAnswering.
        question: the column of questions.
        context: the column of texts.
        prediction: the new column; empty where there is no answer.
        longest_tokens: of an answer.
        least_margin: below it the answer is empty. null: 0 if the model has learned questions without an answer, and
            else every question gets one.

    Raises:
        InputError: a column is missing, a question or context is no text, or the model is no reader.
    """
    import pyarrow as pa

    from loomwork.models.reader import load_reader

    data.require(question, context)
    data.require_rows()
    reader = load_reader(model)
    least = (0.0 if reader.abstains else float("-inf")) if least_margin is None else least_margin
    margin, empty = f"{prediction}_margin", 0
    with DatasetWriter(out) as writer:
        for table in data.tables():
            asked, texts = (table.column(name).to_pylist() for name in (question, context))
            for name, values in ((question, asked), (context, texts)):
                if not all(isinstance(v, str) for v in values):
                    raise InputError(f"column {name!r} has rows without a text", "leave such rows out first")
            found = reader.best(asked, texts, longest_tokens)
            said = [one.text if one.margin >= least else "" for one in found]
            empty += said.count("")
            kept = table.drop_columns([n for n in (prediction, margin) if n in table.column_names])
            kept = kept.append_column(prediction, pa.array(said, pa.string()))
            kept = kept.append_column(margin, pa.array([one.margin for one in found], pa.float64()))
            writer.write(kept, origins=table.column("row_id"))
    return Card({"rows": float(writer.counts["data"]), "rows_without_an_answer": float(empty)})
