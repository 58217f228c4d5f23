"""The training loop on a small source of random clips whose motion depends on the driver."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from whodrives.errors import InputError
from whodrives.training.checkpoint import CheckpointError
from whodrives.training.config import TrainConfig, config_from_dict
from whodrives.training.release import load_run
from whodrives.training.source import Batch, LabelledClips
from whodrives.training.trainer import Trainer, embed_clips


class FlickerSource:
    """Driver d makes a noise image flicker with strength d + 1."""

    drivers = (0, 1, 2)

    def batch(self, step: int, identities: int, samples: int) -> Batch:
        rng = np.random.default_rng([5, step])
        driver = np.repeat(rng.choice(3, identities, replace=False), samples)
        frames = rng.random((len(driver), 3, 1, 128, 128)) * (driver[:, None, None, None, None] + 1) / 4
        return Batch(torch.from_numpy(frames).float(), torch.from_numpy(driver))


def clips() -> LabelledClips:
    batches = [FlickerSource().batch(1000 + n, 3, 2) for n in range(2)]
    driver = torch.cat([b.driver for b in batches]).numpy().astype(str)
    frames = torch.cat([(b.frames * 255).to(torch.uint8) for b in batches])
    target = np.where(np.arange(len(driver)) % 3 == 2, np.roll(driver, 2), driver)
    recording = np.array([f"{d}-{n}" for n, d in enumerate(driver)])
    return LabelledClips(frames, driver, target, recording, driver == target)


def config(**train: object) -> TrainConfig:
    base = {"identities": 2, "samples": 2, "epochs": 1, "steps_per_epoch": 6, "warmup_epochs": 0.5, "precision": "fp32",
            "validate_every": 3, "cross_entropy_weight": 1.0}  # fmt: skip
    return config_from_dict({"train": {**base, **train}})


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resume_continues_bit_for_bit(tmp_path: Path, precision: str) -> None:
    whole = Trainer(config(precision=precision), FlickerSource(), clips(), tmp_path / "whole")
    whole.run()
    first = Trainer(config(precision=precision), FlickerSource(), clips(), tmp_path / "parts")
    first.run(until=2)
    second = Trainer(config(precision=precision), FlickerSource(), clips(), tmp_path / "parts")
    assert second.resume()
    assert second.step == 2
    second.run()
    expected = weights(whole)
    for key, value in weights(second).items():
        assert torch.equal(value, expected[key]), key
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    again = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in lines] == [row["loss"] for row in again]
    assert "val_pair_auc" in lines[2]
    assert (tmp_path / "whole" / "best.safetensors").exists()


def test_loss_falls_on_an_easy_problem(tmp_path: Path) -> None:
    settings = config(epochs=4, warmup_epochs=0.2, lr=3e-3)
    trainer = Trainer(settings, FlickerSource(), clips(), tmp_path)
    losses = [trainer.train_step() for _ in range(24)]
    assert np.mean(losses[-6:]) < np.mean(losses[:6])


def test_prefetch_changes_nothing(tmp_path: Path) -> None:
    ahead = Trainer(config(prefetch=True), FlickerSource(), clips(), tmp_path / "a")
    plain = Trainer(config(prefetch=False), FlickerSource(), clips(), tmp_path / "b")
    assert [ahead.train_step() for _ in range(3)] == [plain.train_step() for _ in range(3)]


def test_embedding_leaves_the_mode_alone() -> None:
    trainer = Trainer(config(), FlickerSource(), clips(), Path("unused"))
    out = embed_clips(trainer.model, clips().frames, precision="fp32")
    assert trainer.model.training
    assert np.allclose(np.linalg.norm(out, axis=1), 1, atol=1e-5)


def test_unusable_checkpoints_are_typed_errors(tmp_path: Path) -> None:
    trainer = Trainer(config(), FlickerSource(), clips(), tmp_path)
    assert not trainer.resume()
    (tmp_path / "last.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="remove it"):
        trainer.resume()
    trainer.save()
    other = Trainer(config_from_dict({"model": {"preset": "release"}}), FlickerSource(), clips(), tmp_path)
    with pytest.raises((InputError, CheckpointError)):
        other.resume()


def test_fp16_needs_cuda(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="CUDA"):
        Trainer(config(precision="fp16"), FlickerSource(), clips(), tmp_path)


def test_a_resumed_run_must_learn_from_the_same(tmp_path: Path) -> None:
    first = Trainer(config(), FlickerSource(), clips(), tmp_path)
    first.run(until=2)
    longer = Trainer(config(epochs=2, validate_every=50), FlickerSource(), clips(), tmp_path)
    assert longer.resume()
    for changes in ({"lr": 0.5}, {"seed": 7}, {"samples": 3}):
        other = Trainer(config(**changes), FlickerSource(), clips(), tmp_path)
        with pytest.raises(InputError, match=f"train.{next(iter(changes))}"):
            other.resume()


def test_history_counts_what_went_before(tmp_path: Path) -> None:
    first = Trainer(config(), FlickerSource(), clips(), tmp_path / "first")
    first.run(until=2)
    second = Trainer(config(lr=5e-4), FlickerSource(), clips(), tmp_path / "second")
    second.start_from(tmp_path / "first" / "last.safetensors")
    for key, value in weights(first).items():
        assert torch.equal(value, weights(second)[key])
    second.run(until=1)
    model, settings, history = load_run(tmp_path / "second" / "last.safetensors")
    assert [part["steps"] for part in history] == [2, 1]
    assert [part["clips"] for part in history] == [8, 4]
    assert history[0]["config"]["train"]["lr"] != history[1]["config"]["train"]["lr"] == settings.train.lr
    assert not model.training
