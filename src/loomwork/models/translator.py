"""Texts to texts, with any model of transformers that has an encoder and a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.errors import InputError
from loomwork.models.encoder import BATCH_TOKENS
from loomwork.models.folder import read_about
from loomwork.models.opened import open_outputs, padded_batches

PREFIX = "prefix"  # of `training` in loomwork.json: what was put before each source


def open_tokenizer(model: Model) -> Any:
    """The tokenizer of a model folder, by transformers.

    Raises:
        InputError: it does not open, or has no end-of-text token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model.path, local_files_only=True)
    except (OSError, ValueError, ImportError, TypeError) as error:
        raise InputError(
            f"the tokenizer of {model.path} does not open: {error}",
            "write a tokenizer.json with transformers, where its own library is: AutoTokenizer....save_pretrained",
        ) from error
    if tokenizer.eos_token_id is None:
        raise InputError(f"the tokenizer of {model.path} has no end-of-text token: a translation would not end")
    return tokenizer


def encode_sources(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids with the control tokens of the tokenizer. Names of control tokens in texts are plain characters."""
    found: list[list[int]] = tokenizer(list(texts), split_special_tokens=True, verbose=False)["input_ids"]
    return found


def encode_targets(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The same for what is to be written; an end-of-text token is the last."""
    end = tokenizer.eos_token_id
    found = tokenizer(text_target=list(texts), split_special_tokens=True, verbose=False)["input_ids"]
    return [ids if ids[-1:] == [end] else [*ids, end] for ids in found]


class Translator:
    """A trained model and its tokenizer. Made by `load_translator`.

    Args:
        model: of transformers.
        tokenizer: of transformers.
        max_tokens: how much of a source is read.
        prefix: put before each source.
    """

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int, prefix: str) -> None:
        self.model, self.tokenizer, self.max_tokens, self.prefix = model, tokenizer, max_tokens, prefix

    @torch.inference_mode()
    def translate(self, texts: Sequence[str], beams: int = 1, longest_tokens: int = 128) -> list[str]:
        """The likeliest text for each source.

        Args:
            beams: of the search; 1 takes the likeliest token each time.
            longest_tokens: of a translation.
        """
        ids = [i[: self.max_tokens] for i in encode_sources(self.tokenizer, [self.prefix + t for t in texts])]
        found = [""] * len(texts)
        done = 0
        for rows, given, seen in padded_batches(self.model, ids, BATCH_TOKENS // beams):
            written = self.model.generate(
                input_ids=given,
                attention_mask=seen,
                num_beams=beams,
                do_sample=False,
                max_new_tokens=longest_tokens,
                pad_token_id=self.model.config.pad_token_id or 0,
            )
            said = self.tokenizer.batch_decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for row, text in zip(rows, said, strict=True):
                found[row] = text.strip()
            done += len(rows)
            context().progress(done, len(texts), "texts")
        return found


def load_translator(model: Model) -> Translator:
    """Open a model with an encoder and a decoder.

    Args:
        model: what train.translate made, or any such folder of transformers.

    Raises:
        InputError: it is none.
    """
    config, about = model.read_json("config.json"), read_about(model)
    if not config.get("is_encoder_decoder"):
        raise InputError(f"the model {model.path} has no encoder and decoder", "train.translate makes one")
    limit = about.max_tokens or config.get("max_position_embeddings") or 512
    prefix = str(about.training.get(PREFIX, ""))
    return Translator(open_outputs(model, "AutoModelForSeq2SeqLM"), open_tokenizer(model), limit, prefix)
