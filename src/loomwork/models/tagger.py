"""Words to tags, with any encoder that has an output layer for tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.errors import InputError
from loomwork.models.encoder import load_tokenizer
from loomwork.models.folder import read_about
from loomwork.models.opened import open_outputs, padded_batches

Starts = list[tuple[int, int]]  # the place of a word's first token, and the word's number


def encode_words(tokenizer: Any, sentences: Sequence[Sequence[str]], max_tokens: int) -> list[tuple[list[int], Starts]]:
    """Token ids of sentences that are split into words, and where each word begins.

    A word that gives no token (a control character, say) has no place.
    """
    tokenizer.enable_truncation(max_tokens)
    found = []
    for encoding in tokenizer.encode_batch([list(s) for s in sentences], is_pretokenized=True):
        starts: Starts = []
        seen: set[int] = set()
        for at, word in enumerate(encoding.word_ids):
            if word is not None and word not in seen:
                seen.add(word)
                starts.append((at, word))
        found.append((encoding.ids, starts))
    return found


class Tagger:
    """A trained tagger and its tokenizer. Made by `load_tagger`."""

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int) -> None:
        self.model, self.tokenizer, self.max_tokens = model, tokenizer, max_tokens
        names = model.config.id2label
        self.classes = [str(names.get(i, i)) for i in range(model.config.num_labels)]

    @torch.inference_mode()
    def tags(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """The likeliest tag of each word. A word that no token begins, or beyond what is read, is "O"."""
        encoded = encode_words(self.tokenizer, sentences, self.max_tokens)
        found = [["O"] * len(s) for s in sentences]
        done = 0
        for rows, given, seen in padded_batches(self.model, [ids for ids, _ in encoded]):
            best = self.model(input_ids=given, attention_mask=seen).logits.argmax(-1).cpu()
            for line, row in zip(best.tolist(), rows, strict=True):
                for at, word in encoded[row][1]:
                    found[row][word] = self.classes[line[at]]
            done += len(rows)
            context().progress(done, len(sentences), "sentences")
        return found


def load_tagger(model: Model) -> Tagger:
    """Open a tagger.

    Args:
        model: what train.tag made, or any folder of transformers with an output layer for tokens.

    Raises:
        InputError: it has none.
    """
    config, about = model.read_json("config.json"), read_about(model)
    if not any(name.endswith("ForTokenClassification") for name in config.get("architectures") or []):
        raise InputError(f"the model {model.path} has no output layer of tags", "train.tag makes one")
    opened = open_outputs(model, "AutoModelForTokenClassification")
    return Tagger(opened, load_tokenizer(model), about.max_tokens or config.get("max_position_embeddings") or 512)
