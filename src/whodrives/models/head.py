"""Heads: two 3-D convolutions over space and time, pooling, MLP (paper Sec. III-D); or a mean over time and an MLP."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.models.batchnorm import ClipBatchNorm
from whodrives.models.config import ModelConfig
from whodrives.models.normalise import at_least_single


def real_steps(valid: Tensor, volume: Tensor) -> Tensor:
    """(batch, T) in the volume's type, 1 for the first `valid` of the T = volume.shape[2] steps, 0 for padding."""
    steps = torch.arange(volume.shape[2], device=volume.device)
    return (steps[None, :] < valid[:, None]).to(volume.dtype)


class VolumeBlock(nn.Module):
    """Conv3D (3x3x3) that halves one spatial axis, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int, halved_axis: str) -> None:
        super().__init__()
        stride = (1, 2, 1) if halved_axis == "H" else (1, 1, 2)
        self.conv3d = nn.Conv3d(inputs, outputs, 3, stride, padding=1)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, T, H, W) -> (batch, outputs, T, H', W')."""
        if x.shape[2] == 2 and x.device.type == "cpu":
            # With a depth of exactly 2, oneDNN's bf16 weight gradient reads memory it never wrote (torch 2.13).
            with torch.autocast("cpu", enabled=False):
                x = self.conv3d(at_least_single(x))
        else:
            x = self.conv3d(x)
        return F.relu(self.norm(x), inplace=True)


def pool_to_grid(x: Tensor, size: int) -> Tensor:
    """Adaptive average pooling (N, C, H, W) -> (N, C, size, size), as plain pooling where the windows are equal.

    Plain pooling has a deterministic gradient on CUDA and an exact counterpart in ONNX.
    """
    height, width = x.shape[2:]
    if height % size or width % size:
        return F.adaptive_avg_pool2d(x, (size, size))
    return F.avg_pool2d(x, (height // size, width // size))


class TemporalHead(nn.Module):
    """Volume (batch, channels, T, 16, 16), time third -> (batch, embedding_dim), not yet normalised.

    The volume lies in memory as (batch, T, H, W, C), the way the backbone leaves it, so stacking frames copies
    nothing. (The released code puts time last; only the order of the kernel's axes differs.)
    """

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            (VolumeBlock(channels, 64, config.halved_axis), VolumeBlock(64, 32, config.halved_axis))
        )
        self.mlp = nn.ModuleList(
            (nn.Linear(32 * 4 * 4, config.hidden_dim), nn.Linear(config.hidden_dim, config.embedding_dim))
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, volume: Tensor, valid: Tensor | None = None) -> Tensor:
        """Embed a volume.

        Parameters
        ----------
        volume : (batch, channels, T, 16, 16) float.
        valid : (batch,) int64, how many leading time steps are real; the rest is padding, kept at zero through
            both convolutions and left out of the average, so that a padded clip gives the embedding of the
            short clip alone. None: all.
        """
        mask = None
        if valid is not None:
            mask = real_steps(valid, volume)[:, None, :, None, None]
            volume = volume * mask
        x = volume
        for block in self.blocks:
            x = block(x)
            if mask is not None:
                x = x * mask.to(x.dtype)
        if valid is None:
            x = x.mean(dim=2)
        else:
            x = x.sum(dim=2) / valid.to(x.dtype).view(-1, 1, 1, 1)
        return self.finish(x)

    def finish(self, mean: Tensor) -> Tensor:
        """Mean over time of the last block's output (batch, 32, H, W) -> (batch, embedding_dim)."""
        hidden, final = self.mlp
        return final(self.dropout(F.relu(hidden(pool_to_grid(mean, 4).flatten(1)))))


class PooledHead(nn.Module):
    """Vectors (batch, C, T) of a clip's frames -> (batch, embedding_dim), not yet normalised (released code).

    Mean over time, then C -> C -> BatchNorm -> ReLU -> dropout -> embedding_dim. A mean of differences telescopes to
    (last - first) / (T - 1), so with `feat_diff` it sees two frames.
    """

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.mlp = nn.ModuleList((nn.Linear(channels, channels), nn.Linear(channels, config.embedding_dim)))
        self.norm = ClipBatchNorm(channels)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, volume: Tensor, valid: Tensor | None = None) -> Tensor:
        """volume (batch, C, T) float; valid (batch,) int64, leading real steps, None: all."""
        if valid is None:
            x = volume.mean(dim=2)
        else:
            x = (volume * real_steps(valid, volume)[:, None]).sum(dim=2) / valid.to(volume.dtype)[:, None]
        hidden, final = self.mlp
        return final(self.dropout(F.relu(self.norm(hidden(x)))))
