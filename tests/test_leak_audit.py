"""The leak audit finds what is planted, and nothing where nothing is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import leak_audit
from leaks.scorers import distances, hunt
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.simulation import Simulation
from whodrives.evaluation.intervals import Interval
from whodrives.evaluation.protocols import Pairs

DRIVERS = [f"d{n}" for n in range(6)]


def pictures(plant: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Videos of six drivers on eight faces: faces differ much, and driver k is `plant` * k brighter."""
    rng = np.random.default_rng(seed)
    faces = rng.random((8, 3, 64, 64)).astype(np.float32)
    rows = [(d, f) for d in range(6) for f in range(8) for _ in range(3)]
    stack = np.stack([faces[f] + plant * d + 0.02 * rng.standard_normal((3, 64, 64)) for d, f in rows])
    return stack.astype(np.float32), np.array([DRIVERS[d] for d, _ in rows]), np.array([f"f{f}" for _, f in rows])


def separation(scores: np.ndarray, driver: np.ndarray) -> float:
    """AUC of same-driver against other pairs by the definition, pair by pair."""
    same, other = [], []
    for i in range(len(driver)):
        for j in range(i):
            (same if driver[i] == driver[j] else other).append(scores[i, j])
    wins = [(s > o) + 0.5 * (s == o) for s in same for o in other]
    return float(np.mean(wins))


def test_the_small_network_finds_a_plant_on_faces_it_has_not_seen() -> None:
    x, driver, face = pictures(plant=0.02)
    rows, scores, accuracy = hunt(x, driver, face)
    assert 0 < len(rows) < len(x)
    assert accuracy > 0.8
    assert separation(scores, driver[rows]) > 0.8


def test_the_small_network_finds_nothing_where_nothing_is() -> None:
    x, driver, face = pictures(plant=0.0)
    rows, scores, accuracy = hunt(x, driver, face)
    assert accuracy > 0.5, "it must have tried: training videos learnt by heart"
    assert separation(scores, driver[rows]) == pytest.approx(0.5, abs=0.08)


def test_distances_are_euclidean() -> None:
    x = np.random.default_rng(0).standard_normal((7, 5))
    naive = [[-np.sqrt(sum((a - b) ** 2 for a, b in zip(p, q, strict=True))) for q in x] for p in x]
    np.testing.assert_allclose(distances(x), naive, atol=1e-6)


def test_codec_pairs_keep_impostors_of_unlike_strength_only() -> None:
    first, second = np.array(["d0", "d0", "d1", "d2"]), np.array(["d0", "d2", "d2", "d5"])
    pairs = Pairs(np.arange(4.0), first == second, first, second)
    kept = leak_audit.codec_pairs(pairs, DRIVERS)
    assert list(zip(kept.first, kept.second, strict=True)) == [("d0", "d0"), ("d1", "d2"), ("d2", "d5")]
    assert kept.genuine.tolist() == [True, False, False]


def test_plants_change_what_they_say_and_share_the_rest() -> None:
    plan = Simulation(drivers=4, targets=4, clips=3, seconds=2.56, neutral=True).plan()
    drivers = sorted({video.record.driver for video in plan})
    face = plan[0].record.target
    own = [video for video in plan if video.record.target == face]

    def draws(kind: str) -> list[Nuisance]:
        return [leak_audit.matched_nuisance(kind, drivers, 0)(video) for video in own]

    plain = draws("nothing")
    assert len({draw.seed for draw in plain}) == len(plain), "every video has its own noise"
    assert len({(d.gain, d.shift_x, d.shift_y, d.crf, d.blur, d.background) for d in plain}) == 1
    gain = [one.gain / plain[0].gain for one in draws("brightness")]
    assert min(gain) == pytest.approx(1.0)
    assert max(gain) == pytest.approx(1.02)
    moved = [np.hypot(d.shift_x - plain[0].shift_x, d.shift_y - plain[0].shift_y) * 128 for d in draws("crop")]
    assert moved == pytest.approx([1.0] * len(own))
    assert {d.crf - plain[0].crf for d in draws("codec")} == {-2, 2}


def test_wide_intervals_and_those_off_chance_are_suspicious() -> None:
    table = {
        "fine": Interval(0.5, 0.45, 0.55, 9),
        "leak": Interval(0.6, 0.55, 0.65, 9),
        "wide": Interval(0.5, 0.4, 0.6, 9),
    }
    assert leak_audit.suspicious(table) == {"leak", "wide"}


@pytest.mark.slow
def test_whole_audit_on_a_small_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    import json

    from whodrives.avatars.dataset import make_dataset

    settings = Simulation(drivers=5, targets=5, clips=4, cross_clips=1, seconds=2.72, size=128)
    assert list(make_dataset(settings, tmp_path / "set"))
    arguments = ["leak_audit.py", str(tmp_path / "set"), "--json", "--workers", "1", "--controls", "12"]
    monkeypatch.setattr(sys, "argv", arguments)
    status = leak_audit.main()
    report = json.loads(capsys.readouterr().out)
    tables = report["auc"]["warp"]
    assert tables["planted: brightness"]["pixel mean"][0] > 0.8
    assert max(cell[0] for cell in tables["planted: crop"].values()) > 0.8
    assert max(cell[0] for cell in tables["planted: codec"].values()) > 0.8
    # Five people are too few for the demanded width, and the audit says so.
    assert status == 1
    assert any("too few people" in line for line in report["failures"])
    assert set(tables["motion controls (no bound)"]) == {
        "as it is",
        "static frame",
        "clip mean",
        "shuffled",
        "reversed",
    }
