"""What a teacher of a causal language model says of tokens: computed as they are asked for, or read from an artifact.

A teacher is no torch module of the run: the loop would train it, and write it into every checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loomwork.core.artifact import Artifact, Model
from loomwork.core.errors import InputError
from loomwork.learn.causal import TokenPart
from loomwork.learn.distill_loss import Taught
from loomwork.learn.distributed import from_first
from loomwork.learn.divergence import Top
from loomwork.learn.sequences import Sequences
from loomwork.models.families import not_covered
from loomwork.models.flat_decoder import FlatDecoder
from loomwork.models.opened import open_outputs
from loomwork.models.plain_decoder import PlainDecoder

FOLDER, ABOUT = "logprobs", "logprobs.json"  # of an artifact of log-probabilities


@dataclass(frozen=True)
class Given:
    """What a teacher says of the scored tokens of a part.

    Args:
        taught: its logits, or its likeliest tokens, of some of them.
        states: after each layer that is compared (scored tokens, width).
    """

    taught: Taught
    states: list[Tensor]


class LiveTeacher:
    """Computes what it is asked, without dropout, in the same precision as the student.

    Args:
        model: of the teacher.
        dtype: of the matrix products.
        layers: after which its states are wanted.

    Raises:
        InputError: states are wanted, and transformers' own forward pass has to run the model.
    """

    def __init__(self, model: Model, dtype: torch.dtype, layers: Sequence[int] = ()) -> None:
        opened = open_outputs(model, "AutoModelForCausalLM").requires_grad_(False)
        self.model, self.layers = opened, tuple(layers)
        reason = not_covered(opened)
        if reason and layers:
            raise InputError(f"hidden states of the teacher cannot be compared: {reason}", "set hidden_weight: 0")
        self.decoder: FlatDecoder | PlainDecoder
        self.decoder = PlainDecoder(opened, dtype) if reason else FlatDecoder(opened, dtype)
        self.decoder.eval()

    @property
    def width(self) -> int:
        """Of its states."""
        return int(self.model.config.hidden_size)

    @property
    def vocabulary(self) -> int:
        """How many tokens its logits are of."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    def of(self, part: TokenPart, scored: Tensor) -> Given:
        """What it says of the scored tokens (their places in the part)."""
        if isinstance(self.decoder, PlainDecoder):
            with torch.no_grad():
                logits = self.decoder.logits(part.flat, scored)
            return Given(lambda start, end: logits[start:end], [])
        with torch.no_grad():
            *between, last = (s.index_select(0, scored) for s in self.decoder.states(part.flat, self.layers))
        head = self.model.get_output_embeddings().weight
        return Given(lambda start, end: last[start:end] @ head.to(last.dtype).T, between)


@dataclass(frozen=True)
class LogProbabilities:
    """What `logprobs.json` of an artifact says.

    Args:
        teacher: the id of the model that gave them.
        k: how many there are of each learned token.
        vocabulary: of the teacher.
        temperature: that its logits were divided by.
        tokens: digest of the token rows that they belong to.
        trained_on, training_data: of the teacher, as its `loomwork.json` says.
    """

    teacher: str
    k: int
    vocabulary: int
    temperature: float
    tokens: str
    trained_on: list[dict[str, Any]]
    training_data: list[str] | None

    def save(self, out: Path) -> None:
        (out / ABOUT).write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def of(cls, cached: Artifact) -> LogProbabilities:
        """Read it.

        Raises:
            InputError: the artifact is none of log-probabilities.
        """
        if not (cached.path / ABOUT).is_file():
            raise InputError(f"{cached.path} has no {ABOUT}", "train.teacher makes what `cached` takes")
        return cls(**cached.read_json(ABOUT))


class CachedTeacher:
    """Reads what train.teacher has written.

    Args:
        cached: the artifact.
        sequences: the token rows of the run.
        file: where it is laid out for reading in any order; written anew.
        temperature: that the run wants.

    Raises:
        InputError: it is of other token rows, or of another temperature.
    """

    def __init__(self, cached: Artifact, sequences: Sequences, file: Path, temperature: float) -> None:
        import pyarrow.parquet as pq

        self.about = LogProbabilities.of(cached)
        if self.about.tokens != tokens_digest(sequences):
            raise InputError(
                "the cached log-probabilities are of other token rows",
                "give train.teacher the same data, columns, template, max_tokens and tokenizer",
            )
        if not math.isclose(self.about.temperature, temperature):
            raise InputError(
                f"the cached log-probabilities are of temperature {self.about.temperature:g}, the run's is "
                f"{temperature:g}",
                "what lies beyond the likeliest tokens is not known, so they cannot be softened afterwards",
            )
        counts = sequences.target_counts
        self.starts = np.concatenate([[0], np.cumsum(counts)])
        shape, names = (int(self.starts[-1]), self.about.k), ("token_ids", "log_probabilities")
        files = [file.with_suffix(suffix) for suffix in (".ids", ".values")]

        def lay_out() -> None:
            with open(files[0], "wb") as ids, open(files[1], "wb") as values:
                for shard in sorted((cached.path / FOLDER).glob("*.parquet")):
                    for batch in pq.ParquetFile(shard).iter_batches(256, columns=list(names)):
                        for stream, name in ((ids, names[0]), (values, names[1])):
                            batch.column(name).flatten().flatten().to_numpy().tofile(stream)

        from_first(lay_out)
        self.ids = np.memmap(files[0], np.int32, "r", shape=shape)
        self.values = np.memmap(files[1], np.float32, "r", shape=shape)

    def of(self, part: TokenPart, scored: Tensor) -> Given:
        """What it says of the scored tokens of a part."""
        places = np.concatenate([np.arange(self.starts[r], self.starts[r + 1]) for r in part.rows])

        def taught(start: int, end: int) -> Top:
            some = places[start:end]
            ids, values = torch.from_numpy(self.ids[some]).long(), torch.from_numpy(self.values[some])
            return Top(ids.to(scored.device), values.to(scored.device))

        return Given(taught, [])


Teacher = LiveTeacher | CachedTeacher


def tokens_digest(sequences: Sequences) -> str:
    """sha256 of token rows: the tokens, which of them are learned, and where each row begins and ends."""
    found = hashlib.sha256()
    for array in (sequences.ids, sequences.learned, sequences.starts, sequences.ends):
        for at in range(0, len(array), 1 << 22):
            found.update(array[at : at + (1 << 22)].tobytes())
        found.update(b"|")
    return found.hexdigest()
