"""Several processes that train one model: each computes its share of every batch, and the gradients are summed.

A process belongs to a group when torchrun, or whoever started it, has set RANK and WORLD_SIZE. Parameters, optimizer
and data order are the same everywhere, so a checkpoint of two processes resumes on one, and back.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

BUCKET_NUMBERS = 16 << 20  # that are summed in one call
PATIENCE = timedelta(minutes=30)  # for a process that writes a checkpoint, or that died


def rank() -> int:
    """The number of this process in its group; 0 alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def size() -> int:
    """How many processes train together; 1 alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the group that the environment names, for a block; without one, do nothing.

    Args:
        device: of the model; NCCL connects GPUs, gloo everything else.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def mine(rows: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """This process's share of a batch: about as many tokens as the others have."""
    if size() == 1:
        return list(rows)
    order = sorted(range(len(rows)), key=lambda i: (-lengths[i], i))
    there_and_back = [*range(size()), *reversed(range(size()))]
    return [rows[i] for place, i in enumerate(order) if there_and_back[place % len(there_and_back)] == rank()]


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Sum the gradients over all processes, in place; a process without one counts as zero."""
    if size() == 1:
        return
    bucket: list[torch.Tensor] = []
    held = 0
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
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


def sum_number(value: float) -> float:
    """The sum over all processes."""
    if size() == 1:
        return value
    held = torch.tensor(value, dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(held)
    return float(held)


def wait_for_all() -> None:
    """Go on once every process is here."""
    if size() > 1:
        dist.barrier()
