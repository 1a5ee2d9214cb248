"""Let a tagger predict."""

from __future__ import annotations

from pathlib import Path

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step


@step(makes="dataset", uses=["torch", "transformers", "tokenizers"], heavy=True)
def tag(data: Dataset, model: Model, *, words: str = "tokens", prediction: str = "prediction", out: Path) -> Card:
    """Tag the words of sentences: the rows as they are, with one more column of predicted tags. evals.ner scores them.

    Args:
        data: sentences as lists of words.
        model: what train.tag made, or a folder of transformers' AutoModelForTokenClassification.
        words: the column of words.
        prediction: the new column.

    Raises:
        InputError: the column is missing or holds something else, or the model is no tagger.
    """
    import pyarrow as pa

    from loomwork.models.tagger import load_tagger

    data.require(words)
    data.require_rows()
    tagger = load_tagger(model)
    with DatasetWriter(out) as writer:
        for table in data.tables():
            sentences = table.column(words).to_pylist()
            if any(not isinstance(s, list) for s in sentences):
                raise InputError(
                    f"column {words!r} does not hold lists of words", "data.read makes them of CoNLL files"
                )
            found = tagger.tags([[str(w) for w in s] for s in sentences])
            kept = table.drop_columns([prediction]) if prediction in table.column_names else table
            ids = table.column("row_id")
            writer.write(kept.append_column(prediction, pa.array(found, pa.list_(pa.string()))), origins=ids)
    return Card({"rows": float(writer.counts["data"])})
