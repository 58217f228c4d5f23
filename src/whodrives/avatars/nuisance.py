"""Everything about a rendered video that is not motion: crop, exposure, colour, blur and sensor noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Nuisance:
    """Per-video nuisance, constant over the video except for the noise. Drawn without looking at driver or target.

    Parameters
    ----------
    shift_x, shift_y : crop shift as a share of the picture side (0.01 = 1.28 px at 128), sub-pixel.
    zoom : crop magnification, 1 = none, above 1 shows less of the picture.
    gain : factor on all values. gamma : exponent on values 0..1.
    colour : factor on red, green and blue.
    blur : standard deviation of a Gaussian blur in 128ths of the picture side.
    noise : standard deviation of the per-frame Gaussian sensor noise, in units of full scale (0..1).
    seed : seed of the noise.
    """

    shift_x: float = 0.0
    shift_y: float = 0.0
    zoom: float = 1.0
    gain: float = 1.0
    gamma: float = 1.0
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = 0.0
    noise: float = 0.0
    seed: int = 0

    @classmethod
    def none(cls) -> Nuisance:
        """No nuisance at all: the picture as it is, noise-free."""
        return cls()

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Nuisance:
        """One draw from the one law that self- and cross-reenactments share; always takes the same number of draws."""
        shift = rng.normal(0.0, 0.012, 2).clip(-0.03, 0.03)
        colour = np.exp(rng.normal(0.0, 0.04, 3))
        return cls(
            shift_x=float(shift[0]),
            shift_y=float(shift[1]),
            zoom=float(1.04 * np.exp(rng.uniform(-0.04, 0.06))),
            gain=float(np.exp(rng.normal(0.0, 0.12))),
            gamma=float(np.exp(rng.normal(0.0, 0.12))),
            colour=(float(colour[0]), float(colour[1]), float(colour[2])),
            blur=float(rng.uniform(0.0, 0.8)),
            noise=float(rng.uniform(0.002, 0.012)),
            seed=int(rng.integers(2**63)),
        )


def sample_nuisance(rng: np.random.Generator) -> Nuisance:
    """`Nuisance.sample`: the nuisance of one video, independent of who drives and who is shown."""
    return Nuisance.sample(rng)


def crop_maps(nuisance: Sequence[Nuisance], device: torch.device) -> Tensor:
    """Crop of each video, float32 (B, 3) [scale, shift x, shift y]: source = scale * output + shift in -1..1 axes."""
    rows = [(1.0 / n.zoom, 2.0 * n.shift_x, 2.0 * n.shift_y) for n in nuisance]
    return torch.tensor(rows, dtype=torch.float32, device=device)


def apply_photometry(images: Tensor, nuisance: Sequence[Nuisance]) -> Tensor:
    """Colour, gain, gamma and blur of each video, on its still pictures.

    The order is that of a camera: optics (blur), sensor (colour x gain, clipped), tone curve (gamma). Applying these
    to the stills, not to every frame, is what keeps them nearly free: a smooth warp and a per-pixel curve commute up
    to interpolation.

    Parameters
    ----------
    images : float32 (B, L, 3, H, W) in 0..1; L pictures of each video.
    nuisance : B of them.

    Returns
    -------
    float32, the same shape, in 0..1.
    """
    device, side = images.device, images.shape[-1]
    sigma = torch.tensor([n.blur for n in nuisance], device=device) * (side / 128.0)
    if bool((sigma > 0).any()) and images.shape[-1] > 1:
        images = _blur(images, sigma)
    factor = torch.tensor([[n.gain * c for c in n.colour] for n in nuisance], dtype=torch.float32, device=device)
    gamma = torch.tensor([n.gamma for n in nuisance], dtype=torch.float32, device=device)
    return (images * factor[:, None, :, None, None]).clamp(0.0, 1.0).pow(gamma.view(-1, 1, 1, 1, 1))


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    b, layers, channels, height, width = images.shape
    radius = max(1, int(np.ceil(3.0 * float(sigma.max()))))
    steps = torch.arange(-radius, radius + 1, device=images.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps[None] / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    flat = images.reshape(1, b * layers * channels, height, width)
    each = kernel.repeat_interleave(layers * channels, dim=0)
    padded = F.pad(flat, (radius, radius, 0, 0), mode="replicate")
    flat = F.conv2d(padded, each[:, None, None, :], groups=b * layers * channels)
    padded = F.pad(flat, (0, 0, radius, radius), mode="replicate")
    flat = F.conv2d(padded, each[:, None, :, None], groups=b * layers * channels)
    return flat.reshape(images.shape)


class SensorNoise:
    """Per-frame noise of one video: a stream that gives the same values however it is cut into chunks of frames."""

    def __init__(self, nuisance: Nuisance, device: torch.device) -> None:
        self.level = nuisance.noise
        self.generator = torch.Generator(device=device)
        self.generator.manual_seed(nuisance.seed)

    def add_(self, frames: Tensor) -> Tensor:
        """Add noise to the next frames, in place: (t, C, S, S)."""
        if self.level > 0:
            noise = torch.randn(frames.shape, generator=self.generator, device=frames.device, dtype=frames.dtype)
            frames.add_(noise, alpha=self.level)
        return frames
