"""A small training run for test_loop.py, which kills it: python killed_run.py WORK RESULT STEPS [pause]."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from loomwork.core.context import Context, use_context
from loomwork.learn.loop import fit
from loomwork.learn.settings import Training

work, result, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
pause = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Embedding(50, 16),
    torch.nn.Linear(16, 32),
    torch.nn.BatchNorm1d(32),
    torch.nn.Dropout(0.2),
    torch.nn.Linear(32, 50),
)


@dataclass
class Numbers:
    """Half of a batch."""

    numbers: torch.Tensor
    tokens: int = 32


class Sevenfold(torch.nn.Module):
    """Learn to multiply by seven."""

    def __init__(self) -> None:
        super().__init__()
        self.model = model

    def forward(self, part: Numbers) -> torch.Tensor:
        time.sleep(pause / 2)
        return torch.nn.functional.cross_entropy(self.model(part.numbers), (part.numbers * 7) % 50) / 2


def parts_at(step: int, limit: int) -> list[Numbers]:
    numbers = torch.randint(0, 50, (64,), generator=torch.Generator().manual_seed(step))
    return [Numbers(half) for half in numbers.split(32)]


how = Training(learning_rate=0.01, schedule="cosine", warmup_share=0.05, seed=3, ema=0.9)
with use_context(Context(work_folder=work, threads=1)):
    history = fit(Sevenfold(), parts_at, how, steps=steps, checkpoint_every_seconds=0.05)
save_file(model.state_dict(), result)
print(history.resumed_at, len(history.losses), history.losses[-1])
