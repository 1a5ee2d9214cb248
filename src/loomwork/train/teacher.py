"""Write down what a teacher says of a dataset's tokens, once, for any number of students."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt

from loomwork.core.artifact import Artifact, Model, digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, Stopped
from loomwork.core.step import Card, step

SHARD_NUMBERS = 16 << 20  # log-probabilities of one file


@dataclass(frozen=True)
class Taught(Artifact):
    """What this step makes, and train.distill takes as `cached`."""

    kind: ClassVar[str] = "logprobs"


@step(makes="logprobs", uses=["torch", "transformers", "tokenizers", "numpy", "pyarrow"], heavy=True)
def teacher(
    teacher: Model,
    data: Dataset,
    *,
    k: Annotated[int, Ge(1)] = 64,
    temperature: Annotated[float, Gt(0)] = 1.0,
    text: str = "text",
    template: str = "",
    max_tokens: Annotated[int, Ge(0)] = 0,
    out: Path,
) -> Card:
    """Compute a causal teacher's likeliest tokens, with their log-probabilities, at every learned place of a dataset.

    train.distill takes it as `cached`, and then needs no teacher. The folder `logprobs` has Parquet files with one
    row for each token row, in order: `row_id`, and for each learned token the k likeliest tokens (`token_ids`) with
    their natural-log probabilities (`log_probabilities`), the likeliest first. A killed run goes on at the file that
    it was at.

    Args:
        teacher: a causal language model.
        data: conversations (`messages`), token rows (`input_ids`) or texts, as train.sft and train.pretrain take.
        k: how many tokens; a share of the vocabulary as small as 64 holds almost all of the probability.
        temperature: that logits are divided by first; train.distill must be given the same.
        text: the column of texts.
        template: of conversations; "" for the tokenizer's own.
        max_tokens: of a row; 0 for what the teacher reads, at most 1,024.

    Raises:
        InputError: the vocabulary is smaller than k, or nothing of the data can be learned.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    from loomwork.learn.causal import CausalBatches
    from loomwork.learn.order import RowOrder
    from loomwork.learn.parts import part_tokens
    from loomwork.learn.room import check_tokens
    from loomwork.learn.teachers import FOLDER, LiveTeacher, LogProbabilities, tokens_digest
    from loomwork.models.cross_entropy import CHUNK_LOGITS, IGNORED
    from loomwork.models.folder import read_about
    from loomwork.train._token_rows import read_learned

    work, device = context().work, context().device
    sequences = read_learned(teacher, data, text, template, max_tokens, work / "tokens")
    live = LiveTeacher(teacher, getattr(torch, context().precision))
    check_tokens(int(sequences.ids.max()), live.vocabulary)
    if k > live.vocabulary:
        raise InputError(f"k is {k}, and the teacher has {live.vocabulary} tokens")
    counts = sequences.target_counts
    batches = CausalBatches(sequences, RowOrder(len(sequences), 1, 0), device)
    limit = part_tokens(0, device)
    size = max(1, CHUNK_LOGITS // live.vocabulary)
    shards = _shards(counts, max(1, SHARD_NUMBERS // k))
    mark = digest([teacher.id, tokens_digest(sequences), k, temperature, context().precision])
    made = work / f"{FOLDER}-{mark[:16]}"  # another run's work in the same folder is not this one's
    made.mkdir(exist_ok=True)
    kept_mass, seen = 0.0, 0

    def compute(rows: range) -> pa.Table:
        starts = np.concatenate([[0], np.cumsum(counts[rows.start : rows.stop])])
        ids, values = np.zeros((starts[-1], k), np.int32), np.zeros((starts[-1], k), np.float32)
        for part in batches.parts_of(rows, limit):
            scored = (part.targets != IGNORED).nonzero().squeeze(1)
            taught = live.of(part, scored).taught
            places = np.concatenate([np.arange(starts[r - rows.start], starts[r - rows.start + 1]) for r in part.rows])
            for at in range(0, len(scored), size):
                logits = taught(at, min(at + size, len(scored)))
                top = (logits.float() / temperature).log_softmax(-1).topk(k)  # type: ignore[union-attr]
                ids[places[at : at + size]] = top.indices.cpu().numpy()
                values[places[at : at + size]] = top.values.cpu().numpy()
        lists = [pa.FixedSizeListArray.from_arrays(a.reshape(-1), k) for a in (ids, values)]
        offsets = pa.array(starts, pa.int32())
        row_ids = pa.array(sequences.row_ids[rows.start : rows.stop], pa.binary(16))
        columns = [row_ids, *(pa.ListArray.from_arrays(offsets, a) for a in lists)]
        return pa.table(columns, ["row_id", "token_ids", "log_probabilities"])

    for number, rows in enumerate(shards):
        file = made / f"{number:05d}.parquet"
        if not file.is_file():
            if context().stop_requested:
                raise Stopped(f"stopped after {number} of {len(shards)} files; they are kept")
            half = file.with_suffix(".half")
            pq.write_table(compute(rows), half, compression="zstd")
            half.replace(file)
        values = pq.read_table(file, columns=["log_probabilities"]).column(0).combine_chunks().flatten().flatten()
        kept_mass, seen = kept_mass + float(np.exp(values.to_numpy()).sum()), seen + len(values) // k
        context().progress(number + 1, len(shards), "files")
    shutil.copytree(made, out / FOLDER)
    about = read_about(teacher)
    LogProbabilities(
        teacher.id, k, live.vocabulary, temperature, tokens_digest(sequences), about.trained_on, about.training_data
    ).save(out)
    return Card(
        metrics={
            "rows": float(len(sequences)),
            "rows_left_out": float(sum(sequences.left_out.values())),
            "learned_tokens": float(seen),
            "mean_probability_kept": kept_mass / max(1, seen),
        },
        notes=[f"left out: {n} rows, {why}" for why, n in sorted(sequences.left_out.items())],
    )


def _shards(counts: Iterable[int], most: int) -> list[range]:
    """Token rows in files of at most so many learned tokens, a row never in two."""
    shards, start, held = [], 0, 0
    row = -1
    for row, count in enumerate(counts):
        if held and held + count > most:
            shards.append(range(start, row))
            start, held = row, 0
        held += int(count)
    shards.append(range(start, row + 1))
    return shards
