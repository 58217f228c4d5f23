"""Weight files and configs."""

import itertools
import json
from pathlib import Path

import pytest
import torch

from whodrives.errors import InputError
from whodrives.models import build_model
from whodrives.training.config import config_from_dict, load_config
from whodrives.training.schedule import learning_rate_factor
from whodrives.training.weights import BUNDLED, WeightsError, is_shipped, load_weights, save_weights, shipped


def test_weights_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build_model("paper").train()
    clip = torch.rand(2, 4, 1, 128, 128)
    model(clip)
    model.eval()
    digest = save_weights(tmp_path / "a.safetensors", model, {"name": "a", "clip_length": 64})
    loaded = load_weights(tmp_path / "a.safetensors")
    with torch.inference_mode():
        assert torch.allclose(model(clip), loaded.model(clip), atol=2e-3)
    assert loaded.digest == digest
    assert loaded.card["name"] == "a"
    assert (tmp_path / "a.safetensors").stat().st_size < 1.2e6


def test_damaged_weights_are_typed_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(WeightsError, match="cannot read"):
        load_weights(path)
    save_weights(path, build_model("paper"), {"name": "a"})
    path.write_bytes(path.read_bytes()[:-8] + b"\0" * 8)
    with pytest.raises(WeightsError, match="digest"):
        load_weights(path)
    card = json.loads(path.with_suffix(".json").read_text())
    card["digest"] = None
    card["model"]["fusion"] = "none"
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(WeightsError, match="does not fit"):
        load_weights(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="card"):
        load_weights(path)


def test_untrained_presets_are_the_same_each_time() -> None:
    a, b = load_weights("paper"), load_weights("paper")
    assert a.digest == b.digest
    assert "untrained" in a.card["name"]


def test_schedule() -> None:
    values = [learning_rate_factor(step, 100, 10, 0.01) for step in range(101)]
    assert values[0] == pytest.approx(0.1)
    assert values[9] == values[10] == pytest.approx(1.0)
    assert values[55] == pytest.approx(0.5)
    assert values[100] == 0.01
    assert all(a >= b for a, b in itertools.pairwise(values[10:]))


def test_config_errors_suggest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'lr'"):
        config_from_dict({"train": {"lrr": 1.0}})
    with pytest.raises(InputError, match="section"):
        config_from_dict({"trian": {}})
    with pytest.raises(InputError, match="must be int"):
        config_from_dict({"train": {"seed": "x"}})
    path = tmp_path / "a.toml"
    path.write_text('[model]\npreset = "release"\n[train]\nlr = 1\n')
    config = load_config(path, ("train.lr=0.5", "model.representation=static"))
    assert (config.train.lr, config.model.representation, config.model.fusion) == (0.5, "static", "none")
    with pytest.raises(InputError, match=r"section\.key=value"):
        load_config(path, ("lr",))


@pytest.mark.parametrize("path", sorted((Path(__file__).resolve().parents[2] / "experiments").glob("*.toml")))
def test_every_experiment_reads(path: Path) -> None:
    # One that takes no steps is for a head that is fitted before the first of them, and tells how.
    assert load_config(path).train.total_steps > 0 or "--refit-head" in path.read_text()


def test_names_of_the_package_load_and_bundled_is_one_of_them() -> None:
    names = shipped()
    assert names[0] == "bundled"
    assert BUNDLED in names[1:]
    assert all(is_shipped(name) for name in names)
    assert not any(is_shipped(name) for name in ("paper", "research.safetensors", "../weights/research", ""))
    cards = {name: load_weights(name) for name in names}
    assert cards["bundled"].digest == cards[BUNDLED].digest
    assert all(weights.card["licence"] for weights in cards.values())
    assert len({weights.digest for weights in cards.values()}) == len(names) - 1
