"""Input standardisation of a clip, part of the preprocessing contract."""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPS = 1e-6
FIXED_MEAN, FIXED_STD = 0.5, 0.25


def at_least_single(x: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def standardise(clip: Tensor, mode: str, valid: Tensor | None = None) -> Tensor:
    """Standardise frames.

    Parameters
    ----------
    clip : (batch, T, 1, H, W) float in 0..1, or uint8 in 0..255 (divided by 255).
    mode : ``clip``: (x - mean) / (std + 1e-6) with ONE mean and unbiased std over the whole clip (released code);
        ``frame``: the same for each frame; ``fixed``: (x - 0.5) / 0.25.
    valid : (batch,) int64, leading real frames; padding stays out of the statistics. None: all.

    Returns
    -------
    Same shape, float32; float64 stays float64.
    """
    x = clip.float() / 255.0 if clip.dtype == torch.uint8 else at_least_single(clip)
    if mode == "fixed":
        return (x - FIXED_MEAN) / FIXED_STD
    if mode == "frame":
        return _standardised(x, (2, 3, 4))
    if valid is None:
        return _standardised(x, (1, 2, 3, 4))
    steps = torch.arange(x.shape[1], device=x.device)
    mask = (steps[None, :] < valid[:, None]).to(x.dtype)[:, :, None, None, None]
    count = (valid * x[0, 0].numel()).to(x.dtype).view(-1, 1, 1, 1, 1)
    mean = (x * mask).sum(dim=(1, 2, 3, 4), keepdim=True) / count
    variance = ((x - mean).square() * mask).sum(dim=(1, 2, 3, 4), keepdim=True) / (count - 1)
    return (x - mean) / (variance.sqrt() + EPS)


def _standardised(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Two plain passes: torch.std_mean takes ten times as long on a CPU and is no more exact."""
    centred = x - x.mean(dim=axes, keepdim=True)
    count = math.prod(x.shape[axis] for axis in axes)
    # `mean` adds pairwise; a norm would lose digits over the million pixels of a clip.
    std = (centred.square().mean(dim=axes, keepdim=True) * (count / (count - 1))).sqrt()
    return centred / (std + EPS)
