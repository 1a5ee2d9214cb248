"""Weights, gradients and optimizer state split over the processes: FSDP2."""

from __future__ import annotations

import copy
from typing import Any

import torch

from loomwork.core.errors import InputError
from loomwork.learn import distributed
from loomwork.learn.adapters import layers_of
from loomwork.learn.settings import Training

SPLIT = ("adamw", "sgd")  # optimizers whose state has the shape of the weights


class Shards:
    """A model that is trained, and the whole of it that is written.

    Each process holds a piece of every tensor; a layer's are put together while it computes. Alone, or where nothing
    is to be split, both models are one.

    Args:
        model: of transformers, or peft's around it, complete; its weights are split in place. It is run by its own
            forward, which puts them together.
        how: the settings; they say whether to.
        device: of its weights.

    Raises:
        InputError: the optimizer's state cannot be split.

    Source: Zhao et al. 2023, arXiv:2304.11277 (FSDP); torch.distributed.fsdp.fully_shard.
    """

    def __init__(self, model: Any, how: Training, device: str) -> None:
        self.model = self.whole = model
        if how.shard and how.optimizer not in SPLIT:
            raise InputError(f"optimizer {how.optimizer} cannot be split (shard)", f"take {' or '.join(SPLIT)}")
        self.split = how.shard and distributed.size() > 1
        if not self.split:
            model.to(device)
            return
        if any(hasattr(p, "quant_state") for p in model.parameters()):
            raise InputError("weights in 4 bits cannot be split (shard)", "leave shard out, or take lora")
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        self.whole = copy.deepcopy(model).cpu()  # in the first process it gets the trained weights
        mesh = init_device_mesh(torch.device(device).type, (distributed.size(),))
        for layer in layers_of(model):
            fully_shard(layer, mesh=mesh)
        # Also what is outside of the layers is given up after each pass: left whole by a look at held-out data, it
        # would be the average's in the next step.
        fully_shard(model, mesh=mesh, reshard_after_forward=True)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)  # the sum: losses are shares of the batch's already
                module.set_force_sum_reduction_for_comms(True)  # gloo knows no other

    @torch.no_grad()
    def gather(self) -> None:
        """Bring the trained weights into `whole`, in the first process; all must call it."""
        if not self.split:
            return
        found = dict(self.whole.named_parameters()) | dict(self.whole.named_buffers())
        for name, tensor in [*self.model.named_parameters(), *self.model.named_buffers()]:
            complete = distributed.whole(tensor)
            if distributed.rank() == 0:
                found[name].copy_(complete)
