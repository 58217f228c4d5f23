"""A small source of random clips whose motion depends on the driver, for tests of the training loop."""

from __future__ import annotations

import numpy as np
import torch

from whodrives.training.config import TrainConfig, config_from_dict
from whodrives.training.source import Batch, LabelledClips


class FlickerSource:
    """Driver d makes a noise image flicker with strength d + 1; clips of 3 frames."""

    drivers = (0, 1, 2)

    def batch(self, step: int, identities: int, samples: int, rows: range | None = None) -> Batch:
        rng = np.random.default_rng([5, step])
        driver = np.repeat(rng.choice(3, identities, replace=False), samples)
        frames = rng.random((len(driver), 3, 1, 128, 128)) * (driver[:, None, None, None, None] + 1) / 4
        rows = range(len(driver)) if rows is None else rows
        return Batch(torch.from_numpy(frames[rows]).float(), torch.from_numpy(driver[rows]))


def clips() -> LabelledClips:
    """12 clips of the three drivers, every third on another's face."""
    batches = [FlickerSource().batch(1000 + n, 3, 2) for n in range(2)]
    driver = torch.cat([b.driver for b in batches]).numpy().astype(str)
    frames = torch.cat([(b.frames * 255).to(torch.uint8) for b in batches])
    target = np.where(np.arange(len(driver)) % 3 == 2, np.roll(driver, 2), driver)
    recording = np.array([f"{d}-{n}" for n, d in enumerate(driver)])
    return LabelledClips(frames, driver, target, recording, driver == target)


def config(model: dict[str, object] | None = None, **train: object) -> TrainConfig:
    """A run of 6 steps of 2 x 2 clips; `train` changes it."""
    base = {"identities": 2, "samples": 2, "epochs": 1, "steps_per_epoch": 6, "warmup_epochs": 0.5, "precision": "fp32",
            "validate_every": 3, "cross_entropy_weight": 1.0}  # fmt: skip
    return config_from_dict({"model": model or {}, "train": {**base, **train}})
