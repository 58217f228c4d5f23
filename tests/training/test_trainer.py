"""The training loop on a small source of random clips whose motion depends on the driver."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from flicker import FlickerSource, clips, config

from whodrives.errors import InputError
from whodrives.models.batchnorm import FrameBatchNorm
from whodrives.training.checkpoint import CheckpointError, load_checkpoint
from whodrives.training.config import config_from_dict
from whodrives.training.release import load_run
from whodrives.training.source import Batch, LabelledClips
from whodrives.training.trainer import Trainer
from whodrives.training.validation import embed_clips, pair_faces
from whodrives.training.weights import load_weights


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


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from flicker import FlickerSource, clips, config
from whodrives.training.trainer import Trainer
trainer = Trainer(config(checkpoint_seconds=0.0), FlickerSource(), clips(), Path(sys.argv[1]))
def die(progress):
    if progress.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
trainer.run(on_step=die)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    program = KILLED.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "killed")], check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL
    # What the killed run wrote after its checkpoint, and a line cut in two.
    log = tmp_path / "killed" / "log.jsonl"
    state = load_checkpoint(tmp_path / "killed" / "last.safetensors", {})
    log.write_text(log.read_text() + json.dumps({"step": state["step"] + 1, "loss": 9.0}) + '\n{"step": 7, "lo')
    second = Trainer(config(), FlickerSource(), clips(), tmp_path / "killed")
    assert second.resume()
    assert 1 <= second.step <= 4
    second.run()
    whole = Trainer(config(), FlickerSource(), clips(), tmp_path / "whole")
    whole.run()
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("killed", "whole")]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in logs]
    assert losses[0] == losses[1]
    expected = weights(whole)
    assert all(torch.equal(value, expected[key]) for key, value in weights(second).items())


def test_the_moving_average_is_what_is_judged_and_shipped(tmp_path: Path) -> None:
    trainer = Trainer(config(ema=0.5), FlickerSource(), clips(), tmp_path)
    trainer.train_step()
    first = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    assert all(torch.equal(p, first[name]) for name, p in trainer.judged.named_parameters())
    trainer.train_step()
    for name, average in trainer.judged.named_parameters():
        expected = 0.5 * first[name] + 0.5 * trainer.model.get_parameter(name)
        assert torch.allclose(average, expected, atol=1e-6), name
    trainer.save()
    shipped, _, _ = load_run(tmp_path / "last.safetensors")
    assert torch.equal(shipped.head.mlp[1].weight, trainer.judged.head.mlp[1].weight)
    assert not torch.equal(shipped.head.mlp[1].weight, trainer.model.head.mlp[1].weight)
    again = Trainer(config(ema=0.5), FlickerSource(), clips(), tmp_path)
    assert again.resume()
    assert again.train_step() == trainer.train_step()
    assert torch.equal(again.judged.head.mlp[1].weight, trainer.judged.head.mlp[1].weight)


def test_early_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([0.6, 0.7, 0.7004, 0.69, 0.8])
    monkeypatch.setattr("whodrives.training.trainer.evaluate_clips", lambda *_: {"pair": next(values), "target": 0.5})
    trainer = Trainer(config(validate_every=1, patience=2), FlickerSource(), clips(), tmp_path)
    assert trainer.run() == 0.7004
    assert trainer.step == 4
    assert trainer.finished
    again = Trainer(config(validate_every=1, patience=2), FlickerSource(), clips(), tmp_path)
    assert again.resume()
    assert again.finished
    assert again.run() == 0.7004
    more = Trainer(config(validate_every=1, patience=3), FlickerSource(), clips(), tmp_path)
    assert more.resume()
    assert not more.finished


def test_starting_from_a_weight_file(tmp_path: Path) -> None:
    preset = {"preset": "plus"}
    trainer = Trainer(config(preset), FlickerSource(), clips(), tmp_path)
    trainer.start_from("bundled")
    bundled = load_weights("bundled")
    for name, parameter in bundled.model.named_parameters():
        assert torch.equal(parameter, trainer.model.get_parameter(name)), name
    assert trainer.history == bundled.card["history"]
    with pytest.raises(InputError, match=r"another architecture.*halved_axis = 'H', not 'W'"):
        Trainer(config({**preset, "halved_axis": "W"}), FlickerSource(), clips(), tmp_path).start_from("bundled")
    (tmp_path / "bad").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="cannot be read"):
        trainer.start_from(tmp_path / "bad")


def test_deterministic_mode_trains(tmp_path: Path) -> None:
    try:
        trainer = Trainer(config(deterministic=True, channels_last=True), FlickerSource(), clips(), tmp_path)
        assert np.isfinite(trainer.train_step())
    finally:
        torch.use_deterministic_algorithms(False)


def test_cutting_a_run_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodrives.training.trainer.evaluate_clips", lambda *_: {"pair": 0.6, "target": 0.5})
    settings = config(validate_every=3, patience=2)
    whole = Trainer(settings, FlickerSource(), clips(), tmp_path / "whole")
    whole.run()
    for until in range(1, 7):
        part = Trainer(settings, FlickerSource(), clips(), tmp_path / "parts")
        part.resume()
        part.run(until=until)
    assert (part.step, part.stale, part.mark, part.best) == (whole.step, whole.stale, whole.mark, whole.best)
    expected = weights(whole)
    assert all(torch.equal(value, expected[key]) for key, value in weights(part).items())


def test_a_new_run_starts_from_the_average_that_was_validated(tmp_path: Path) -> None:
    first = Trainer(config(ema=0.9), FlickerSource(), clips(), tmp_path / "first")
    first.run(until=2)
    second = Trainer(config(), FlickerSource(), clips(), tmp_path / "second")
    second.start_from(tmp_path / "first" / "last.safetensors")
    average = first.judged.state_dict()
    assert all(torch.equal(value, average[key]) for key, value in second.model.state_dict().items())


def test_another_setting_is_named_before_weights_are_compared(tmp_path: Path) -> None:
    Trainer(config(), FlickerSource(), clips(), tmp_path).save()
    with pytest.raises(InputError, match=r"train\.ema"):
        Trainer(config(ema=0.9), FlickerSource(), clips(), tmp_path).resume()


def test_on_step_can_end_a_run(tmp_path: Path) -> None:
    trainer = Trainer(config(), FlickerSource(), clips(), tmp_path)
    trainer.run(on_step=lambda progress: progress.step == 2)
    assert trainer.step == 2
    assert load_checkpoint(tmp_path / "last.safetensors", {})["step"] == 2


class Padded(FlickerSource):
    """Its clips of 3 frames in clips of 6, the last frame repeated; `masked`: and that is told."""

    def __init__(self, masked: bool) -> None:
        self.masked = masked

    def batch(self, step: int, identities: int, samples: int, rows: range | None = None) -> Batch:
        short = super().batch(step, identities, samples, rows)
        frames = torch.cat((short.frames, short.frames[:, -1:].expand(-1, 3, -1, -1, -1)), dim=1)
        return Batch(frames, short.driver, valid=torch.full((len(frames),), 3) if self.masked else None)


@pytest.mark.parametrize("piece_clips", [0, 3])
def test_a_padded_clip_trains_like_the_short_one(tmp_path: Path, piece_clips: int) -> None:
    """With padding masked, loss and gradients are those of the clips without it; BatchNorm apart, which counts it."""
    found = {}
    for name, source in (("short", FlickerSource()), ("masked", Padded(True)), ("padded", Padded(False))):
        settings = config({"neighbours": 1, "dropout": 0.0}, piece_clips=piece_clips)
        trainer = Trainer(settings, source, clips(), tmp_path / name)
        for module in trainer.model.modules():
            if isinstance(module, FrameBatchNorm | torch.nn.BatchNorm3d):
                module.eval()
        loss = trainer.train_step()
        found[name] = loss, {key: p.grad for key, p in trainer.model.named_parameters() if p.grad is not None}
    assert found["masked"][0] == pytest.approx(found["short"][0], rel=1e-5)
    assert abs(found["padded"][0] - found["short"][0]) > 2e-4
    whole = torch.stack([gradient.norm() for gradient in found["short"][1].values()]).norm()
    for key, gradient in found["short"][1].items():
        assert (found["masked"][1][key] - gradient).norm() <= 1e-3 * whole, key


def test_validation_masks_padding() -> None:
    trainer = Trainer(config(), FlickerSource(), clips(), Path("unused"))
    short = clips()
    frames = torch.cat((short.frames, short.frames[:, -1:].expand(-1, 3, -1, -1, -1)), dim=1)
    padded = replace(short, frames=frames)
    masked = replace(padded, valid=torch.full((len(frames),), 3))
    alone, found, told = (
        embed_clips(trainer.model, one.frames, precision="fp32", valid=one.valid) for one in (short, padded, masked)
    )
    np.testing.assert_allclose(told, alone, atol=1e-5)
    assert np.abs(found - alone).max() > 1e-3


def test_validation_without_other_faces(tmp_path: Path) -> None:
    footage = clips()
    own = LabelledClips(
        footage.frames, footage.driver, footage.driver, footage.recording, np.ones(len(footage.driver), bool)
    )
    trainer = Trainer(config(), FlickerSource(), own, tmp_path)
    assert set(trainer.validate()) == {"pair_auc"}
    lonely = LabelledClips(own.frames, np.full(12, "ana"), own.target, own.recording, own.is_self)
    with pytest.raises(InputError, match="two drivers"):
        pair_faces(lonely)
