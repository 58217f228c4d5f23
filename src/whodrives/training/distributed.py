"""Several processes as one: torchrun's environment, gathered embeddings, summed gradients.

The model is small (0.5 million parameters), so gradients travel in one flat message after the backward pass instead of
through DistributedDataParallel's buckets and hooks; that also leaves a step free to run backward in several pieces.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from whodrives.errors import InputError


@dataclass(frozen=True)
class World:
    """One process among `size`; `rank` 0 writes files and prints. device : where this process computes."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this process writes files, prints and validates."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """The rows of a batch of `count` clips that are this process's, the same number for each.

        Raises InputError when they cannot be shared out evenly: gathered embeddings need equal shapes.
        """
        if count % self.size:
            raise InputError(f"a batch of {count} clips cannot be shared by {self.size} processes; change identities")
        part = count // self.size
        return range(self.rank * part, (self.rank + 1) * part)


@contextmanager
def joined(device: str = "cpu") -> Iterator[World]:
    """Join the processes that ``torchrun`` started (NCCL on CUDA, gloo on the CPU), or be alone without it.

    device : ``cpu`` or ``cuda``; each process of a machine takes the GPU of its local rank.

    Raises
    ------
    InputError
        More processes than GPUs on this machine.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    place = torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: this machine has no usable GPU; leave --device out, or give cpu")
    if size == 1:
        yield World(device=place)
        return
    if place.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise InputError(f"process {local} of this machine has no GPU of its own; lower --nproc-per-node")
        place = torch.device("cuda", local)
        torch.cuda.set_device(place)
    # Its functions take the group of the moment as a default argument. Imported later (an optimiser does so) it would
    # hold ours for ever, and gloo's threads with it; those abort a process whose Python is shutting down.
    importlib.import_module("torch.distributed.nn")
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size, place)
    finally:
        dist.destroy_process_group()


def _collect(local: Tensor) -> Tensor:
    parts = [torch.empty_like(local, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.contiguous())
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.rank, ctx.size, ctx.rows = dist.get_rank(), dist.get_world_size(), local.shape[0]
        return _collect(local)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # Every process has the same loss of the same gathered rows, so its own slice of the gradient is complete.
        # Times the number of processes, because `average_gradients` takes the mean.
        return grads[0][ctx.rank * ctx.rows : (ctx.rank + 1) * ctx.rows] * ctx.size


def gather(local: Tensor, world: World) -> Tensor:
    """Rows of all processes, by rank: (n, ...) -> (size * n, ...), carrying the gradient back to each.

    A loss computed from the result on every process gives, after `average_gradients`, exactly the gradient of that
    loss in one process.
    """
    if world.size == 1:
        return local
    out: Tensor = _Gather.apply(local) if local.is_floating_point() else _collect(local)
    return out


def average_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Replace every gradient by its mean over the processes; parameters without one on some process count as zero."""
    if world.size == 1:
        return
    chosen = list(parameters)
    for parameter in chosen:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.reshape(-1) for p in chosen if p.grad is not None])
    dist.all_reduce(flat)
    flat /= world.size
    for parameter, part in zip(chosen, flat.split([p.numel() for p in chosen]), strict=True):
        parameter.grad = part.view_as(parameter)


def require_equal(values: list[float], what: str, world: World) -> None:
    """Raises InputError on every process unless all of them hold the same numbers."""
    if world.size == 1:
        return
    held = _collect(torch.tensor([values], dtype=torch.float64, device=world.device))
    if not torch.equal(held, held[:1].expand_as(held)):
        raise InputError(f"the processes differ in {what}; let all of them read the same run folder")


def agree(value: float, world: World) -> float:
    """Rank 0's value, on every process."""
    if world.size == 1:
        return value
    box = torch.tensor([value], dtype=torch.float64, device=world.device)
    dist.broadcast(box, 0)
    return float(box.item())
