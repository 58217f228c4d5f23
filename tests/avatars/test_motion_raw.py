"""From irregular raw motion to a track: rate, interpolation, holes, time stamps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.avatars.conditioning import Conditioning, condition, for_source
from whodrives.avatars.motion.errors import EmptyTableError, TimeStampError, WrongUnitsError
from whodrives.avatars.motion.raw import RawMotion, check_units, to_track
from whodrives.avatars.tracks import CHANNELS, INDEX
from whodrives.errors import InputError


def raw(time: np.ndarray, values: np.ndarray | None = None, true_head_pose: bool = True) -> RawMotion:
    if values is None:
        values = np.sin(2 * np.pi * 0.7 * time)[:, None] * np.ones(len(CHANNELS))
    return RawMotion("ana", "a1", time, values, np.ones(len(time)), true_head_pose, "a1.csv", "CC0")


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(25.0, 25.0), (30.1, 30.0), (29.97, 30_000 / 1001), (59.94, 60_000 / 1001), (27.3, 27.3), (60.0, 60.0)],
)
def test_rates_are_recognised_through_rounded_stamps_and_holes(rate: float, expected: float) -> None:
    time = np.round(np.arange(3000) / rate, 3)
    keep = np.ones(3000, dtype=bool)
    keep[500:700] = keep[900:903] = False
    assert raw(time[keep]).fps == pytest.approx(expected, rel=1e-3)


def test_uniform_recordings_are_only_conditioned() -> None:
    values = np.random.default_rng(0).random((200, len(CHANNELS)))
    one = raw(5.0 + np.arange(200) / 25, values)
    options = for_source("openface")
    track = to_track(one, options)
    expected, valid = condition(values, None, 25.0, options)
    np.testing.assert_array_equal(track.values, expected)
    np.testing.assert_array_equal(track.valid, valid)
    assert (track.driver, track.recording, track.fps, track.source, track.licence) == (
        "ana",
        "a1",
        25.0,
        "a1.csv",
        "CC0",
    )
    np.testing.assert_allclose(to_track(one, None).values, values, rtol=1e-6)


def test_a_derived_head_pose_is_never_treated_as_a_true_one() -> None:
    track = to_track(raw(np.arange(100) / 25, true_head_pose=False), for_source("openface"))
    assert not track.values[:, INDEX["pitch"]].any()
    assert track.values[:, INDEX["yaw"]].any()


@settings(deadline=None, max_examples=40)
@given(
    steps=st.lists(st.floats(0.02, 0.6), min_size=3, max_size=30),
    bad=st.sets(st.integers(0, 30)),
)
def test_interpolation_matches_a_naive_loop(steps: list[float], bad: set[int]) -> None:
    # Ordinary frames around the irregular ones fix the rate.
    time = np.cumsum([0.0, *[0.04] * 40, *steps, *[0.04] * 40])
    one = raw(time, np.arange(len(time))[:, None] ** 1.5 * np.ones(len(CHANNELS)))
    confidence = one.confidence.copy()
    confidence[[40 + b for b in bad if 40 + b < len(time)]] = 0.3
    one = replace(one, confidence=confidence)
    track = to_track(one, None)
    step = 1 / track.fps
    known = [(t, v) for t, v, c in zip(time, one.values[:, 0], confidence, strict=True) if c >= 0.8]
    for number in range(len(track)):
        now = number * step
        near = min(known, key=lambda tv: abs(tv[0] - now))
        before, after = [k for k in known if k[0] < now], [k for k in known if k[0] >= now]
        margins = [abs(abs(near[0] - now) - 0.05 * step)]
        if before and after:
            margins.append(abs(after[0][0] - before[-1][0] - step - 0.2))
        if min(margins) < 1e-5:
            continue  # too close to a threshold to say
        if abs(near[0] - now) <= 0.05 * step:
            expected, valid = near[1], True
        elif not before or not after or after[0][0] - before[-1][0] - step > 0.2:
            valid = False
        else:
            share = (now - before[-1][0]) / (after[0][0] - before[-1][0])
            expected, valid = before[-1][1] * (1 - share) + after[0][1] * share, True
        assert track.valid[number] == valid, now
        if valid:
            np.testing.assert_allclose(track.values[number], expected, rtol=1e-5, atol=1e-4)


def test_jitter_does_not_move_the_motion() -> None:
    rng = np.random.default_rng(1)
    time = np.arange(500) / 30 + rng.uniform(-0.012, 0.012, 500)
    time -= time[0]
    track = to_track(raw(time), None)
    assert track.fps == pytest.approx(30.0, rel=2e-3)
    expected = np.sin(2 * np.pi * 0.7 * np.arange(len(track)) / track.fps)
    assert np.abs(track.values[:, 0] - expected).max() < 0.01


def test_another_rate_comes_after_the_low_pass() -> None:
    time = np.arange(600) / 60
    values = np.sin(2 * np.pi * 24.0 * time)[:, None] * np.ones(len(CHANNELS))  # would alias to 1 Hz at 25 fps
    track = to_track(raw(time, values), Conditioning(true_head_pose=True), fps=25.0)
    assert track.fps == 25.0
    assert np.abs(track.values[25:-25]).max() < 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [((3, 2), "frame 3: time 0.08 s repeats"), ((5, 1), "frame 5.*backwards"), ((4, None), "frame 4 has no time")],
)
def test_bad_time_stamps_are_named(change: tuple[int, int | None], message: str) -> None:
    time = np.arange(20) / 25
    time[change[0]] = np.nan if change[1] is None else time[change[1]]
    with pytest.raises(TimeStampError, match=message) as caught:
        raw(time)
    assert "a1.csv" in str(caught.value)


def test_other_defects_are_named() -> None:
    time = np.arange(20) / 25
    with pytest.raises(TimeStampError, match="must be in seconds"):
        to_track(raw(time * 1000, np.zeros((20, 33))), None)
    with pytest.raises(TimeStampError, match="must be in seconds"):
        to_track(raw(time / 1000, np.zeros((20, 33))), None)
    with pytest.raises(EmptyTableError, match=r"a1\.csv: no frame has confidence >= 0.8"):
        to_track(replace(raw(time), confidence=np.zeros(20)), Conditioning())
    with pytest.raises(EmptyTableError, match="holds no frames"):
        raw(np.empty(0), np.empty((0, 33)))
    with pytest.raises(InputError, match="values"):
        raw(time, np.zeros((20, 25)))
    with pytest.raises(InputError, match="fps"):
        to_track(raw(time), None, fps=0)
    assert len(to_track(raw(np.zeros(1), np.zeros((1, 33))), None)) == 1


def test_units_are_judged_by_the_bulk(tmp_path) -> None:
    values = np.random.default_rng(0).random((1000, 33))
    check_units(tmp_path, values)
    values[3] = 1000.0  # one lost frame says nothing
    check_units(tmp_path, values)
    for channel, factor, message in (("AU12", 20, "percent"), ("yaw", 57, "radians"), ("gaze_x", 57, "radians")):
        wrong = values.copy()
        wrong[:, INDEX[channel]] *= factor
        with pytest.raises(WrongUnitsError, match=message):
            check_units(tmp_path, wrong)
