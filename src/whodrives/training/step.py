"""One optimiser step's loss and gradient: the whole batch at once, or piece by piece with cached embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from whodrives.models.batchnorm import FrameBatchNorm

# ClipBatchNorm is a BatchNorm1d.
Norm = FrameBatchNorm | nn.BatchNorm1d | nn.BatchNorm3d


def step_seed(seed: int, step: int, rank: int = 0, piece: int = 0) -> int:
    """Seed of the dropout of one piece of one step: the same after a resume, another on every process."""
    return int(np.random.SeedSequence([seed, step, rank, piece]).generate_state(1, np.uint64)[0])


class OneUpdate:
    """Running statistics of every BatchNorm below a module, moved once a step however often it is called.

    Each `collect` block starts from the statistics before the step; afterwards `close` sets the mean of what the
    blocks arrived at. As an update is linear in the batch's statistics, that is one update by their mean. Calls
    outside a block (recomputation) leave no trace.
    """

    def __init__(self, module: nn.Module) -> None:
        norms = [m for m in module.modules() if isinstance(m, Norm)]
        self.buffers = [buffer for norm in norms for buffer in norm.buffers()]
        self.before = [buffer.clone() for buffer in self.buffers]
        self.sums: list[Tensor] | None = None
        self.blocks = 0

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Count what happens inside as one piece of the step."""
        self._restore()
        yield
        moved = [buffer.clone() for buffer in self.buffers]
        self.sums = moved if self.sums is None else [a + b for a, b in zip(self.sums, moved, strict=True)]
        self.blocks += 1

    def close(self) -> None:
        """Set the statistics after the step."""
        self._restore()
        for buffer, total in zip(self.buffers, self.sums or [], strict=True):
            mean = total / self.blocks if total.is_floating_point() else total // self.blocks
            buffer.copy_(mean)

    def _restore(self) -> None:
        for buffer, value in zip(self.buffers, self.before, strict=True):
            buffer.copy_(value)


def backward_whole(
    module: nn.Module,
    frames: Tensor,
    embed: Callable[..., Tensor],
    loss: Callable[[Tensor], Tensor],
    scale: Callable[[Tensor], Tensor],
    seed: Callable[[int], int],
    valid: Tensor | None = None,
) -> Tensor:
    """Gradients of `loss(embed(frames))`, all clips in memory at once. Arguments as `backward_cached`."""
    update = OneUpdate(module)
    torch.manual_seed(seed(0))
    with update.collect():
        value = loss(_embedded(embed, frames, valid))
    scale(value).backward()  # type: ignore[no-untyped-call]
    update.close()
    return value.detach()


def _embedded(embed: Callable[..., Tensor], frames: Tensor, valid: Tensor | None) -> Tensor:
    return embed(frames) if valid is None else embed(frames, valid)


def backward_cached(
    module: nn.Module,
    frames: Tensor,
    embed: Callable[..., Tensor],
    loss: Callable[[Tensor], Tensor],
    scale: Callable[[Tensor], Tensor],
    seed: Callable[[int], int],
    piece: int,
    valid: Tensor | None = None,
) -> Tensor:
    """Gradients of a loss over many clips in the memory of `piece` clips, at the cost of one more forward pass.

    Embeddings are computed without a graph, the loss's gradient with respect to them is kept, and each piece is
    embedded again with its graph and given its part (Gao et al. 2021, "GradCache").

    Parameters
    ----------
    module : whose BatchNorms are used. frames : (N, T, 1, H, W). embed : clips -> (n, D) with a graph.
    loss : (N, D) -> scalar. scale : the loss scaler's. seed : piece number -> seed of its dropout.
    valid : (N,) leading real frames, given to `embed` beside the clips; None: not given.

    Returns
    -------
    The loss. Gradients are added to the parameters'. They equal `backward_whole`'s exactly up to rounding where clips
    do not see each other (BatchNorm in evaluation mode, or a model without it). With BatchNorm in training mode each
    piece is normalised by its own statistics ("ghost batches"): the gradient is that of the same loss with the same
    ghost batches, and the running statistics move once, by the pieces' mean.
    """
    pieces = list(frames.split(piece))
    real: list[Tensor | None] = [None] * len(pieces) if valid is None else list(valid.split(piece))
    update = OneUpdate(module)
    cached = []
    with torch.no_grad():
        for number, part in enumerate(pieces):
            torch.manual_seed(seed(number))
            with update.collect():
                cached.append(_embedded(embed, part, real[number]))
    leaf = torch.cat(cached).requires_grad_()
    value = loss(leaf)
    scale(value).backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    for number, (part, grad) in enumerate(zip(pieces, leaf.grad.split(piece), strict=True)):
        torch.manual_seed(seed(number))
        _embedded(embed, part, real[number]).backward(grad)  # type: ignore[no-untyped-call]
    update.close()
    return value.detach()
