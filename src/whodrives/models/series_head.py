"""A head that reads motion off every step and then listens along time (ours; the paper's is `models.head`).

Each step's map goes through a linear layer, which is fitted to the simulator's true motion (`training.reader`) or
learns it by steps (`training.motion`): few numbers, in which another face looks alike. Two 1-D convolutions over time,
mean and standard deviation, and an MLP make the embedding. Reading a step of optical flow costs 0.1 million
multiplications, the other head's Conv3Ds thirty million, and it is the same in every window.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.models.config import ModelConfig
from whodrives.models.head import real_steps

# Places are kept, channels are not: what a brow does and what a lid does lie two cells apart.
SIDE = 16
SQUEEZED = 16
# As many numbers a step as the simulator has controls (`avatars.tracks.CHANNELS`).
CONTROLS = 33
WIDTH = 64
KERNEL = 5
EPS = 1e-6


class SeriesBlock(nn.Module):
    """Conv1d over time that keeps the length, BatchNorm, ReLU."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(inputs, WIDTH, KERNEL, padding=KERNEL // 2)
        self.norm = nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, S) -> (batch, WIDTH, S)."""
        return F.relu(self.norm(self.conv1d(x)))


class StepReader(nn.Module):
    """Linear in the map of one step: 1 x 1 convolution to few channels where there are many, then each place's weights.

    No bias: nothing moves where features do not change.
    """

    def __init__(self, channels: int, controls: int = CONTROLS) -> None:
        super().__init__()
        narrow = channels <= SQUEEZED
        self.squeeze = nn.Identity() if narrow else nn.Conv2d(channels, SQUEEZED, 1, bias=False)
        self.read = nn.Linear((channels if narrow else SQUEEZED) * SIDE * SIDE, controls, bias=False)

    def forward(self, volume: Tensor) -> Tensor:
        """(batch, channels, S, 16, 16) -> (batch, S, controls)."""
        found = self.read(self.seen(volume))
        # A row of zeros is a control that nobody moved: it must not learn from a later loss, behind whose BatchNorm its
        # noise would be as loud as motion.
        known = (self.read.weight.abs().sum(dim=1) > 0).to(found.dtype)
        steps: Tensor = (found * known).unflatten(0, (volume.shape[0], volume.shape[2]))
        return steps

    def seen(self, volume: Tensor) -> Tensor:
        """What `read` multiplies: (batch, channels, S, 16, 16) -> (batch * S, F)."""
        maps: Tensor = self.squeeze(volume.transpose(1, 2).flatten(0, 1))
        return maps.flatten(1)


class SeriesHead(nn.Module):
    """Volume (batch, channels, S, H, W), time third -> (batch, embedding_dim), not yet normalised."""

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.reader = StepReader(channels)
        self.norm = nn.BatchNorm1d(CONTROLS)
        self.blocks = nn.ModuleList((SeriesBlock(CONTROLS), SeriesBlock(WIDTH)))
        self.mlp = nn.ModuleList(
            (nn.Linear(2 * WIDTH, config.hidden_dim), nn.Linear(config.hidden_dim, config.embedding_dim))
        )
        self.dropout = nn.Dropout(config.dropout)

    def series(self, volume: Tensor) -> Tensor:
        """Each step read by itself: (batch, channels, S, H, W) -> (batch, CONTROLS, S)."""
        steps: Tensor = self.reader(volume)
        return steps.transpose(1, 2)

    def forward(self, volume: Tensor, valid: Tensor | None = None) -> Tensor:
        """Embed a volume. valid : (batch,) int64, leading real steps; what follows them counts for nothing."""
        return self.finish(self.series(volume), valid)

    def finish(self, series: Tensor, valid: Tensor | None = None) -> Tensor:
        """What `series` gives -> (batch, embedding_dim)."""
        mask = None if valid is None else real_steps(valid, series)[:, None]
        x = F.relu(self.norm(series))
        if mask is not None:
            x = x * mask.to(x.dtype)
        for block in self.blocks:
            x = block(x)
            if mask is not None:
                x = x * mask.to(x.dtype)
        steps = x.shape[2] if valid is None else valid.to(x.dtype)[:, None]
        mean = x.sum(dim=2) / steps
        apart = (x - mean[:, :, None]).square()
        spread = ((apart if mask is None else apart * mask.to(x.dtype)).sum(dim=2) / steps + EPS).sqrt()
        hidden, final = self.mlp
        return final(self.dropout(F.relu(hidden(torch.cat((mean, spread), dim=1)))))
