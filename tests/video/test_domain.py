"""Where weights are at home, and what lies outside."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.errors import InputError
from whodrives.video.domain import Domain, describe, far_warning, fit_domain


def moving_disc(seed: int, side: int = 64, count: int = 16) -> np.ndarray:
    """A bright disc on a dark ground that sways: (T, side, side) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    phase, size = rng.uniform(0, 6), rng.uniform(0.2, 0.3) * side
    frames = []
    for t in range(count):
        middle = side / 2 + 3 * np.sin(0.4 * t + phase)
        frames.append(50 + 120 / (1 + np.exp(np.hypot(x - middle, y - side / 2) - size)) + rng.normal(0, 1, x.shape))
    return np.clip(frames, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def home() -> Domain:
    training = np.array([describe(moving_disc(seed)) for seed in range(60)])
    return fit_domain(training, np.array([describe(moving_disc(seed)) for seed in range(1000, 1040)]))


def test_unseen_clips_of_the_kind_are_near_and_others_are_far(home: Domain) -> None:
    near = [home.distance(moving_disc(seed)) for seed in range(2000, 2040)]
    assert np.median(near) < 1
    assert np.mean(np.array(near) > 1) < 0.15
    clip = moving_disc(7)
    noise = np.random.default_rng(0).integers(0, 256, clip.shape, dtype=np.uint8)
    others = {
        "noise": noise,
        "negative": 255 - clip,
        "off the middle": np.roll(clip, 16, axis=2),
        "still": np.repeat(clip[:1], len(clip), axis=0),
        "frames out of order": clip[np.random.default_rng(1).permutation(len(clip))],
    }
    assert {name for name, frames in others.items() if home.distance(frames) <= 1} == set()


def test_distance_is_the_largest_mahalanobis_distance_of_a_part() -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(135, 135)) / 8
    training, held_out = (rng.normal(size=(count, 135)) @ mix for count in (400, 300))
    found = fit_domain(training.astype(np.float32), held_out.astype(np.float32))
    lengths = []
    for part in (slice(0, 64), slice(64, 128), slice(128, 135)):
        unit = training[:, part].std(axis=0)
        standard, other = training[:, part] / unit, held_out[:, part] / unit
        middle = standard.mean(axis=0)
        spread = 0.9 * np.cov(standard.T, bias=True) + 0.1 * np.eye(len(unit))
        squares = [float((row - middle) @ np.linalg.solve(spread, row - middle)) for row in other]
        lengths.append(np.sqrt(squares) / np.quantile(np.sqrt(squares), 0.99))
    wanted = np.max(lengths, axis=0)
    made = np.array([found.length(row) for row in held_out.astype(np.float32)])
    assert made == pytest.approx(wanted, rel=1e-3)
    assert found.limit == pytest.approx(np.quantile(wanted, 0.99), rel=1e-3)
    assert np.mean(made > found.limit) == pytest.approx(0.01, abs=0.004)


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.5, 1.0), seed=st.integers(0, 50))
def test_flicker_of_the_whole_picture_is_no_motion(gain: float, seed: int) -> None:
    still = np.repeat(moving_disc(seed)[:1], 8, axis=0).astype(np.float32)
    lit = still + np.linspace(0, 20 * gain, 8)[:, None, None]
    moved = slice(64, 128)
    assert np.allclose(describe(lit.astype(np.uint8))[moved], describe(still.astype(np.uint8))[moved], atol=0.3)


def test_a_card_gives_the_same_distances(home: Domain) -> None:
    again = Domain.from_card(json.loads(json.dumps(home.to_card())))
    clip = moving_disc(3)
    assert again.distance(clip) == pytest.approx(home.distance(clip), rel=0.01)
    for key in home.to_card():
        broken = {name: value for name, value in home.to_card().items() if name != key}
        with pytest.raises(InputError, match="cannot be read"):
            Domain.from_card(broken)
    white = home.to_card()["white"]
    wrong = [{"limit": 0.0}, {"limit": float("nan")}, {"limit": 10**400}, {"white": white[:2]}, {"white": ["?"]}]
    wrong += [{"mean": white[0]}, {"white": [white[2], *white[1:]]}, {"mean": "", "white": []}]
    for change in wrong:
        with pytest.raises(InputError, match="cannot be read"):
            Domain.from_card({**home.to_card(), **change})


def test_what_cannot_be_described() -> None:
    for shape in ((1, 64, 64), (4, 64), (4, 60, 64), (4, 0, 0)):
        with pytest.raises(InputError, match="description needs frames"):
            describe(np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match="two training clips"):
        fit_domain(np.zeros((1, 135), np.float32), np.zeros((1, 135), np.float32))
    with pytest.raises(InputError, match="rows of 135"):
        fit_domain(np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32))
    alike = fit_domain(np.zeros((4, 135), np.float32), np.ones((2, 135), np.float32))
    assert np.isfinite(alike.limit)
    same = fit_domain(np.zeros((4, 135), np.float32), np.zeros((2, 135), np.float32))
    assert Domain.from_card(same.to_card()).limit > 0
    with pytest.raises(InputError, match="the weights know"):
        Domain(np.zeros(3, np.float32), (np.eye(3, dtype=np.float32),), 1.0).distance(moving_disc(0))


def test_a_warning_needs_most_windows() -> None:
    assert far_warning([]) is None
    assert far_warning([2.0, 0.5]) is None
    assert "2 of 3 windows are unlike" in str(far_warning([2.0, 3.0, 0.5]))
