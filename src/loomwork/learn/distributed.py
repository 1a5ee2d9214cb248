"""Several processes that train one model: each computes its share of every batch, and the gradients are summed.

A process is one of a group inside `core.processes.process_group`. Parameters, optimizer and data order are the same
everywhere, so a checkpoint of two processes resumes on one, and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

BUCKET_NUMBERS = 16 << 20  # that are summed in one call
HOURS = timedelta(hours=24)  # that a process may read texts, say, while the others wait for it
Made = TypeVar("Made")


def rank() -> int:
    """The number of this process in its group; 0 alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def size() -> int:
    """How many processes train together; 1 alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mine(rows: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """This process's share of a batch: about as many tokens as the others have."""
    if size() == 1:
        return list(rows)
    order = sorted(range(len(rows)), key=lambda i: (-lengths[i], i))
    there_and_back = [*range(size()), *reversed(range(size()))]
    return [rows[i] for place, i in enumerate(order) if there_and_back[place % len(there_and_back)] == rank()]


def even(parts: list[Made], empty: Callable[[], Made]) -> list[Made]:
    """As many parts as every process of the group has: split weights (FSDP) are put together part by part, by all.

    Args:
        parts: this process's.
        empty: makes one that adds nothing to the loss.
    """
    if size() == 1:
        return parts
    most = torch.tensor(len(parts))
    dist.all_reduce(most, dist.ReduceOp.MAX)
    missing = int(most) - len(parts)
    return [*parts, *[empty()] * missing] if missing else parts


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Sum the gradients over all processes, in place; a process without one counts as zero.

    Those of split weights are sums already.
    """
    if size() == 1:
        return
    bucket: list[torch.Tensor] = []
    held = 0
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        if is_split(p):
            continue
        bucket.append(p.grad)
        held += p.grad.numel()
        if held >= BUCKET_NUMBERS:
            _sum(bucket)
            bucket, held = [], 0
    if bucket:
        _sum(bucket)


def _sum(tensors: list[torch.Tensor]) -> None:
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    for tensor, summed in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(summed.view_as(tensor))


def sum_numbers(*values: float) -> list[float]:
    """Each number's sum over all processes: the same everywhere, so that all decide alike by it."""
    if size() == 1:
        return list(values)
    held = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(held)
    found: list[float] = held.tolist()
    return found


def from_first(make: Callable[[], Made]) -> Made:
    """What the first process makes; the others wait for it."""
    if size() == 1:
        return make()
    patient = dist.new_group(backend="gloo", timeout=HOURS)
    held = [make() if rank() == 0 else None]
    dist.broadcast_object_list(held, src=0, group=patient)
    found: Made = held[0]  # type: ignore[assignment]
    return found


def is_split(tensor: torch.Tensor) -> bool:
    """Whether each process holds a piece of a tensor only."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with all of its pieces; every process must ask for it."""
    found: torch.Tensor = tensor.full_tensor() if is_split(tensor) else tensor  # type: ignore[attr-defined]
    return found


def split_like(tensor: torch.Tensor, example: torch.Tensor) -> torch.Tensor:
    """A whole tensor, the same in every process, split as another one of its shape is."""
    if not is_split(example) or tensor.shape != example.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    moved = tensor.to(example.device)
    return distribute_tensor(moved, example.device_mesh, example.placements)  # type: ignore[attr-defined]
