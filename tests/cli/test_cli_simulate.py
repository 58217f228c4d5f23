"""`whodrives simulate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from whodrives.avatars import cast
from whodrives.avatars.simulation import Simulation
from whodrives.data.manifest import read_manifest

if TYPE_CHECKING:
    from tests.cli.conftest import Caller

SMALL = ("--drivers", 2, "--targets", 2, "--clips", 2, "--seconds", 0.2, "--size", 64)


@pytest.fixture(autouse=True)
def _short_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built-in people perform for seconds, not for half a minute."""
    monkeypatch.setattr(cast, "MIN_SECONDS", 3.0)


def test_simulate_writes_what_it_says_and_goes_on(call: Caller, tmp_path: Path) -> None:
    out = tmp_path / "é"
    answer = call("simulate", out, *SMALL, "--json")
    assert answer.status == 0
    assert (answer.json["videos"], answer.json["self"], answer.json["cross"]) == (8, 4, 4)
    assert (answer.json["rendered"], answer.json["kept"]) == (8, 0)
    records = read_manifest(out)
    assert len(records) == 8
    assert all(r.path.is_file() and r.split == "test" for r in records)
    assert answer.json["bytes"] == sum(r.path.stat().st_size for r in records)
    assert answer.json["frames_rendered"] == 40
    again = call("simulate", out, *SMALL, "--json")
    assert (again.json["rendered"], again.json["kept"]) == (0, 8)
    more = call("simulate", out, *SMALL[2:], "--drivers", 3, "--json")
    assert (more.json["rendered"], more.json["kept"]) == (4, 8)


def test_earlier_settings_are_told_and_pruned(call: Caller, tmp_path: Path) -> None:
    call("simulate", tmp_path, *SMALL)
    small = ("--drivers", 1, *SMALL[2:])
    told = call("simulate", tmp_path, *small)
    assert "4 videos of earlier settings are not in the manifest" in told.out
    assert len(list(tmp_path.rglob("*.mp4"))) == 8
    pruned = call("simulate", tmp_path, *small, "--prune", "--json")
    assert (pruned.json["removed"], pruned.json["earlier"]) == (4, 0)
    assert len(list(tmp_path.rglob("*.mp4"))) == 4


def test_all_options_reach_the_settings(call: Caller, tmp_path: Path) -> None:
    words = (
        "--splits", "train:1/2,test:1", "--clips", 1, "--cross-clips", 1, "--seed", 3, "--own-face-seed", 4,
        "--faces", "procedural", "--generators", "warp", "--seconds", 0.4, "--fps", "24-30", "--size", 64,
        "--codec", 30, "--layout", "avaprintdb", "--neutral", "--workers", 2,
    )  # fmt: skip
    answer = call("simulate", tmp_path, *words, "--json")
    assert answer.status == 0
    assert answer.json["splits"] == {"train": 2, "test": 1}
    assert Simulation.load(tmp_path) == Simulation(
        splits=(("train", 1, 2), ("test", 1, 1)), clips=1, cross_clips=1, seed=3, own_face_seed=4, seconds=0.4,
        fps="24-30", size=64, codec=30, layout="avaprintdb", neutral=True,
    )  # fmt: skip
    assert {r.path.relative_to(tmp_path).parts[2] for r in read_manifest(tmp_path)} == {"DEV", "TEST"}


def test_an_external_generator_that_fails_is_an_error(call: Caller, tmp_path: Path) -> None:
    toml = tmp_path / "x.toml"
    toml.write_text(f'[broken]\ncommand = [{sys.executable!r}, "-c", "exit(5)", "{{still}}", "{{track}}", "{{out}}"]')
    words = (*SMALL, "--drivers", 1, "--targets", 1, "--clips", 1, "--external", toml, "--generators", "warp,broken")
    answer = call("simulate", tmp_path / "out", *words, "--json")
    assert answer.status == 2
    assert answer.json["error"]["type"] == "RenderError"
    assert "exit status 5" in answer.json["error"]["message"]
    assert [r.generator for r in read_manifest(tmp_path / "out")] == ["warp"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", 65), "even number"),
        (("--generators", "wrap"), "unknown generator 'wrap'"),
        (("--generators", ""), "one or more"),
        (("--seconds", "x"), "seconds"),
        (("--seconds", "0.1", "--fps", "12"), "two frames"),
        (("--fps", "fast"), "range such as 24-30"),
        (("--splits", "train"), "write it as in"),
        (("--splits", "dev:3"), "unknown split"),
        (("--faces", "photos"), "give both or neither"),
        (("--faces", "wax"), "procedural, photos, cg"),
        (("--motion", "none.parquet"), "none.parquet"),
        (("--portraits", "nowhere"), "nowhere"),
        (("--external", "none.toml"), "none.toml"),
        (("--workers", 0), "workers"),
    ],
)
def test_simulate_says_what_is_wrong(call: Caller, tmp_path: Path, words: tuple, message: str) -> None:
    answer = call("simulate", tmp_path / "x", *words, "--json")
    assert answer.status == 2
    assert message in answer.json["error"]["message"]
