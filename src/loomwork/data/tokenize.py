"""Texts as token ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge

from loomwork.core.artifact import Artifact
from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, require_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BATCH_ROWS = 1024


@step(makes="dataset", uses=["transformers", "tokenizers"], heavy=True)
def tokenize(
    data: Dataset,
    tokenizer: Artifact,
    *,
    column: str = "text",
    max_tokens: Annotated[int, Ge(2)] = 2048,
    long: Literal["split", "truncate", "drop"] = "split",
    ends: bool = True,
    out: Path,
) -> Card:
    """Write texts as token ids: the columns `input_ids` and, where answers are marked, `loss_mask`.

    Rendered conversations (data.render; they have a column `answers`) are read with their control tokens, and
    `loss_mask` is true for the tokens of the answers: what a model is to learn. In other texts the names of control
    tokens are plain characters; the tokenizer's beginning and end tokens are added.

    Args:
        data: rows with a text column.
        tokenizer: a tokenizer, or a model that has one.
        column: the text column.
        max_tokens: the longest row, in tokens.
        long: what becomes of a longer text: further rows, its beginning only, or it is dropped.
        ends: add the beginning and end tokens that the tokenizer has; not for rendered conversations.

    Raises:
        InputError: no text column, or no text gives a token that is kept.
    """
    import pyarrow as pa

    from loomwork.models.chat_template import answer_mask, load_tokenizer

    require_text(data, column)
    reader = load_tokenizer(tokenizer)
    rendered = "answers" in data.schema.names
    wanted = [c for c in ("row_id", column, "answers", "source") if c in data.schema.names]
    tokens = answers = done = cut = 0
    with DatasetWriter(out) as writer:
        for whole in data.tables():
            for start in range(0, len(whole), BATCH_ROWS):
                table = whole[start : start + BATCH_ROWS]
                rows = table.select(wanted).to_pylist()
                found = _encoded(reader, [r[column] or "" for r in rows], rendered=rendered, ends=ends)
                made, origins, dropped = [], [], []
                for i, (row, (ids, offsets)) in enumerate(zip(rows, found, strict=True)):
                    if not ids or (len(ids) > max_tokens and long == "drop"):
                        dropped.append((i, "no tokens" if not ids else f"too long: {len(ids)} tokens"))
                        continue
                    cut += len(ids) > max_tokens and long == "truncate"
                    mask = answer_mask(offsets, row["answers"]) if rendered else None
                    for at in range(0, len(ids) if long == "split" else 1, max_tokens):
                        piece: dict[str, Any] = {"input_ids": ids[at : at + max_tokens]}
                        if mask is not None:
                            piece["loss_mask"] = mask[at : at + max_tokens]
                            answers += sum(piece["loss_mask"])
                        made.append(piece | ({"source": row["source"]} if "source" in row else {}))
                        origins.append(row["row_id"])
                        tokens += len(piece["input_ids"])
                if made:
                    kinds = [("input_ids", pa.list_(pa.int32()))]
                    kinds += [("loss_mask", pa.list_(pa.bool_()))] if rendered else []
                    kinds += [("source", pa.string())] if "source" in wanted else []
                    writer.write(pa.Table.from_pylist(made, schema=pa.schema(kinds)), origins=origins)
                if dropped:
                    writer.drop(table.take(pa.array([i for i, _ in dropped])), [reason for _, reason in dropped])
                done += len(table)
                context().progress(done, len(data), "texts")
    if not tokens:
        raise InputError(f"no text of column {column!r} gives a token that is kept", "look at max_tokens and long")
    counts = {"tokens": tokens, "rows_cut": cut} | ({"answer_tokens": answers} if rendered else {})
    return counted(writer, **{name: float(n) for name, n in counts.items()})


def _encoded(
    reader: PreTrainedTokenizerBase, texts: list[str], *, rendered: bool, ends: bool
) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Token ids of each text, and where each token stands in it."""
    from loomwork.models.chat_template import encode_rendered

    if rendered:
        return encode_rendered(reader, texts)
    found = reader(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)
    first, last = ([i] if ends and i is not None else [] for i in (reader.bos_token_id, reader.eos_token_id))
    return [([*first, *ids, *last] if ids else [], []) for ids in found["input_ids"]]
