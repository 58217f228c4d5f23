"""The auxiliary regression of the true motion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from flicker import FlickerSource, clips, config

from whodrives.errors import InputError
from whodrives.training.motion import MotionReadout
from whodrives.training.source import Batch
from whodrives.training.trainer import Trainer


class MovingSource(FlickerSource):
    """Random clips whose two controls are told: how bright the frame is, and one that never changes."""

    def batch(self, step: int, identities: int, samples: int, rows: range | None = None) -> Batch:
        made = super().batch(step, identities, samples, rows)
        level = made.frames.mean(dim=(2, 3, 4))
        return Batch(made.frames, made.driver, torch.stack([level, torch.ones_like(level)], dim=2))

    def motion_scale(self) -> torch.Tensor:
        return torch.tensor([0.002, 0.0])


def test_loss_is_the_unexplained_share_of_the_controls_that_move() -> None:
    torch.manual_seed(0)
    readout = MotionReadout(8, torch.tensor([0.5, 0.0, 2.0]))
    volume, motion = torch.randn(3, 8, 4, 16, 16), torch.randn(3, 5, 3)
    total = 0.0
    for clip in range(3):
        for step in range(4):
            blocks = volume[clip, :, step].reshape(8, 4, 4, 4, 4).mean(dim=(2, 4))
            read = readout.linear(blocks.flatten())
            for control, scale in ((0, 0.5), (2, 2.0)):
                told = (motion[clip, step + 1, control] - motion[clip, step, control]) / scale
                total += float((read[control] - told).detach()) ** 2
    assert float(readout.loss(volume, motion).detach()) == pytest.approx(total / (3 * 4 * 2), rel=1e-4)


def test_it_reaches_the_backbone_and_is_logged(tmp_path: Path) -> None:
    trainer = Trainer(config(motion_weight=1.0), MovingSource(), clips(), tmp_path)
    trainer.run(until=2)
    assert trainer.motion is not None
    assert trainer.motion.linear.weight.grad is not None
    assert float(trainer.motion.linear.weight.grad[0].abs().sum()) > 0
    assert float(trainer.motion.linear.weight.grad[1].abs().sum()) == 0
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(row["motion_r2"]) for row in rows)
    again = Trainer(config(motion_weight=1.0), MovingSource(), clips(), tmp_path)
    assert again.resume()
    assert torch.equal(again.motion.linear.weight, trainer.motion.linear.weight)  # type: ignore[union-attr]
    # What is shipped is the network alone.
    assert not any("motion" in name for name in trainer.model.state_dict())


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="simulated clips"):
        Trainer(config(motion_weight=1.0), FlickerSource(), clips(), tmp_path)
    with pytest.raises(InputError, match="feat_diff or pixel_diff"):
        Trainer(config({"representation": "static"}, motion_weight=1.0), MovingSource(), clips(), tmp_path)
    with pytest.raises(InputError, match="whole batch"):
        Trainer(config(motion_weight=1.0, piece_clips=2), MovingSource(), clips(), tmp_path)


def test_the_simulator_tells_what_it_shows() -> None:
    from whodrives.training.config import SourceConfig
    from whodrives.training.source import AvatarSource

    source = AvatarSource(SourceConfig(builtin_drivers=2, procedural_faces=2, clip_length=4), seed=0)
    made = source.batch(0, 2, 2)
    assert made.motion is not None
    assert made.motion.shape[:2] == made.frames.shape[:2]
    scale = source.motion_scale()
    assert scale.shape == made.motion.shape[2:]
    assert (scale >= 0).all()
    assert (scale > 0).any()
