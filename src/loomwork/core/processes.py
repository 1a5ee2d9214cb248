"""One step in several processes that work together: who is who, and how they find each other.

Whoever starts the processes (the local executor, torchrun) gives each RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and
MASTER_PORT, as torch.distributed wants them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from loomwork.core.errors import InputError, LoomError

# All that torchrun and we ourselves tell a process about its group: a process of no group must have none of it.
NAMES = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_USE_AGENT_STORE",
)
WAIT = timedelta(minutes=30)  # for one that writes a checkpoint. One that died is seen by whoever started it.


def environment_rank() -> int:
    """The number of this process among those that were started together; 0 alone."""
    return int(os.environ.get("RANK", "0"))


def environment_size() -> int:
    """How many processes were started together; 1 alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_group(size: int) -> list[dict[str, str]]:
    """The environments of so many processes of one group on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1"}
    return [shared | {"MASTER_PORT": str(port), "RANK": str(r), "LOCAL_RANK": str(r)} for r in range(size)]


@contextmanager
def process_group(device: str, name: str = "") -> Iterator[None]:
    """Join the group that the environment names, for a block; alone, or where it is joined already, do nothing.

    Args:
        device: of the models. On GPUs each process takes the one of its LOCAL_RANK as the current one, "cuda", and
            NCCL connects them; gloo connects what is on CPUs.
        name: the same for all processes of a group, another one for each group that the same processes make.

    Raises:
        InputError: there are more processes than GPUs.
        LoomError: the processes do not find each other.
    """
    if environment_size() < 2:
        yield
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if dist.is_initialized():
        yield
        return
    cuda = device.startswith("cuda")
    if cuda:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise InputError(
                f"process {local} of this machine has no GPU: there are {torch.cuda.device_count()}",
                "start as many processes as there are GPUs, or set LOOMWORK_DEVICE=cpu",
            )
        torch.cuda.set_device(local)
    try:
        store, rank, size = next(rendezvous("env://", timeout=timedelta(minutes=5)))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            store=PrefixStore(f"loomwork-{name}", store),
            rank=rank,
            world_size=size,
            timeout=WAIT,
        )
    except (ValueError, RuntimeError) as error:  # of torch: no address, a port that is taken, nobody there
        raise LoomError(
            f"the processes do not find each other at {os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}: "
            f"{error}",
            "run it again; between machines, is the port open?",
        ) from error
    yield
    # Not after an error: the others would hear of a closed connection before they hear why.
    dist.destroy_process_group()
