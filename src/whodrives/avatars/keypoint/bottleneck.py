"""The low-resolution bottleneck: what a small network leaves of a picture, and what its skip connections bring back.

The still is split once per video into a soft part, which passes through half the resolution, and a share of the fine
residue, which does not. Blur and colour shift come from the nuisance's look alone, so they cannot tell who drives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Share of the fine residue that is shown.
RESIDUE = 0.3
# Tells these draws from others made with the same seed.
STREAM = 0x6B65


@dataclass(frozen=True)
class Bottleneck:
    """What one video's bottleneck does, constant in time.

    Parameters
    ----------
    blur : standard deviation of the Gaussian blur in 128ths of the picture side.
    colour : float32 (3, 4), affine map of RGB: rows give the new red, green and blue from [R, G, B, 1].
    """

    blur: float
    colour: NDArray[np.float32]

    @classmethod
    def draw(cls, seed: int) -> Bottleneck:
        """The bottleneck of the video with this seed (0 or above)."""
        rng = np.random.default_rng([seed, STREAM])
        gain = np.exp(rng.normal(0.0, 0.02, 3))
        cross = rng.normal(0.0, 0.012, (3, 3)) * (1 - np.eye(3))
        offset = rng.normal(0.0, 0.008, 3)
        blur = float(rng.uniform(0.6, 1.1))
        # Rows keep their sum, so that grey changes by gain and offset alone.
        mixed = (np.eye(3) + cross - np.diag(cross.sum(axis=1))) * gain[:, None]
        return cls(blur, np.concatenate([mixed, offset[:, None]], axis=1).astype(np.float32))


def recolour(pictures: Tensor, bottlenecks: list[Bottleneck]) -> Tensor:
    """The colour shift: (B, L, 3, H, W) in 0..1 to the same, one bottleneck for each of the B."""
    maps = torch.from_numpy(np.stack([one.colour for one in bottlenecks])).to(pictures.device)
    shifted = torch.einsum("bcd,bldhw->blchw", maps[:, :, :3], pictures) + maps[:, None, :, 3, None, None]
    return shifted.clamp_(0.0, 1.0)


def soften(pictures: Tensor, bottlenecks: list[Bottleneck]) -> Tensor:
    """The part that passes: each video's Gaussian blur of (B, L, C, S, S), wide enough for half the resolution."""
    side = pictures.shape[-1]
    sigma = torch.tensor([one.blur * side / 128.0 for one in bottlenecks], device=pictures.device)
    steps = torch.arange(side, device=pictures.device, dtype=torch.float32)
    gap = (steps[:, None] - steps[None, :]).square()
    weights = torch.exp(-0.5 * gap / sigma.view(-1, 1, 1).square())
    # Normalised rows: borders are averages of what is there.
    weights = (weights / weights.sum(-1, keepdim=True))[:, None, None]
    return weights @ pictures @ weights.transpose(-1, -2)
