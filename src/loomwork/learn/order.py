"""Which rows a training step sees: a pure function of the step, so that a run can be resumed, and looked up."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from loomwork.stats.bins import best_fit


class RowOrder:
    """So many rows a step. Every epoch is its own permutation of all rows; a batch may span two.

    Args:
        rows: how many rows there are.
        batch: how many one step takes.
        seed: of the permutations.
    """

    def __init__(self, rows: int, batch: int, seed: int) -> None:
        self.rows, self.batch, self.seed = rows, batch, seed

    def at(self, step: int) -> list[int]:
        """The rows of one step's batch, from step 0 on."""
        places = range(step * self.batch, (step + 1) * self.batch)
        return [int(_permutation(self.seed, p // self.rows, self.rows)[p % self.rows]) for p in places]

    def steps_of(self, row: int, steps: int) -> list[int]:
        """The steps, of the first `steps`, that see a row."""
        epochs = -(-steps * self.batch // self.rows)
        places = [
            epoch * self.rows + int(np.flatnonzero(_permutation(self.seed, epoch, self.rows) == row)[0])
            for epoch in range(epochs)
        ]
        return [p // self.batch for p in places if p // self.batch < steps]


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, rows: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(rows)


class TokenOrder:
    """Batches of about as many tokens each: every epoch packs all rows anew, by best fit.

    Args:
        lengths: of the rows, in tokens.
        tokens: of a batch, at least the longest row.
        seed: of the orders.
    """

    def __init__(self, lengths: np.ndarray, tokens: int, seed: int) -> None:
        self.lengths, self.tokens, self.seed = lengths, tokens, seed
        self.epoch = lru_cache(maxsize=2)(self._epoch)
        self.steps_per_epoch = len(self.epoch(0))

    @property
    def filled(self) -> float:
        """The share of a batch's tokens that is used, on average."""
        return float(self.lengths.sum()) / (self.steps_per_epoch * self.tokens)

    def _epoch(self, number: int) -> list[list[int]]:
        """The batches of an epoch. Every epoch has as many."""
        order = np.random.default_rng([self.seed, number])
        shuffled = order.permutation(len(self.lengths))
        batches = best_fit(self.lengths[shuffled], self.tokens)
        return [[int(shuffled[i]) for i in batches[b]] for b in order.permutation(len(batches))]

    def at(self, step: int) -> list[int]:
        """The rows of one step's batch, from step 0 on."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self.epoch(epoch)[place]

    def steps_of(self, row: int, steps: int) -> list[int]:
        """The steps, of the first `steps`, that see a row."""
        return [step for step in range(steps) if row in self.at(step)]


FOLDER = "order"  # of a model: which rows each step of its training saw


def save_order(out: Path, order: RowOrder | TokenOrder, row_ids: list[bytes], lengths: Any, steps: int) -> None:
    """Write the order of a run into a model folder.

    Args:
        out: the model folder.
        order: of the run.
        row_ids: of the dataset, for each row that was trained on.
        lengths: of these rows, in tokens.
        steps: of the run.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = {"batch": order.batch} if isinstance(order, RowOrder) else {"batch_tokens": order.tokens}
    (out / FOLDER).mkdir()
    about = {**kind, "seed": order.seed, "steps": steps}
    (out / FOLDER / "order.json").write_text(json.dumps(about, sort_keys=True) + "\n", encoding="utf-8")
    table = pa.table({"row_id": pa.array(row_ids, pa.binary(16)), "tokens": pa.array(lengths, pa.int32())})
    pq.write_table(table, out / FOLDER / "rows.parquet", compression="zstd")


def positions(model: Path, row_ids: Collection[bytes]) -> list[int]:
    """The steps of a model's training that saw any of some rows of its data, from 0.

    Args:
        model: a folder that train/ made.
        row_ids: of the dataset that it was trained on; others are passed over.

    Raises:
        FileNotFoundError: the model does not say.
    """
    import pyarrow.parquet as pq

    about = json.loads((model / FOLDER / "order.json").read_bytes())
    table = pq.read_table(model / FOLDER / "rows.parquet")
    ids = table.column("row_id").to_pylist()
    order: RowOrder | TokenOrder
    if "batch" in about:
        order = RowOrder(len(ids), about["batch"], about["seed"])
    else:
        order = TokenOrder(table.column("tokens").to_numpy(), about["batch_tokens"], about["seed"])
    pieces = [i for i, found in enumerate(ids) if found in row_ids]
    return sorted({step for piece in pieces for step in order.steps_of(piece, about["steps"])})
