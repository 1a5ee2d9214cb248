"""Texts to vectors, with any encoder model, on the engine that its `loomwork.json` names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.errors import InputError, MissingDependency
from loomwork.models.engines import EncoderEngine, find_engine
from loomwork.models.folder import About, read_about

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH_TOKENS = 2048  # of one call of the engine, padding included: what stays in a core's cache
Ids = list[int]


class Encoder:
    """An encoder and its tokenizer. Made by `load_encoder`.

    Args:
        about: what the model's `loomwork.json` says.
        tokenizer: truncation is set anew at every call.
        engine: computes the vectors.
    """

    def __init__(self, about: About, tokenizer: Tokenizer, engine: EncoderEngine) -> None:
        self.about, self.tokenizer, self.engine = about, tokenizer, engine

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self.engine.dim

    def embed(
        self, texts: Sequence[str], *, max_tokens: int | None = None, batch_tokens: int = BATCH_TOKENS
    ) -> np.ndarray:
        """The vectors of texts. A text's vector does not depend on the texts beside it, but for float noise.

        Args:
            texts: any strings; an empty one has a vector too, of its control tokens.
            max_tokens: how much of each text is read, control tokens included; None for what the model says.
            batch_tokens: of one call of the engine, padding included.

        Returns: float32 (texts, dim), each of length 1.
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        ids = encode(self.tokenizer, texts, max_tokens or self.about.max_tokens)
        done = 0
        for rows in by_length([len(i) for i in ids], batch_tokens):
            vectors[rows] = self.engine.embed(*pad([ids[r] for r in rows]))
            done += len(rows)
            if len(texts) > 256:
                context().progress(done, len(texts), "texts")
        return vectors


def load_encoder(model: Model, *, threads: int | None = None) -> Encoder:
    """Open an encoder model.

    Args:
        model: a model folder whose task is "embed".
        threads: of the engine; None for what the running step may use.

    Raises:
        InputError: it is no encoder, or has no tokenizer.json.
    """
    about = read_about(model)
    if about.task != "embed":
        raise InputError(f"the model {model.path} is for the task {about.task!r}, not for embedding")
    if not about.normalised:
        raise InputError(f"the model {model.path} has vectors that are not normalised, which is not supported")
    tokenizer = load_tokenizer(model)
    engine: EncoderEngine = find_engine(about.engine).encoder(model, about, threads or context().threads)
    return Encoder(about, tokenizer, engine)


def load_tokenizer(model: Model) -> Tokenizer:
    """The tokenizer of a model folder, without importing transformers."""
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise MissingDependency("embedding", "tokenizers", "models") from error
    if not (model.path / "tokenizer.json").is_file():
        raise InputError(
            f"the model {model.path} has no tokenizer.json",
            "write one with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        )
    tokenizer: Tokenizer = Tokenizer.from_file(str(model.file("tokenizer.json")))
    tokenizer.no_padding()
    return tokenizer


def encode(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[Ids]:
    """The token ids of each text, control tokens added, cut after `max_tokens`."""
    tokenizer.enable_truncation(max_tokens)
    return [e.ids for e in tokenizer.encode_batch_fast(list(texts))]


def encode_counted(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> tuple[list[Ids], int]:
    """The same, and how many of the texts were cut."""
    tokenizer.enable_truncation(max_tokens)
    found = tokenizer.encode_batch_fast(list(texts))
    return [e.ids for e in found], sum(bool(e.overflowing) for e in found)


def encode_pieces(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[Ids]]:
    """The token ids of each text in pieces of at most `max_tokens`, each with its control tokens."""
    tokenizer.enable_truncation(max_tokens)
    return [[e.ids, *(more.ids for more in e.overflowing)] for e in tokenizer.encode_batch_fast(list(texts))]


def by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows in batches of like length, the longest first, each of at most `batch_tokens` tokens with its padding."""
    rows = sorted(range(len(lengths)), key=lambda r: (-lengths[r], r))
    start = 0
    while start < len(rows):
        size = max(1, batch_tokens // max(1, lengths[rows[start]]))
        yield rows[start : start + size]
        start += size


def pad(ids: Sequence[Ids]) -> tuple[np.ndarray, np.ndarray]:
    """Token ids (batch, time), with zeros on the right, and the lengths (batch)."""
    lengths = np.array([len(i) for i in ids], np.int64)
    padded = np.zeros((len(ids), int(lengths.max(initial=0))), np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = [t for i in ids for t in i]
    return padded, lengths
