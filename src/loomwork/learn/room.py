"""Do rows fit the model that is to learn them?"""

from __future__ import annotations

from typing import Any

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.models.encoder import load_tokenizer


def check_tokens(largest: int, vocabulary: int) -> None:
    """Refuse a tokenizer that does not fit the model.

    Args:
        largest: the largest token of all rows.
        vocabulary: rows of the model's embedding.

    Raises:
        InputError: it has no row there.
    """
    if largest >= vocabulary:
        raise InputError(
            f"the tokenizer gives the token {largest}, and the model has {vocabulary} of them",
            "take the model's own tokenizer, or train.extend to add tokens to both",
        )


def check_texts(data: Dataset, column: str) -> None:
    """Refuse a column that holds no texts.

    Raises:
        InputError: the dataset has no rows, or not that column, or it holds something else.
    """
    import pyarrow as pa

    data.require(column)
    data.require_rows()
    found = data.schema.field(column).type
    inner = found.value_type if pa.types.is_dictionary(found) else found
    if not any(test(inner) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)):
        numbers = pa.types.is_integer(inner) or pa.types.is_floating(inner)
        what = "numbers" if numbers else f"no texts but {inner}"
        texts = [f.name for f in data.schema if pa.types.is_string(f.type)]
        hint = f"name a column of texts: {', '.join(texts)}" if texts else "name a column of texts"
        raise InputError(f"column {column!r} holds {what}", hint)


def tokens_note(base: Model, vocabulary: int) -> list[str]:
    """A note on a tokenizer that knows more tokens than its model has rows for; none where there is no tokenizer."""
    if not (base.path / "tokenizer.json").is_file():
        return []
    known = max(load_tokenizer(base).get_vocab().values(), default=-1) + 1
    if known <= vocabulary:
        return []
    return [f"the tokenizer knows {known:,} tokens, and the model {vocabulary:,}: a text with one of the others fails"]


def check_room(longest: int, model: Any) -> None:
    """Refuse rows that leave no room in the model's context for the states that a prompt adapter puts in front.

    Args:
        longest: tokens of the longest row.
        model: of transformers, or peft's around it.

    Raises:
        InputError: they do not.
    """
    config = getattr(model, "active_peft_config", None)
    if config is None or not config.is_prompt_learning:
        return
    most = getattr(model.config, "max_position_embeddings", None)
    if most and longest + config.num_virtual_tokens > most:
        before = config.num_virtual_tokens
        raise InputError(
            f"a row has {longest} tokens; with {before} virtual ones before it the model reads {most}",
            f"make rows of at most {most - before} tokens, or set virtual_tokens to fewer",
        )
