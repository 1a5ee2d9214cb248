"""Our loop on packed batches against transformers' Trainer on padded ones, step by step."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import transformers
from torch.utils.data import SequentialSampler

from loomwork.core.context import Context, use_context
from loomwork.learn.causal import CausalBatches, CausalObjective
from loomwork.learn.loop import fit
from loomwork.learn.order import RowOrder
from loomwork.learn.schedule import make_schedule
from loomwork.learn.sequences import Sequences
from loomwork.learn.settings import Training
from loomwork.models.cross_entropy import IGNORED
from loomwork.models.flat_decoder import FlatDecoder
from loomwork.models.plain_decoder import PlainDecoder
from tests.models.small_decoders import small

STEPS, BATCH = 50, 6


class Recorded(transformers.Trainer):
    """A Trainer that takes the rows in the order that they are given in, and keeps every step's loss."""

    def _get_train_sampler(self, *args: object) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def training_step(self, *args, **given):
        loss = super().training_step(*args, **given)
        self.losses = [*getattr(self, "losses", []), float(loss)]
        return loss


def rows_that_teach() -> Sequences:
    """Rows that count up by a step of their own; of some only the end is learned."""
    draw = np.random.default_rng(0)
    rows = [(draw.integers(0, 97) + np.arange(n) * draw.integers(1, 4)) % 97 for n in draw.integers(4, 30, 40)]
    lengths = np.array([len(r) for r in rows])
    ends = np.cumsum(lengths)
    learned = np.concatenate([np.arange(len(r)) >= (len(r) // 2 if i % 3 else 0) for i, r in enumerate(rows)])
    ids = np.concatenate(rows).astype(np.uint32)
    return Sequences(ids, learned, ends - lengths, ends, [bytes(16)] * 40, 0, {}, 0)


def trainers_losses(model, rows: Sequences, order: RowOrder, how: Training, folder) -> list[float]:
    def row(number: int) -> dict:
        ids = rows.tokens(number).astype(np.int64)
        return {"ids": ids, "labels": np.concatenate([[IGNORED], rows.targets(number, IGNORED)[:-1]])}

    def collate(taken: list[dict]) -> dict[str, torch.Tensor]:
        def pad(name: str, filling: int) -> torch.Tensor:
            columns = [torch.from_numpy(r[name]) for r in taken]
            return torch.nn.utils.rnn.pad_sequence(columns, batch_first=True, padding_value=filling)

        seen = pad("ids", -1) >= 0
        return {"input_ids": pad("ids", 0), "labels": pad("labels", IGNORED), "attention_mask": seen.long()}

    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": how.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=how.learning_rate, betas=(0.9, how.beta2))
    factor = make_schedule(how.schedule, steps=STEPS, warmup_steps=round(how.warmup_share * STEPS))
    settings = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        max_steps=STEPS,
        max_grad_norm=how.clip_norm,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        logging_strategy="no",
    )
    given = [row(r) for step in range(STEPS) for r in order.at(step)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    theirs = Recorded(model, settings, collate, train_dataset=given, optimizers=(optimizer, schedule))
    theirs.train()
    return theirs.losses


@pytest.mark.parametrize("decoder", [FlatDecoder, PlainDecoder])
def test_fifty_steps_have_the_losses_of_trainer(decoder, tmp_path):
    how = Training(learning_rate=3e-3, warmup_share=0.1, beta2=0.98, weight_decay=0.1, part_tokens=64)
    rows = rows_that_teach()
    order = RowOrder(len(rows), BATCH, seed=1)
    model = small("llama", tie_word_embeddings=True, initializer_range=0.05)
    twin = copy.deepcopy(model)
    with use_context(Context(threads=1)):
        batches = CausalBatches(rows, order, "cpu")
        assert len(batches.parts(0, how.part_tokens)) > 1
        history = fit(CausalObjective(decoder(model)), batches.parts, how, steps=STEPS)
    expected = trainers_losses(twin, rows, order, how, tmp_path)
    assert expected[-1] < expected[0] - 0.5
    np.testing.assert_allclose(history.losses, expected, rtol=2e-4)
    np.testing.assert_allclose(history.losses[:5], expected[:5], rtol=1e-5)
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=5e-3, atol=5e-4)
