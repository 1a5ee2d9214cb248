"""Weights that are kept on the way through a run, as parts of the model that it makes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from loomwork.core.errors import LoomError
from loomwork.learn import distributed
from loomwork.learn.adapters import write_adapter


class KeptWeights:
    """Checkpoints of the trained weights, `checkpoint-STEP`, each an ordinary folder of weights.

    Args:
        model: of transformers, or peft's around it: then an adapter is kept.
        folder: in the step's work folder; what a killed run kept is still there.
        frozen: gives the weights that are not trained, by name, where the model itself has them in another dtype.
        gather: called before the model is written, in all processes: see Shards. Only the first one writes.
    """

    def __init__(
        self,
        model: Any,
        folder: Path,
        frozen: Callable[[], dict[str, Any]] | None = None,
        gather: Callable[[], None] = lambda: None,
    ) -> None:
        self.model, self.folder, self.frozen, self.gather = model, folder, frozen, gather

    def keep(self, step: int) -> None:
        """Write the weights as they are after `step` steps.

        Raises:
            LoomError: the disk is full, say; what was kept before is still there.
        """
        self.gather()
        if distributed.rank():
            return
        half = self.folder / "half"
        shutil.rmtree(half, ignore_errors=True)
        try:
            self._write(half, self.folder / f"checkpoint-{step}")
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(half, ignore_errors=True)
            raise LoomError(
                f"the weights of step {step} cannot be kept in {self.folder}: {error}",
                "free some space and run again: training goes on from the last good checkpoint",
            ) from error

    def _write(self, half: Path, place: Path) -> None:
        if hasattr(self.model, "peft_config"):
            write_adapter(self.model, half)
        else:
            weights = self.model.state_dict() | (self.frozen() if self.frozen else {})
            self.model.save_pretrained(half, safe_serialization=True, max_shard_size="10TB", state_dict=weights)
        shutil.rmtree(place, ignore_errors=True)
        half.replace(place)

    def move_to(self, out: Path) -> int:
        """Put them into a model folder, as its parts; returns how many there are."""
        mine = distributed.rank() == 0 and self.folder.is_dir()
        found = sorted(self.folder.glob("checkpoint-*")) if mine else []
        for place in found:
            shutil.copytree(place, out / place.name)
        return len(found)
