"""BatchNorm over frames, with the two training semantics that the paper's system can have, and over clips."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.errors import InputError
from whodrives.models.normalise import at_least_single


class FrameBatchNorm(nn.BatchNorm2d):
    """BatchNorm2d on (batch * T, C, H, W) frames, clips outermost.

    ``per_step=False`` is plain BatchNorm2d: statistics over batch and time at once. ``per_step=True`` normalises
    time step t with the statistics of step t over the batch, and moves the running statistics T times a call, in
    time order, as running the backbone frame by frame does (released code; cards: difference 8). In evaluation
    both are the same.
    """

    def __init__(self, channels: int, per_step: bool) -> None:
        super().__init__(channels)
        self.per_step = per_step

    def forward(self, x: Tensor, steps: int = 1) -> Tensor:
        """Normalise x (batch * steps, C, H, W); `steps` is T, needed only when training with ``per_step``."""
        if not (self.training and self.per_step and steps > 1):
            return super().forward(x)
        batch, (channels, height, width) = x.shape[0] // steps, x.shape[1:]
        # Every (time step, channel) becomes a channel of its own, so one call computes all statistics.
        folded = x.reshape(batch, steps * channels, height, width)
        out = F.batch_norm(
            folded, None, None, self.weight.repeat(steps), self.bias.repeat(steps), training=True, eps=self.eps
        )
        with torch.no_grad():
            var, mean = torch.var_mean(at_least_single(folded), dim=(0, 2, 3), correction=0)
            move_running_statistics(self, mean, var, mean.new_tensor(folded.numel() / folded.shape[1]), steps)
        return out.reshape(x.shape)


class ClipBatchNorm(nn.BatchNorm1d):
    """BatchNorm1d on (batch, C), one row a clip."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x. Raises InputError in training on a single clip, which has no spread."""
        if self.training and len(x) < 2:
            raise InputError(
                "BatchNorm over clips needs 2 clips or more in training; choose train.piece_clips so that no piece of "
                "the batch is a single clip"
            )
        return super().forward(x)


@torch.no_grad()
def move_running_statistics(
    norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, mean: Tensor, var: Tensor, count: Tensor, steps: int = 1
) -> None:
    """Move `norm`'s running statistics by `steps` updates, one a time step, in time order.

    mean, var : (steps * C,) float32 of each time step's batch, variances biased. count : scalar, values behind each.
    """
    momentum = 0.1 if norm.momentum is None else norm.momentum
    unbiased = var * (count / (count - 1).clamp(min=1))
    # T exponential updates in closed form: the last step weighs most.
    age = torch.arange(steps - 1, -1, -1, device=mean.device, dtype=mean.dtype)
    weights = momentum * (1.0 - momentum) ** age
    keep = (1.0 - momentum) ** steps
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.mul_(keep).add_(weights @ mean.view(steps, -1))
    norm.running_var.mul_(keep).add_(weights @ unbiased.view(steps, -1))
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(steps)
