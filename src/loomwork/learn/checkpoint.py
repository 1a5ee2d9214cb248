"""The state of a run on disk: one file, replaced as a whole, so a kill while it is written leaves the one before."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from loomwork.core.errors import LoomError
from loomwork.learn import distributed

Tensors = dict[str, torch.Tensor]


@dataclass
class Checkpoint:
    """Weights, buffers and optimizer of a run, and whatever else it needs to go on.

    Of several processes the first one writes the file, and all read it. It holds whole tensors, so that a run with
    split weights (FSDP) goes on with any number of processes.

    Args:
        path: of the file.
        model: its buffers are kept.
        trained: the parameters that are kept.
        optimizer: set back on restore.
        more: tensors by group and name that are kept with them (an average of the weights, the best ones).
    """

    path: Path
    model: torch.nn.Module
    trained: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    more: dict[str, Tensors] = field(default_factory=dict)

    def save(self, step: int, run: dict[str, Any]) -> None:
        """Write the state after `step` steps; all processes call it.

        Args:
            run: plain values that come back from `restore`.

        Raises:
            LoomError: the disk is full, say; the last good checkpoint is still there.
        """
        state = {
            "step": step,
            "run": run,
            "parameters": _whole({n: p.detach() for n, p in self.trained.items()}),
            "buffers": dict(self.model.named_buffers()),
            "optimizer": _whole(self.optimizer.state_dict()),
            "more": _whole(self.more),
        }
        if distributed.rank():
            return
        half = self.path.with_suffix(".half")
        try:
            with open(half, "wb") as stream:
                torch.save(state, stream)
                stream.flush()
                os.fsync(stream.fileno())
            half.replace(self.path)
        except (OSError, RuntimeError) as error:  # torch wraps some write errors
            half.unlink(missing_ok=True)
            raise LoomError(
                f"the checkpoint of step {step} cannot be written to {self.path}: {error}",
                "free some space and run again: training goes on from the last good checkpoint",
            ) from error

    def restore(self) -> tuple[int, dict[str, Any]]:
        """The steps done and the run's values; weights, optimizer and `more` are set to them. (0, {}) without a file.

        Raises:
            LoomError: the file is of another model.
        """
        there = self.path.is_file()
        if distributed.sum_numbers(there)[0] not in (0, distributed.size()):
            raise LoomError(
                f"not every process sees the checkpoint {self.path}", "put the .loom folder on a disk that all share"
            )
        if not there:
            return 0, {}
        device = next(iter(self.trained.values())).device
        state = torch.load(self.path, map_location=device, weights_only=True)
        if {n: p.shape for n, p in state["parameters"].items()} != {n: p.shape for n, p in self.trained.items()}:
            raise LoomError(f"the checkpoint {self.path} is of another model", "delete it to train from the start")
        with torch.no_grad():
            for mine, saved in ((self.trained, "parameters"), (dict(self.model.named_buffers()), "buffers")):
                for n, tensor in mine.items():
                    tensor.copy_(distributed.split_like(state[saved][n], tensor))
        self.optimizer.load_state_dict(self._split_optimizer(state["optimizer"]))
        self.more.clear()
        for group, tensors in state["more"].items():
            self.more[group] = {n: distributed.split_like(t, self.trained[n]) for n, t in tensors.items()}
        return int(state["step"]), state["run"]

    def _split_optimizer(self, state: dict[str, Any]) -> dict[str, Any]:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        split = {
            number: {
                n: distributed.split_like(v, parameters[number]) if torch.is_tensor(v) else v for n, v in values.items()
            }
            for number, values in state["state"].items()
        }
        return state | {"state": split}


def _whole(value: Any) -> Any:
    """A tree of dicts and lists with every split tensor in it put together, on the CPU in the first process only."""
    if torch.is_tensor(value) and distributed.is_split(value):
        complete = distributed.whole(value)
        return complete.cpu() if distributed.rank() == 0 else None
    if isinstance(value, dict):
        return {name: _whole(v) for name, v in value.items()}
    return value
