"""Auxiliary regression of the true motion: the simulator knows what every frame shows (ours, not the paper's).

The contrastive loss gives one label a clip; this gives the backbone one target a step and channel, from the same
features that the head embeds. Under the paper's head it is used in training only, and nothing of it is part of the
network; a `SeriesHead` begins with the layer that is learned here.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whodrives.models.normalise import at_least_single
from whodrives.models.series_head import GRID, grids


def spans(motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Controls (N, T, K) -> their change over one step, over a quarter of the clip, and their course about its mean.

    Small steps are what tells people apart, but large changes are what a network can see first.
    """
    apart = max(1, motion.shape[1] // 4)
    centred = motion - motion.mean(dim=1, keepdim=True)
    return motion[:, 1:] - motion[:, :-1], motion[:, apart:] - motion[:, :-apart], centred


def motion_scale(tracks: Iterable[NDArray[np.floating]], length: int) -> Tensor:
    """Root mean squares (3, K) of `spans` over all windows of `length` frames, half a window apart; 0: never moves.

    tracks : controls (frames, K) of each recording, all of them at least `length` long.
    """
    totals: Tensor | None = None
    count = 0
    for values in tracks:
        windows = torch.from_numpy(values).unfold(0, length, max(1, length // 2)).transpose(1, 2)
        squares = torch.stack([part.square().mean(dim=(0, 1)) for part in spans(windows)]) * len(windows)
        totals, count = squares if totals is None else totals + squares, count + len(windows)
    if totals is None:
        raise ValueError("no tracks")
    return (totals / count).sqrt().float()


class MotionReadout(nn.Module):
    """Reads the change of the motion controls off each step of the head's volume, linearly.

    Parameters
    ----------
    channels : of the volume. scale : float (3, K), what `motion_scale` gives; controls that never change (0) count
        for nothing. linear : the layer that reads, that of a `SeriesHead`; None: a new one.
    """

    scale: Tensor

    def __init__(self, channels: int, scale: Tensor, linear: nn.Linear | None = None) -> None:
        super().__init__()
        self.register_buffer("scale", scale.float())
        self.linear = nn.Linear(channels * GRID * GRID, scale.shape[1]) if linear is None else linear

    def forward(self, volume: Tensor) -> Tensor:
        """volume (N, channels, S, H, W) -> changes (N, S, K) in units of `scale[0]`."""
        return self.linear(grids(volume))

    def errors(self, changes: Tensor, motion: Tensor) -> Tensor:
        """Squared error of `forward`'s changes (N, T - 1, K) for controls (N, T, K), in units of the scale: (3, K).

        One row for each of `spans`; 0 where nothing moves, about 1 for changes of zero.
        """
        read = at_least_single(changes) * self.scale[0]
        course = torch.cat((torch.zeros_like(read[:, :1]), read.cumsum(dim=1)), dim=1)
        found = []
        for scale, seen, told in zip(self.scale, spans(course), spans(motion), strict=True):
            unit = torch.where(scale > 0, scale, 1.0)
            found.append(((seen - told) / unit).square().mean(dim=(0, 1)) * (scale > 0))
        return torch.stack(found)

    def loss(self, volume: Tensor, motion: Tensor) -> Tensor:
        """Unexplained share of the variance, mean over `spans` and the controls that move: scalar >= 0, 1 for reading
        nothing.

        volume : (N, channels, T - 1, H, W), of differences. motion : (N, T, K) controls of each frame.
        """
        return self.errors(self(volume), motion)[:, self.scale[0] > 0].mean()
