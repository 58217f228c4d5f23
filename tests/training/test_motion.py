"""The auxiliary regression of the true motion."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from flicker import FlickerSource, clips, config

from whodrives.errors import InputError
from whodrives.training.motion import MotionReadout, motion_scale, spans
from whodrives.training.source import Batch
from whodrives.training.trainer import Trainer


class MovingSource(FlickerSource):
    """Random clips whose two controls are told: how bright the frame is, and one that never changes."""

    def batch(self, step: int, identities: int, samples: int, rows: range | None = None) -> Batch:
        made = super().batch(step, identities, samples, rows)
        level = made.frames.mean(dim=(2, 3, 4))
        return Batch(made.frames, made.driver, torch.stack([level, torch.ones_like(level)], dim=2))

    def motion_scale(self) -> torch.Tensor:
        return torch.tensor([[0.002, 0.0]] * 3)


def test_scale_is_over_all_windows_of_a_clips_length() -> None:
    rng = np.random.default_rng(0)
    tracks = [rng.normal(size=(length, 2)) * [1, 0] for length in (8, 13)]
    squares: list[list[float]] = [[], [], []]
    for track in tracks:
        for start in range(0, len(track) - 8 + 1, 4):
            window = track[start : start + 8, 0]
            squares[0] += [(window[t + 1] - window[t]) ** 2 for t in range(7)]
            squares[1] += [(window[t + 2] - window[t]) ** 2 for t in range(6)]
            squares[2] += [(value - window.mean()) ** 2 for value in window]
    scale = motion_scale(tracks, 8)
    assert scale[:, 0].numpy() == pytest.approx([np.sqrt(np.mean(part)) for part in squares])
    assert scale[:, 1].tolist() == [0, 0, 0]


def test_loss_is_the_unexplained_share_of_the_controls_that_move() -> None:
    torch.manual_seed(0)
    scale = torch.tensor([[0.5, 0.0, 2.0], [0.7, 0.0, 3.0], [0.6, 0.0, 2.5]])
    readout = MotionReadout(20, scale)
    volume, motion = torch.randn(3, 20, 4, 16, 16), torch.randn(3, 5, 3)
    parts = []
    for clip in range(3):
        course = [torch.zeros(3)]
        for step in range(4):
            few = torch.einsum("oc,chw->ohw", readout.reader.squeeze.weight[:, :, 0, 0], volume[clip, :, step])
            course.append(course[-1] + readout.reader.read.weight.detach() @ few.detach().flatten() * scale[0])
        for control in (0, 2):
            seen, told = torch.stack(course)[:, control], motion[clip, :, control]
            for row, (one, two) in enumerate(zip(spans(seen[None, :, None]), spans(told[None, :, None]), strict=True)):
                parts.append((row, control, float(((one - two) / scale[row, control]).square().mean())))
    wanted = np.mean([np.mean([v for r, c, v in parts if (r, c) == key]) for key in {(r, c) for r, c, _ in parts}])
    assert float(readout.loss(readout(volume), motion).detach()) == pytest.approx(wanted, rel=1e-4)


def test_motion_alone_leaves_the_head_as_it_is(tmp_path: Path) -> None:
    made = [MovingSource().batch(1000 + n, 3, 2) for n in range(2)]
    told = dataclasses.replace(clips(), motion=torch.cat([batch.motion for batch in made]))  # type: ignore[arg-type]
    alone = config({"normalisation": "fixed"}, motion_weight=1.0, contrastive_weight=0.0, cross_entropy_weight=0.0)
    trainer = Trainer(alone, MovingSource(), told, tmp_path)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    best = trainer.run(until=3)
    assert best <= 1
    changed = {
        name.split(".")[0] for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])
    }
    assert changed == {"backbone"}
    row = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[2])
    assert row["val_motion_r2"] == pytest.approx(best, abs=1e-4)
    with pytest.raises(InputError, match="do not tell their motion"):
        Trainer(alone, MovingSource(), clips(), tmp_path).validate()


def test_a_head_that_reads_step_by_step_learns_to_read(tmp_path: Path) -> None:
    class Controls(MovingSource):
        def batch(self, step: int, identities: int, samples: int, rows: range | None = None) -> Batch:
            made = super().batch(step, identities, samples, rows)
            assert made.motion is not None
            return Batch(made.frames, made.driver, torch.nn.functional.pad(made.motion, (0, 31)))

        def motion_scale(self) -> torch.Tensor:
            return torch.nn.functional.pad(super().motion_scale(), (0, 31))

    told = dataclasses.replace(clips(), motion=Controls().batch(0, 3, 4).motion)
    learned = {"backbone": "residual", "head": "conv1d"}
    alone = config(learned, motion_weight=1.0, contrastive_weight=0.0, cross_entropy_weight=0.0)
    trainer = Trainer(alone, Controls(), told, tmp_path)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.run(until=3)
    after = dict(trainer.model.named_parameters())
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name for name in changed if not name.startswith("backbone.")} == {
        "head.reader.read.weight",
        "head.reader.squeeze.weight",
    }
    # What never moves is not read.
    assert after["head.reader.read.weight"][:1].all()
    assert not after["head.reader.read.weight"][1:].any()
    driver = Trainer(config(learned), Controls(), told, tmp_path / "driver")
    driver.start_from(tmp_path / "last.safetensors")
    driver.train_step()
    row = driver.model.head.reader.read.weight  # type: ignore[union-attr]
    assert not row[1:].any()  # type: ignore[index]
    assert not torch.equal(row[:1], after["head.reader.read.weight"][:1])  # type: ignore[index]
    assert len({id(parameter) for parameter in trainer.parameters}) == len(trainer.parameters)
    again = Trainer(alone, Controls(), told, tmp_path)
    assert again.resume()
    assert torch.equal(again.model.head.reader.read.weight, after["head.reader.read.weight"])  # type: ignore[union-attr, arg-type]
    assert again.motion is not None
    assert again.motion.reader.read.weight is again.model.head.reader.read.weight  # type: ignore[union-attr]


def test_explained_motion_is_one_for_the_truth_and_nought_for_nothing() -> None:
    from whodrives.training.validation import explained_motion

    class Told(torch.nn.Module):
        """A network and readout in one that know the answer, times `share`."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share, self.weight = share, torch.nn.Parameter(torch.zeros(1))

        def represent(self, frames: torch.Tensor) -> torch.Tensor:
            return frames.float().mean(dim=(2, 3, 4))[:, None]

        def forward(self, volume: torch.Tensor) -> torch.Tensor:
            return self.share * (volume[:, 0, 1:] - volume[:, 0, :-1])[..., None] / 2

        def errors(self, changes: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
            return MotionReadout(8, torch.full((3, 1), 2.0)).errors(changes, motion)

    shown = clips()
    told = dataclasses.replace(shown, motion=shown.frames.float().mean(dim=(2, 3, 4))[..., None])
    for share, wanted in ((1.0, 1.0), (0.0, 0.0), (2.0, 0.0), (0.5, 0.75)):
        network = Told(share)
        found = explained_motion(network, network, told, precision="fp32")  # type: ignore[arg-type]
        assert found == pytest.approx(wanted, abs=1e-5)


def test_it_reaches_the_backbone_and_is_logged(tmp_path: Path) -> None:
    trainer = Trainer(config(motion_weight=1.0), MovingSource(), clips(), tmp_path)
    trainer.run(until=2)
    assert trainer.motion is not None
    assert trainer.motion.reader.read.weight.grad is not None
    assert float(trainer.motion.reader.read.weight.grad[0].abs().sum()) > 0
    assert float(trainer.motion.reader.read.weight.grad[1].abs().sum()) == 0
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(row["motion_r2"]) for row in rows)
    again = Trainer(config(motion_weight=1.0), MovingSource(), clips(), tmp_path)
    assert again.resume()
    assert torch.equal(again.motion.reader.read.weight, trainer.motion.reader.read.weight)  # type: ignore[union-attr]
    # What is shipped is the network alone.
    assert not any("motion" in name for name in trainer.model.state_dict())


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="simulated clips"):
        Trainer(config(motion_weight=1.0), FlickerSource(), clips(), tmp_path)
    with pytest.raises(InputError, match="pixel_diff, flow"):
        Trainer(config({"representation": "static"}, motion_weight=1.0), MovingSource(), clips(), tmp_path)
    averaged = config(motion_weight=1.0, contrastive_weight=0.0, cross_entropy_weight=0.0, ema=0.9)
    with pytest.raises(InputError, match="averages what embeds"):
        Trainer(averaged, MovingSource(), clips(), tmp_path)
    with pytest.raises(ValueError, match="reads 33 controls, the source has 2"):
        Trainer(config({"preset": "plus"}, motion_weight=1.0), MovingSource(), clips(), tmp_path)
    alone = config(
        {"preset": "plus", "head": "conv3d"}, motion_weight=1.0, contrastive_weight=0.0, cross_entropy_weight=0.0
    )
    with pytest.raises(InputError, match="nothing that is kept"):
        Trainer(alone, MovingSource(), clips(), tmp_path)
    with pytest.raises(InputError, match="nothing is learned"):
        Trainer(config(contrastive_weight=0.0, cross_entropy_weight=0.0), MovingSource(), clips(), tmp_path)
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
    assert scale.shape == (3, made.motion.shape[2])
    assert (scale >= 0).all()
    assert (scale > 0).any()
