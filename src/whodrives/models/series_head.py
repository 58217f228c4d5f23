"""A head that reads every step by itself and then listens along time (ours; the paper's is `models.head`).

Each step's map is pooled to a 4 x 4 grid and goes through one linear layer, which can be given the simulator's true
motion to learn (`training.motion`); two 1-D convolutions over time, the mean and an MLP make the embedding. A step
costs a few thousand multiplications in place of the Conv3Ds' thirty million, and steps are alike in every window.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.models.config import ModelConfig
from whodrives.models.head import pool_to_grid, real_steps

GRID = 4
WIDTH = 64
KERNEL = 5


class SeriesBlock(nn.Module):
    """Conv1d over time that keeps the length, BatchNorm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, S) -> the same shape."""
        return F.relu(self.norm(self.conv1d(x)))


class SeriesHead(nn.Module):
    """Volume (batch, channels, S, H, W), time third -> (batch, embedding_dim), not yet normalised."""

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        # No bias: what a constant adds is taken out by the BatchNorm behind it.
        self.read = nn.Linear(channels * GRID * GRID, WIDTH, bias=False)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.blocks = nn.ModuleList((SeriesBlock(WIDTH), SeriesBlock(WIDTH)))
        self.mlp = nn.ModuleList(
            (nn.Linear(WIDTH, config.hidden_dim), nn.Linear(config.hidden_dim, config.embedding_dim))
        )
        self.dropout = nn.Dropout(config.dropout)

    def series(self, volume: Tensor) -> Tensor:
        """Each step read by itself: (batch, channels, S, H, W) -> (batch, WIDTH, S)."""
        return self.read(grids(volume)).transpose(1, 2)

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
        if valid is None:
            mean = x.mean(dim=2)
        else:
            mean = x.sum(dim=2) / valid.to(x.dtype)[:, None]
        hidden, final = self.mlp
        return final(self.dropout(F.relu(hidden(mean))))


def grids(volume: Tensor) -> Tensor:
    """Maps pooled to 4 x 4 and laid out: (batch, channels, S, H, W) -> (batch, S, channels * 16)."""
    batch, channels, steps = volume.shape[:3]
    maps = volume.transpose(1, 2).reshape(batch * steps, channels, *volume.shape[3:])
    return pool_to_grid(maps, GRID).flatten(1).unflatten(0, (batch, steps))
