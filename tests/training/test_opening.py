"""From an experiment file to data: avatars, or a packed frame store made from a folder of videos."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from dataset_trees import film
from whodrives.cli.main import cli
from whodrives.errors import InputError
from whodrives.training.config import config_from_dict
from whodrives.training.opening import open_data, training_clips, training_people
from whodrives.training.release import load_run, release
from whodrives.training.source import AvatarSource
from whodrives.training.stored import StoredSource


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training and two validation drivers, two recordings each, on their own and on another face."""
    root = tmp_path_factory.mktemp("films")
    rows = []
    for driver in "abcd":
        for take in range(2):
            for target in (driver, {"a": "b", "b": "a", "c": "d", "d": "c"}[driver]):
                film(root / f"{driver}{take}{target}.mp4", seed=len(rows))
                split = "train" if driver in "ab" else "val"
                rows.append((f"{driver}{take}{target}.mp4", driver, target, "warp", f"{driver}{take}", split))
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "driver", "target", "generator", "recording", "split"))
        writer.writerows(rows)
    made = CliRunner().invoke(cli, ["prepare", str(root), str(root / "store"), "--json"])
    assert made.exit_code == 0, made.output
    return root / "store"


def experiment(folder: Path, store: Path) -> Path:
    path = folder / "own.toml"
    path.write_text(
        f'[data]\nstore = "{store.as_posix()}"\nclip_length = 4\n'
        '[train]\nidentities = 2\nsamples = 2\nepochs = 1\nsteps_per_epoch = 2\nprecision = "fp32"\nthreads = 1\n'
    )
    return path


def test_a_store_trains(store: Path, tmp_path: Path) -> None:
    words = ["train", str(experiment(tmp_path, store)), "-o", str(tmp_path / "run"), "--json", "--device", "cpu"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["steps"] == 2
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert 0 <= rows[-1]["val_pair_auc"] <= 1
    with pytest.raises(InputError, match="simulated videos only"):
        release(tmp_path / "run", tmp_path / "w.safetensors", {}, 0.0, "last")


def test_a_run_of_no_steps_is_its_fitted_head(store: Path, tmp_path: Path) -> None:
    words = ["train", str(experiment(tmp_path, store)), "-o", str(tmp_path / "run"), "--json", "--device", "cpu",
             "--set", "train.epochs=0", "--set", "model.preset=plus", "--set", "train.refit_batches=1"]  # fmt: skip
    nothing = CliRunner().invoke(cli, words)
    assert nothing.exit_code == 2
    assert "--refit-head" in nothing.output
    done = CliRunner().invoke(cli, [*words, "--refit-head", "3"])
    assert done.exit_code == 0, done.output
    best = json.loads(done.output)["best_val_pair_auc"]
    assert 0 <= best <= 1
    row = json.loads((tmp_path / "run" / "log.jsonl").read_text())
    assert row["step"] == 0
    assert row["val_pair_auc"] == pytest.approx(best, abs=1e-4)
    model, config, history = load_run(tmp_path / "run" / "best.safetensors")
    assert (model.config.head, config.train.total_steps) == ("conv1d", 0)
    assert {"refit_head_steps": 3, "clips": 4} in history
    again = CliRunner().invoke(cli, words)
    assert again.exit_code == 0, again.output
    assert CliRunner().invoke(cli, [*words, "--fresh"]).exit_code == 2
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_which_source(store: Path) -> None:
    cpu = torch.device("cpu")
    source, clips = open_data(config_from_dict({"data": {"store": str(store), "clip_length": 4}}), cpu)
    assert isinstance(source, StoredSource)
    assert source.drivers == ["a", "b"]
    assert set(clips.driver) == {"c", "d"}
    assert len(clips.driver) == 8
    small = {"builtin_drivers": 2, "procedural_faces": 2, "clip_length": 4, "validation_others": 1}
    assert isinstance(open_data(config_from_dict({"data": small}), cpu)[0], AvatarSource)
    with pytest.raises(InputError, match="are both"):
        open_data(config_from_dict({"data": {"store": str(store), "store_validation": "train"}}), cpu)
    with pytest.raises(InputError, match="two recordings"):
        open_data(config_from_dict({"data": {"store": str(store), "store_generators": "lia, tps"}}), cpu)


def test_how_many_people_a_run_learns_from(store: Path) -> None:
    stored = {"store": store.as_posix(), "clip_length": 4}
    assert training_people(config_from_dict({"data": stored})) == (2, 2.0)
    assert training_people(config_from_dict({"data": {**stored, "train_drivers": 1}})) == (1, 2.0)
    # Built-in drivers are counted without being made, and not limited.
    assert training_people(config_from_dict({"data": {"builtin_drivers": 5, "train_drivers": 1}})) == (5, 6.0)


def test_padding_is_masked_only_where_the_experiment_asks(store: Path) -> None:
    data = {"store": store.as_posix(), "clip_length": 64}
    for mask in (False, True):
        config = config_from_dict({"data": {**data, "mask_padding": mask}})
        source, clips = open_data(config, torch.device("cpu"))
        found = (source.batch(0, 2, 2).valid, clips.valid, training_clips(config).valid)
        assert [valid is not None and bool((valid < 64).all()) for valid in found] == [mask] * 3
