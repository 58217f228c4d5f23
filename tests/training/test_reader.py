"""The reading layer by least squares: the textbook solution, controls that never move, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from flicker import FlickerSource

from whodrives.avatars.tracks import CHANNELS
from whodrives.cli.main import cli
from whodrives.errors import InputError
from whodrives.models import build_model
from whodrives.models.series_head import CONTROLS
from whodrives.training.config import RecipeConfig, SourceConfig
from whodrives.training.reader import FIRST_READER_STEP, PENALTY, fit_reader
from whodrives.training.release import load_run
from whodrives.training.source import AvatarSource

TINY = SourceConfig(builtin_drivers=3, procedural_faces=2, clip_length=10, fps=12.5, generators={"warp": 1.0})
RECIPE = RecipeConfig(identities=3, samples=3, seed=3, reader_batches=2, precision="fp32")


class StillBrow(AvatarSource):
    """Says that the first control never moves."""

    def motion_scale(self) -> torch.Tensor:
        scale = super().motion_scale()
        scale[:, 0] = 0.0
        return scale


def test_it_is_ridge_regression_on_the_steps_of_all_clips() -> None:
    model, source = build_model("plus"), StillBrow(TINY, seed=0)
    assert fit_reader(model, source, RECIPE) == 18
    scale = source.motion_scale()[0].double().numpy()
    moves = scale > 0
    assert 10 < moves.sum() < CONTROLS
    rows, told = [], []
    for number in range(2):
        batch = source.batch(FIRST_READER_STEP + number, 3, 3)
        with torch.no_grad():
            volume = model.represent(batch.frames).double()
        assert batch.motion is not None
        for clip in range(9):
            for step in range(9):
                rows.append(volume[clip, :, step].flatten().numpy())
                change = batch.motion[clip, step + 1].double() - batch.motion[clip, step].double()
                told.append(change.numpy()[moves] / scale[moves])
    x, y = np.array(rows), np.array(told)
    unit = np.sqrt((x**2).mean(axis=0))
    unit = np.maximum(unit, 0.1 * np.sort(unit)[(len(unit) - 1) // 2])
    # Ridge as more rows of data: sqrt(n penalty) on the diagonal, answered by zero.
    more = np.vstack([x / unit, np.sqrt(len(x) * PENALTY) * np.eye(len(unit))])
    expected = np.linalg.lstsq(more, np.vstack([y, np.zeros((len(unit), y.shape[1]))]), rcond=None)[0] / unit[:, None]
    weight = model.head.reader.read.weight.detach().double().numpy()  # type: ignore[union-attr, operator]
    assert np.abs(x @ weight[moves].T - x @ expected).max() < 1e-3
    assert not weight[~moves].any()


def test_it_reads_motion_of_other_clips() -> None:
    model, source = build_model("plus"), AvatarSource(TINY, seed=0)
    fit_reader(model, source, RECIPE)
    batch, scale = source.batch(7, 3, 3), source.motion_scale()[0]
    assert batch.motion is not None
    told = (batch.motion[:, 1:] - batch.motion[:, :-1]) / torch.where(scale > 0, scale, 1.0)
    with torch.no_grad():
        found = model.head.reader(model.represent(batch.frames))  # type: ignore[union-attr, operator]
    for name in ("yaw", "roll"):
        place = CHANNELS.index(name)
        seen, true = found[..., place].flatten().numpy(), told[..., place].flatten().numpy()
        assert np.corrcoef(seen, true)[0, 1] > 0.7


def test_an_experiment_fits_both_layers(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        '[model]\npreset = "plus"\n[data]\nbuiltin_drivers = 3\nprocedural_faces = 2\nclip_length = 8\n'
        'validation_drivers = 2\nvalidation_others = 1\ngenerators = ["warp"]\n[train]\nidentities = 3\nsamples = 2\n'
        'epochs = 0\nreader_batches = 2\nrefit_batches = 1\nprecision = "fp32"\n'
    )
    words = ["train", str(tmp_path / "x.toml"), "-o", str(tmp_path / "run"), "--json", "--device", "cpu"]
    done = CliRunner().invoke(cli, [*words, "--refit-head", "2"])
    assert done.exit_code == 0, done.output
    assert 0 <= json.loads(done.output)["best_val_pair_auc"] <= 1
    model, config, history = load_run(tmp_path / "run" / "best.safetensors")
    assert history[:2] == [{"reader_batches": 2, "clips": 12}, {"refit_head_steps": 2, "clips": 6}]
    alone = build_model("plus")
    fit_reader(alone, AvatarSource(config.data, config.train.seed), config.train)
    assert torch.equal(model.head.reader.read.weight, alone.head.reader.read.weight)  # type: ignore[union-attr, arg-type]


def test_a_new_reader_under_an_old_head_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[model]\npreset = "plus"\n[train]\nreader_batches = 2\n')
    words = ["train", str(tmp_path / "x.toml"), "-o", str(tmp_path / "run"), "--init", "bundled"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert "train.reader_batches=0" in done.output


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="needs changes"):
        fit_reader(build_model("paper", head="conv1d", representation="static"), AvatarSource(TINY, seed=0), RECIPE)
    with pytest.raises(InputError, match="head = 'conv1d'"):
        fit_reader(build_model("paper"), AvatarSource(TINY, seed=0), RECIPE)
    with pytest.raises(InputError, match="simulated clips"):
        fit_reader(build_model("plus"), FlickerSource(), RECIPE)  # type: ignore[arg-type]
