"""BatchNorm over frames, with the two training semantics that the paper's system can have."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
            self._move_running_statistics(folded.float(), steps, channels)
        return out.reshape(x.shape)

    def _move_running_statistics(self, folded: Tensor, steps: int, channels: int) -> None:
        count = folded.numel() // folded.shape[1]
        var, mean = torch.var_mean(folded, dim=(0, 2, 3), correction=0)
        mean, var = mean.view(steps, channels), var.view(steps, channels) * (count / max(count - 1, 1))
        momentum = 0.1 if self.momentum is None else self.momentum
        # T exponential updates in closed form: the last step weighs most.
        age = torch.arange(steps - 1, -1, -1, device=mean.device, dtype=mean.dtype)
        weights = momentum * (1.0 - momentum) ** age
        keep = (1.0 - momentum) ** steps
        assert self.running_mean is not None
        assert self.running_var is not None
        self.running_mean.mul_(keep).add_(weights @ mean)
        self.running_var.mul_(keep).add_(weights @ var)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(steps)
