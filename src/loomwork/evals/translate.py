"""Let a model translate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step


@step(makes="dataset", uses=["torch", "transformers", "tokenizers"], heavy=True)
def translate(
    data: Dataset,
    model: Model,
    *,
    source: str = "source",
    prediction: str = "prediction",
    beams: Annotated[int, Ge(1)] = 1,
    longest_tokens: Annotated[int, Ge(1)] = 128,
    out: Path,
) -> Card:
    """Translate texts: the rows as they are, with one more column. evals.translation scores, with reference=target.

    Args:
        data: texts.
        model: what train.translate made, or a folder of transformers' AutoModelForSeq2SeqLM.
        source: the column of texts.
        prediction: the new column.
        beams: of the search; 1 takes the likeliest token each time.
        longest_tokens: of a translation.

    Raises:
        InputError: the column is missing or has rows without a text, or the model has no encoder and decoder.
    """
    import pyarrow as pa

    from loomwork.models.translator import load_translator

    data.require(source)
    data.require_rows()
    translator = load_translator(model)
    with DatasetWriter(out) as writer:
        for table in data.tables():
            texts = table.column(source).to_pylist()
            if not all(isinstance(text, str) for text in texts):
                raise InputError(f"column {source!r} has rows without a text", "leave such rows out first")
            said = translator.translate(texts, beams, longest_tokens)
            kept = table.drop_columns([prediction]) if prediction in table.column_names else table
            kept = kept.append_column(prediction, pa.array(said, pa.string()))
            writer.write(kept, origins=table.column("row_id"))
    return Card({"rows": float(writer.counts["data"])})
