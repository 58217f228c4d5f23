"""Experiment files: inheritance, suggestions, overrides."""

from pathlib import Path

import pytest

from whodrives.errors import InputError
from whodrives.training.config import config_from_dict, load_config
from whodrives.training.history import changed_keys


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_lies_over_its_base(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", "[model]\nneighbours = 5\n[data]\nclip_length = 32\n[train]\nlr = 0.1\nseed = 1\n")
    (tmp_path / "sub").mkdir()
    write(tmp_path, "sub/b.toml", 'base = "../a.toml"\n[train]\nlr = 0.2\n')
    config = load_config(
        write(tmp_path, "c.toml", 'base = "sub/b.toml"\n[model]\nhidden_dim = 64\n'), ("train.seed=9",)
    )
    assert (config.train.lr, config.train.seed, config.data.clip_length) == (0.2, 9, 32)
    assert (config.model.neighbours, config.model.hidden_dim) == (5, 64)


def test_another_preset_starts_afresh(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", '[model]\npreset = "paper"\nneighbours = 5\n')
    config = load_config(write(tmp_path, "b.toml", 'base = "a.toml"\n[model]\npreset = "release"\n'))
    assert config.model.neighbours == 4
    assert config.model.fusion == "none"


def test_circles_and_bad_bases(tmp_path: Path) -> None:
    one = write(tmp_path, "one.toml", 'base = "two.toml"\n')
    write(tmp_path, "two.toml", 'base = "one.toml"\n')
    with pytest.raises(InputError, match="circle"):
        load_config(one)
    with pytest.raises(InputError, match="circle"):
        load_config(write(tmp_path, "self.toml", 'base = "self.toml"\n'))
    with pytest.raises(InputError, match="must be the name"):
        load_config(write(tmp_path, "number.toml", "base = 3\n"))
    with pytest.raises(InputError, match=r"gone\.toml"):
        load_config(write(tmp_path, "lost.toml", 'base = "gone.toml"\n'))


def test_suggestions(tmp_path: Path) -> None:
    for text, hint in (
        ("[trian]\n", r"did you mean \[train\]"),
        ("[train]\nlearning_rat = 1\n", "unknown key train.learning_rat"),
        ("[train]\ntemprature = 1.0\n", "did you mean 'temperature'"),
        ("[model]\nneighbors = 3\n", "did you mean 'neighbours'"),
    ):
        with pytest.raises(InputError, match=hint):
            load_config(write(tmp_path, "x.toml", text))


def test_a_base_is_checked_like_any_file(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", "[train]\nlrr = 1.0\n")
    with pytest.raises(InputError, match=r"train\.lrr"):
        load_config(write(tmp_path, "b.toml", 'base = "a.toml"\n'))


def test_values_out_of_range_are_refused() -> None:
    for section, key, value in (
        ("train", "validate_every", 0),
        ("train", "piece_clips", -1),
        ("train", "seed", -1),
        ("train", "ema", 1.0),
        ("train", "betas", ["a", "b"]),
        ("data", "clip_length", 1),
        ("model", "fcc_norm", "False"),
        ("model", "neighbours", 4.5),
        ("model", "hidden_dim", 0),
    ):
        with pytest.raises(InputError, match=key):
            config_from_dict({section: {key: value}})
    with pytest.raises(InputError, match=r"\[train\]"):
        config_from_dict({"train": 3})
    whole = config_from_dict({"train": {"identities": 2.0, "seed": 42.0}}).train
    assert (type(whole.identities), type(whole.seed)) == (int, int)


def test_the_order_of_generators_is_part_of_a_run() -> None:
    one, two = (
        config_from_dict({"data": {"generators": dict.fromkeys(names, 1.0)}}).to_dict()
        for names in (("warp", "mesh"), ("mesh", "warp"))
    )
    assert changed_keys(one, two) == ["data.generators"]
    assert changed_keys(one, one) == []
