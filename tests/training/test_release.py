"""From run to weight file: trials, refitting the head."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from whodrives.cli.main import cli
from whodrives.errors import InputError
from whodrives.models import build_model
from whodrives.training.config import RecipeConfig, SourceConfig, config_from_dict
from whodrives.training.head_fit import varied
from whodrives.training.loss import Prototypes
from whodrives.training.opening import open_data
from whodrives.training.refit import collect_features, pooled_features, refit_head
from whodrives.training.release import summarise, trial_windows, verification_trials
from whodrives.training.source import AvatarSource, LabelledClips, evaluation_clips
from whodrives.training.trainer import Trainer
from whodrives.training.validation import embed_clips
from whodrives.training.weights import load_weights
from whodrives.verification.fingerprinter import read_model_info

BUILTIN = SourceConfig(builtin_drivers=3, procedural_faces=3, clip_length=4, validation_others=1, validation_drivers=2)


def labelled() -> tuple[np.ndarray, LabelledClips]:
    """3 drivers x 2 recordings, on the own face and on the next one's, 2 windows each."""
    rows = [(d, r, f) for d in range(3) for r in range(2) for f in (d, (d + 1) % 3) for _ in range(2)]
    vectors = np.random.default_rng(0).normal(size=(len(rows), 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    driver, target = np.array([f"d{d}" for d, _, _ in rows]), np.array([f"f{f}" for _, _, f in rows])
    recording = np.array([f"d{d}-{r}" for d, r, _ in rows])
    return vectors, LabelledClips(torch.empty(0), driver, target, recording, np.array([d == f for d, _, f in rows]))


def test_trials_are_the_loop_over_videos() -> None:
    vectors, clips = labelled()
    genuine, impostor = [], []
    for video in range(0, len(vectors), 2):
        template = np.zeros(5)
        for n in range(len(vectors)):
            own = clips.is_self[n] and clips.target[n] == clips.target[video]
            if own and clips.recording[n] != clips.recording[video]:
                template += vectors[n]
        template /= np.linalg.norm(template)
        score = (vectors[video] @ template + vectors[video + 1] @ template) / 2
        (genuine if clips.is_self[video] else impostor).append(score)
    trials = verification_trials(vectors, clips, windows=2, per_video=2)
    assert trials.genuine == pytest.approx(genuine)
    assert trials.impostor == pytest.approx(impostor)
    assert len(verification_trials(vectors, clips, windows=1, per_video=2).genuine) == 2 * len(genuine)
    parts = trial_windows(vectors, clips, 2)
    assert parts.genuine.mean(axis=1) == pytest.approx(genuine)
    assert parts.impostor.shape == (len(impostor), 2)
    assert (trials.genuine_people[:, 0] == trials.genuine_people[:, 1]).all()
    owner = {clips.target[n]: clips.driver[n] for n in np.flatnonzero(clips.is_self)}
    others = [(clips.driver[n], owner[clips.target[n]]) for n in range(0, len(vectors), 2) if not clips.is_self[n]]
    assert [tuple(who) for who in trials.impostor_people] == others
    with pytest.raises(InputError, match="exceed"):
        verification_trials(vectors, clips, windows=3, per_video=2)
    with pytest.raises(InputError, match="do not form videos"):
        trial_windows(vectors, clips, 5)


def test_summary_has_both_counts_and_probabilities() -> None:
    summary = summarise(*labelled(), per_video=2)
    assert set(summary) == {"1", "2"}
    assert all(0 <= value <= 1 for row in summary.values() for value in row.values())


def test_validation_people_and_faces_are_not_the_training_ones() -> None:
    source = AvatarSource(BUILTIN, seed=0)
    clips = evaluation_clips(BUILTIN, "val", others=1)
    assert not set(clips.driver) & {driver.name for driver in source.drivers}
    assert clips.is_self.sum() * 2 == len(clips.is_self)
    assert clips.frames.dtype == torch.uint8


def test_refit_replaces_the_mlp_alone_and_separates_what_it_saw() -> None:
    torch.manual_seed(0)
    model, source = build_model("paper"), AvatarSource(BUILTIN, seed=0)
    prototypes = Prototypes(len(source.drivers), 256)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    recipe = RecipeConfig(identities=2, samples=2, cross_entropy_weight=1.0, temperature=0.1, seed=3, refit_batches=5)
    refit_head(model, prototypes, source, recipe, steps=60)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {f"head.mlp.{n}.{kind}" for n in (0, 1) for kind in ("weight", "bias")}
    assert model.training
    batch = source.batch(1_000_000_000, 2, 2)
    vectors = embed_clips(model, batch.frames, precision="fp32")
    cosine = vectors @ vectors.T
    same = batch.driver[:, None].numpy() == batch.driver[None].numpy()
    assert cosine[same].mean() > cosine[~same].mean()
    assert pooled_features(model, batch.frames).shape == (4, 512)
    with pytest.raises(InputError, match="needs as many"):
        refit_head(model, prototypes, source, RecipeConfig(identities=4, samples=2), steps=1)
    with pytest.raises(InputError, match="cannot be refitted"):
        refit_head(build_model("paper", backbone="resnet18_released"), prototypes, source, recipe, steps=1)


def test_of_a_head_that_reads_step_by_step_all_but_the_reading_is_refitted() -> None:
    torch.manual_seed(0)
    model, source = build_model("plus"), AvatarSource(BUILTIN, seed=0)
    prototypes = Prototypes(len(source.drivers), 256)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    recipe = RecipeConfig(
        identities=2, samples=2, cross_entropy_weight=1.0, temperature=0.1, seed=3, refit_batches=5, precision="fp32"
    )
    refit_head(model, prototypes, source, recipe, steps=60)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {key for key in before if key.startswith("head.") and "reader" not in key}
    batch = source.batch(1_000_000_000, 2, 2)
    series = pooled_features(model, batch.frames, precision="fp32")
    assert series.shape == (4, 33, batch.frames.shape[1] - 1)
    # The whole network gives what the refitted part gives for what was kept.
    model.eval()
    with torch.no_grad():
        kept = torch.nn.functional.normalize(model.head.finish(series))
    vectors = embed_clips(model, batch.frames, precision="fp32")
    assert np.allclose(kept, vectors, atol=1e-4)
    cosine = vectors @ vectors.T
    same = batch.driver[:, None].numpy() == batch.driver[None].numpy()
    assert cosine[same].mean() > cosine[~same].mean()


def test_varied_series_are_parts_of_them_forwards_or_backwards() -> None:
    rng = np.random.default_rng(0)
    series = torch.randn(6, 3, 16)
    lengths, ways = set(), set()
    for _ in range(60):
        made = varied(series, rng)
        lengths.add(made.shape[2])
        for row, clip in enumerate(made):
            parts = series[row].unfold(1, made.shape[2], 1).transpose(0, 1)
            forwards = any(torch.equal(clip, part) for part in parts)
            assert forwards or any(torch.equal(clip, -part.flip(1)) for part in parts)
            ways.add(forwards)
    assert lengths == set(range(10, 17))
    assert ways == {True, False}
    assert varied(torch.ones(2, 3, 1), rng).shape == (2, 3, 1)
    whole = torch.arange(8.0).expand(50, 1, 8)
    assert {float((part[0, 1] - part[0, 0]).sign()) for part in varied(whole, rng, 1.0)} == {1.0, -1.0}
    assert all(part[0, 1] > part[0, 0] for part in varied(whole, rng, None))


def test_a_recipe_that_learns_no_drivers_refits_nothing() -> None:
    model, source = build_model("plus"), AvatarSource(BUILTIN, seed=0)
    recipe = RecipeConfig(
        identities=2, samples=2, contrastive_weight=0.0, motion_weight=1.0, refit_batches=1, precision="fp32"
    )
    with pytest.raises(InputError, match="contrastive_weight or cross_entropy_weight"):
        refit_head(model, Prototypes(3, 256), source, recipe, steps=1)


def test_a_run_becomes_weights_with_a_whole_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOOKS", 64), ("OTHERS", 1), ("FARS", (0.05, 0.1))):
        monkeypatch.setattr(f"whodrives.training.release.{name}", value)
    data = {"builtin_drivers": 3, "procedural_faces": 3, "clip_length": 4, "validation_others": 1}
    recipe = {"identities": 2, "samples": 2, "epochs": 1, "steps_per_epoch": 1, "precision": "fp32", "threads": 1}
    config = config_from_dict({"data": {**data, "validation_drivers": 4}, "train": recipe})
    source, clips = open_data(config, torch.device("cpu"))
    Trainer(config, source, clips, tmp_path / "run").run()
    words, out = tmp_path / "card.toml", tmp_path / "w.safetensors"
    words.write_text('name = "theirs"\nversion = "2"\nlicence = "none"\n')
    call = ["calibrate", str(tmp_path / "run"), "-o", str(out), "--card", str(words), "--name", "mine", "--json"]
    done = CliRunner().invoke(cli, [*call, "--checkpoint", "last"])
    assert done.exit_code == 0, done.output
    card = json.loads(done.stdout)
    assert (card["name"], card["version"], card["licence"], card["limits"]) == ("mine", "2", "none", "")
    weights = load_weights(out)
    del card["schema_version"]
    assert weights.card == {**card, "card_schema": 1, "model": config.model.to_dict()}
    info = read_model_info(weights.card, weights.digest)
    assert set(info.thresholds) == {0.05, 0.1}
    assert info.calibration is not None
    assert 0 <= card["training_auc"] <= 1
    # One in a hundred of the validation clips may lie outside: they are what the limit comes from.
    assert info.domain is not None
    told = evaluation_clips(config.data, "val", windows=4, others=1, seed=1).frames[:, :, 0].numpy()
    assert np.mean([info.domain.distance(clip) > 1 for clip in told]) <= 0.02
    noise = np.random.default_rng(0).integers(0, 256, told[0].shape, dtype=np.uint8)
    assert info.domain.distance(noise) > 1
    for wrong in ("name = 3\n", 'colour = "red"\n', "name = \n"):
        words.write_text(wrong)
        refused = CliRunner().invoke(cli, call)
        assert refused.exit_code == 2
        assert "card.toml" in refused.output


def test_rendering_ahead_changes_no_series() -> None:
    torch.manual_seed(0)
    model, source = build_model("plus"), AvatarSource(BUILTIN, seed=0)
    recipe = RecipeConfig(identities=2, samples=2, precision="fp32")
    ahead, one_by_one = (
        collect_features(model, source, dataclasses.replace(recipe, prefetch=prefetch), 3) for prefetch in (True, False)
    )
    assert torch.equal(ahead[0], one_by_one[0])
    assert torch.equal(ahead[1], one_by_one[1])
    assert len(ahead[0]) == 12
