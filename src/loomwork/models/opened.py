"""Models of transformers with an output layer, opened to be asked: on the run's device, in float32."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.errors import InputError
from loomwork.models.complete import open_complete
from loomwork.models.encoder import BATCH_TOKENS, Ids, by_length, pad
from loomwork.models.folder import ADAPTER, ADAPTER_CONFIG
from loomwork.models.heap import keep_freed_memory
from loomwork.models.short_attention import set_attention


def open_outputs(model: Model, kind: str) -> Any:
    """Open a model folder.

    Args:
        model: a Hugging Face folder; an adapter that could not be merged, in its folder `adapter`, is put on.
        kind: a class of transformers, AutoModelForTokenClassification, say.

    Raises:
        InputError: it does not open as that, or its output layer has no weights.
    """
    import transformers

    keep_freed_memory()
    torch.set_num_threads(context().threads)
    try:
        opened, _, _ = open_complete(getattr(transformers, kind), model.path)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{model.path} does not open as {kind}: {error}") from error
    set_attention(opened)
    return with_adapter(opened, model).to(context().device).eval()


def padded(model: Any, ids: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of texts and which of them are real, int64 (texts, time), on a model's device, as it reads them."""
    filled, lengths = (torch.from_numpy(a).to(model.device) for a in pad(ids))
    seen = torch.arange(filled.shape[1], device=model.device) < lengths[:, None]
    return filled.masked_fill(~seen, model.config.pad_token_id or 0), seen.long()


def padded_batches(
    model: Any, ids: Sequence[Ids], batch_tokens: int = BATCH_TOKENS
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Texts in batches of like length: for each the numbers of its texts, and what `padded` gives of them.

    Args:
        model: of transformers.
        ids: token ids of each text.
        batch_tokens: of a batch, filling included.
    """
    for rows in by_length([len(i) for i in ids], batch_tokens):
        yield rows, *padded(model, [ids[r] for r in rows])


def with_adapter(opened: Any, model: Model) -> Any:
    """The model with the adapter that could not be merged into its weights, where the folder has one."""
    if not _unmerged(model):
        return opened
    import peft

    return peft.PeftModel.from_pretrained(opened, model.path / ADAPTER)


def refuse_unmerged(model: Model) -> None:
    """Refuse a model of whose weights alone something is to be made, where these are not all that it has learned.

    Raises:
        InputError: it has an adapter that could not be merged into its weights.
    """
    if kind := _unmerged(model):
        raise InputError(
            f"{model.path} has an adapter of the kind {kind}, which is in no weights: it would be lost",
            "take the model that it was trained on, or train that with adapter: lora, say, which is merged",
        )


def _unmerged(model: Model) -> str:
    """peft's name for the kind of an adapter that could not be merged into a model's weights, or ""."""
    config = model.path / ADAPTER / ADAPTER_CONFIG
    kind = json.loads(config.read_bytes()).get("peft_type") if config.is_file() else None
    return kind if kind in UNMERGED else ""


UNMERGED = ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING")
