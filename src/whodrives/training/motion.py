"""Auxiliary regression of the true motion: the simulator knows what every frame shows (ours, not the paper's).

The contrastive loss gives one label a clip; this gives the backbone one target a step and channel, from the same
features that the head embeds. It is used in training only: nothing of it is part of the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from whodrives.models.head import pool_to_grid
from whodrives.models.normalise import at_least_single

GRID = 4


class MotionReadout(nn.Module):
    """Reads the change of the motion controls off each step of the head's volume, linearly.

    Parameters
    ----------
    channels : of the volume. scale : float (K,), standard deviation of each control's change from frame to frame in
        the training motion; controls that never change (0) count for nothing.
    """

    scale: Tensor

    def __init__(self, channels: int, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.float())
        self.linear = nn.Linear(channels * GRID * GRID, len(scale))

    def forward(self, volume: Tensor) -> Tensor:
        """volume (N, channels, S, H, W) -> changes (N, S, K) in units of `scale`."""
        count, channels, steps = volume.shape[:3]
        maps = volume.transpose(1, 2).reshape(count * steps, channels, *volume.shape[3:])
        return self.linear(pool_to_grid(maps, GRID).flatten(1)).view(count, steps, -1)

    def loss(self, volume: Tensor, motion: Tensor) -> Tensor:
        """Unexplained share of the variance, mean over the controls that move: scalar >= 0, 1 for reading nothing.

        volume : (N, channels, T - 1, H, W), of differences. motion : (N, T, K) controls of each frame.
        """
        moving = self.scale > 0
        told = (motion[:, 1:] - motion[:, :-1]) / self.scale.where(moving, torch.ones_like(self.scale))
        error = (at_least_single(self(volume)) - told).square()
        return error.mean(dim=(0, 1))[moving].mean()
