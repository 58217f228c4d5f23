"""A generator that draws nothing but its controls: fast, and importable by worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whodrives.avatars.facepoints import LANDMARKS
from whodrives.avatars.faces import Face
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.tracks import CHANNELS, MotionTrack
from whodrives.errors import InputError


@dataclass(frozen=True)
class FakeRig:
    name: str
    size: int
    shade: float

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def to(self, device: torch.device | str) -> FakeRig:
        return self


@dataclass(frozen=True)
class FakeGenerator:
    """Frames of one value: the face's shade moved by the controls' sum, with the nuisance's gain.

    bad : faces that cannot be rigged. deadly : faces at which the process dies.
    """

    name: str = "fake"
    version: str = "1"
    bad: tuple[str, ...] = ()
    deadly: tuple[str, ...] = ()

    def rig(self, face: Face, size: int = 128, device: torch.device | str = "cpu") -> FakeRig:
        if face.name in self.bad:
            raise InputError(f"face {face.name}: no good")
        return FakeRig(face.name, size, float(face.image.mean()) / 255)

    def render(
        self,
        rigs: Sequence[FakeRig],
        controls: Tensor,
        nuisance: Sequence[Nuisance] | None = None,
        grey: bool = True,
    ) -> Tensor:
        nuisance = [Nuisance.none()] * len(rigs) if nuisance is None else nuisance
        if any(rig.name in self.deadly for rig in rigs):
            os.kill(os.getpid(), signal.SIGKILL)
        out = []
        for rig, motion, draw in zip(rigs, controls, nuisance, strict=True):
            value = (rig.shade + 0.02 * motion.sum(-1)) * draw.gain
            out.append(value.view(-1, 1, 1, 1).expand(-1, 1 if grey else 3, rig.size, rig.size))
        return torch.stack(out).clamp(0, 1)


def fake_face(number: int, size: int = 64) -> Face:
    """A flat grey picture; the landmarks mean nothing."""
    image = np.full((size, size, 3), 60 + 20 * (number % 8), dtype=np.uint8)
    return Face(f"face{number}", image, np.zeros((LANDMARKS, 3), dtype=np.float32), "CC0", "fakes")


def fake_track(driver: str, take: int, seconds: float = 3.0, fps: float = 25.0) -> MotionTrack:
    """Slow waves, other ones for every driver and take."""
    rng = np.random.default_rng([*driver.encode(), take])
    time = np.arange(round(seconds * fps))[:, None] / fps
    frequency, phase = rng.uniform(0.2, 2.0, len(CHANNELS)), rng.uniform(0, 6, len(CHANNELS))
    values = np.sin(2 * np.pi * frequency * time + phase).astype(np.float32)
    return MotionTrack(driver, f"{driver}-{take}", fps, values, np.ones(len(values), bool), "fake", "CC0")
