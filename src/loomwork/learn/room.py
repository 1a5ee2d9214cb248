"""Do rows fit the model that is to learn them?"""

from __future__ import annotations

from typing import Any

from loomwork.core.errors import InputError


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
