"""Everything about a rendered video that is not motion: crop, exposure, colour, blur, flicker and sensor noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

# Weights of red, green and blue in the luma that the preprocessing contract sees.
LUMA = (0.299, 0.587, 0.114)
# Frame rates at which sources run; the contract's 25 is one of them.
SOURCE_FPS = (24.0, 25.0, 30000 / 1001, 30.0)


@dataclass(frozen=True)
class Nuisance:
    """Per-video nuisance, constant over the video but for flicker and noise. Drawn without looking at driver or target.

    Parameters
    ----------
    shift_x, shift_y : crop shift as a share of the picture side (0.01 = 1.28 px at 128), sub-pixel.
    zoom : crop magnification, 1 = none, above 1 shows less of the picture.
    gain : factor on all values. gamma : exponent on values 0..1.
    colour : factor on red, green and blue.
    blur : standard deviation of a Gaussian blur in 128ths of the picture side.
    noise : standard deviation of the per-frame Gaussian sensor noise, in units of full scale (0..1).
    flicker : standard deviation of the texture flicker, a smooth multiplicative pattern that changes from frame to
        frame as in diffusion renderers, as a share of the brightness (0.01 = 1%).
    flicker_seconds : correlation time of the flicker. flicker_cells : cells of its pattern across the picture.
    background : seed of a drawn background for faces with a matte; None keeps the picture's own.
    fps : frame rate at which the generator runs, 24..30; 25 is the contract's. Files are written at this rate.
    crf : strength of the H.264 codec (constant rate factor, higher is coarser). Concerns files only.
    seed : seed of noise and flicker.
    look : seed of what else a generator draws once for a video, e.g. the light on a head or the tint of a bottleneck.
    """

    shift_x: float = 0.0
    shift_y: float = 0.0
    zoom: float = 1.0
    gain: float = 1.0
    gamma: float = 1.0
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = 0.0
    noise: float = 0.0
    flicker: float = 0.0
    flicker_seconds: float = 0.2
    flicker_cells: int = 12
    background: int | None = None
    fps: float = 25.0
    crf: int = 20
    seed: int = 0
    look: int = 0

    @classmethod
    def none(cls) -> Nuisance:
        """No nuisance at all: the picture as it is, noise-free."""
        return cls()

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Nuisance:
        """One draw from the one law that self- and cross-reenactments share; always takes the same number of draws.

        Half of the videos keep the picture's own background, a third has no flicker.
        """
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
            flicker=float(max(0.0, rng.uniform(-0.006, 0.012))),
            flicker_seconds=float(np.exp(rng.uniform(np.log(0.05), np.log(0.5)))),
            flicker_cells=int(rng.integers(6, 25)),
            background=_half(rng, int(rng.integers(2**31))),
            fps=float(rng.choice(SOURCE_FPS)),
            crf=int(rng.integers(17, 29)),
            seed=int(rng.integers(2**63)),
            look=int(rng.integers(2**63)),
        )


def _half(rng: np.random.Generator, value: int) -> int | None:
    return value if rng.random() < 0.5 else None


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


class FrameNoise:
    """What changes from frame to frame in one video: flicker, then sensor noise.

    A stream: it gives the same values however it is cut into chunks of frames, and on every device.
    """

    def __init__(self, nuisance: Nuisance, device: torch.device) -> None:
        self.level, self.flicker, self.cells = nuisance.noise, nuisance.flicker, nuisance.flicker_cells
        self.device = device
        self.places = np.random.default_rng([nuisance.seed, 1])
        self.patterns = np.random.default_rng([nuisance.seed, 2])
        self.keep = float(np.exp(-1.0 / (nuisance.fps * nuisance.flicker_seconds)))
        self.state = self.patterns.standard_normal((self.cells, self.cells), dtype=np.float32)

    def add_(self, frames: Tensor) -> Tensor:
        """Flicker and noise onto the next frames, in place: (t, C, S, S)."""
        if self.flicker > 0:
            weights = _spread(self.cells, frames.shape[-1]).to(self.device)
            pattern = weights @ torch.from_numpy(self._next_patterns(len(frames))).to(self.device) @ weights.T
            frames.addcmul_(frames, pattern[:, None], value=self.flicker)
        if self.level > 0:
            tile = _noise_tile(str(self.device), frames.shape[-1])
            reach = tile.shape[-1] - frames.shape[-1]
            places = self.places.integers(0, reach + 1, (len(frames), frames.shape[1], 2)).tolist()
            height, width = frames.shape[-2:]
            for frame, corners in zip(frames, places, strict=True):
                for channel, (y, x) in zip(frame, corners, strict=True):
                    channel.add_(tile[y : y + height, x : x + width], alpha=self.level)
        return frames

    def _next_patterns(self, count: int) -> NDArray[np.float32]:
        """The next `count` states of the flicker, a stationary first-order autoregression: (count, cells, cells)."""
        out = np.empty((count, self.cells, self.cells), dtype=np.float32)
        fresh = np.sqrt(1.0 - self.keep**2)
        for number in range(count):
            out[number] = self.state
            drawn = self.patterns.standard_normal(self.state.shape, dtype=np.float32)
            self.state = np.float32(self.keep) * self.state + np.float32(fresh) * drawn
        return out


@lru_cache(maxsize=64)
def _spread(cells: int, side: int) -> Tensor:
    """Weights (side, cells) of a smooth upsampling, rows of norm 1: independent unit cells give unit pixels."""
    places = (torch.arange(side, dtype=torch.float64) + 0.5) * cells / side - 0.5
    distance = (places[:, None] - torch.arange(cells, dtype=torch.float64)[None]) / 0.7
    weights = torch.exp(-0.5 * distance**2)
    return (weights / weights.norm(dim=1, keepdim=True)).float()


@lru_cache(maxsize=8)
def _noise_tile(device: str, side: int) -> Tensor:
    """One large field of Gaussian noise; frames take random pieces of it, which is far cheaper than drawing anew."""
    extent = max(1024, 2 * side)
    values = np.random.default_rng(0x7115E).standard_normal((extent, extent), dtype=np.float32)
    return torch.from_numpy(values).to(device)
