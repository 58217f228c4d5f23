"""Weights that need no training: they read WHERE a picture moves, and videos whose drivers move in different places."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from whodrives.avatars.encode import write_mp4
from whodrives.verification.embedding import Embedding, ModelInfo, VideoInfo, WindowInfo
from whodrives.video.contract import PreprocessingContract

CARD = {
    "name": "fake",
    "version": "1",
    "clip_length": 64,
    "contract": PreprocessingContract().to_dict(),
    "thresholds": {"0.01": {"1": 0.8, "4": 0.7}, "0.05": {"1": 0.6, "4": 0.5}},
    "default_far": 0.05,
    "motion_gate": 0.8,
    "licence": "none",
}
CALIBRATION = {
    "one": {
        "scale": 8.0,
        "offset": -4.0,
        "low": -1.0,
        "high": 1.0,
        "prior": 0.5,
        "ridge": 1e-4,
        "n_genuine": 9,
        "n_impostor": 9,
    },
    "correlation": 0.1,
}
CALIBRATED_CARD = {**CARD, "calibration": CALIBRATION}
INFO = ModelInfo("fake", "1", "feedfeedfeedfeed", 64, {0.01: {1: 0.8, 4: 0.7}, 0.05: {1: 0.6, 4: 0.5}}, 0.05, 0.8)
NEW = replace(INFO, name="newer", digest="0" * 16)


class PlaceNetwork(nn.Module):
    """Mean absolute frame difference on an 8 x 8 grid, centred, spread to 256 dimensions by a fixed rotation."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("basis", torch.linalg.qr(torch.randn(256, 64, generator=generator))[0].T.contiguous())
        self.calls: list[tuple[int, list[int] | None]] = []

    def forward(self, clip: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        assert clip.dtype == torch.uint8
        assert clip.shape[1:] == (64, 1, 128, 128)
        self.calls.append((len(clip), None if valid is None else valid.tolist()))
        change = clip.float().diff(dim=1).abs()[:, :, 0]
        if valid is not None:
            steps = torch.arange(change.shape[1])[None] < (valid - 1)[:, None]
            change = change * steps[:, :, None, None]
        cells = nn.functional.avg_pool2d(change.sum(dim=1), 16).flatten(1)
        return nn.functional.normalize((cells - cells.mean(dim=1, keepdim=True)) @ self.basis + 1e-6, dim=1)


@dataclass(frozen=True)
class FakeWeights:
    """The interface of `whodrives.training.weights.Weights`."""

    model: nn.Module = field(default_factory=PlaceNetwork)
    card: dict[str, Any] = field(default_factory=lambda: dict(CARD))
    digest: str = "feedfeedfeedfeed"


def moving_frames(driver: int, frames: int, seed: int = 0, size: int = 128, still: bool = False) -> np.ndarray:
    """(frames, size, size, 3) uint8: a fixed texture with a patch that wobbles where `driver` moves."""
    rng = np.random.default_rng(seed)
    texture = np.kron(rng.integers(60, 190, (16, 16)), np.ones((size // 16, size // 16)))
    out = np.repeat(texture[None], frames, axis=0)
    if not still:
        row, column = 8 + 24 * (driver // 4), 8 + 28 * (driver % 4)
        phase = np.cumsum(rng.normal(0.9, 0.3, frames))
        for number in range(frames):
            shift = round(6 * np.sin(phase[number]))
            out[number, row : row + 16, column + shift : column + shift + 8] = 250
    return np.repeat(out.astype(np.uint8)[..., None], 3, axis=3)


def video(path: Path, driver: int, frames: int = 160, seed: int = 0, fps: float = 25.0, still: bool = False) -> Path:
    """Write a video of `driver`; `seed` is the recording."""
    write_mp4(path, moving_frames(driver, frames, seed, still=still), fps)
    return path


def embedding(
    vectors: np.ndarray,
    path: str = "video.mp4",
    problem: str | None = None,
    model: ModelInfo = INFO,
    contract: PreprocessingContract | None = None,
    content: str | None = None,
    valid: int | None = None,
) -> Embedding:
    """A one-video embedding of given rows, scaled to unit length, in windows that do not overlap."""
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    valid = valid or (20 if problem == "short" else 64)
    energy = 0.1 if problem == "still" else 3.0
    windows = tuple(
        WindowInfo(0, 64 * number, 2.56 * number, 64, valid, energy, problem == "still", problem)
        for number in range(len(rows))
    )
    info = VideoInfo(
        path, 64 * len(rows), 25.0, 25.0, 0, 0, (), (0, 0, 128, 128), content or f"{Path(path).name}-content"
    )
    return Embedding(rows, windows, (info,), model, contract or PreprocessingContract())


def sliding_ramp(path: Path, frames: int) -> Path:
    """An mp4 of a brightness ramp that moves two pixels a frame, 25 fps."""
    ramp = np.linspace(0, 200, 128 * 128).reshape(128, 128)
    moved = np.stack([np.roll(ramp, 2 * n, 1).astype(np.uint8) for n in range(frames)])
    write_mp4(path, moved[..., None].repeat(3, axis=3), 25)
    return path
