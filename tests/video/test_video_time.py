"""Timestamps and the constant frame rate."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from whodrives.video.timeline import MAX_GAP_S, Timeline, nearest_frames

gaps = st.lists(st.floats(0.002, MAX_GAP_S), min_size=1, max_size=60)
rates = st.sampled_from([10.0, 24.0, 25.0, 29.97, 50.0])


@given(gaps, rates)
@settings(max_examples=150, deadline=None)
def test_every_tick_shows_the_nearest_frame(steps: list[float], fps: float) -> None:
    times = np.concatenate([[3.0], 3.0 + np.cumsum(steps)])
    index = nearest_frames(times, fps)
    assert index[0] == 0
    assert np.all(np.diff(index) >= 0)
    for tick, shown in enumerate(index):
        target = times[0] + tick / fps
        distance = np.abs(times - target)
        assert distance[shown] <= distance.min() + 1e-5
    step = (times[-1] - times[0]) / len(steps)
    assert abs(len(index) - (times[-1] - times[0] + step) * fps) <= 1.001
    assert np.bincount(index).max() <= 1.5 * MAX_GAP_S * fps + 1


@pytest.mark.parametrize(
    ("source", "count", "ticks"),
    [(25, 75, 75), (50, 100, 50), (60, 60, 25), (30, 30, 25), (24, 24, 25), (10, 100, 250), (12.5, 5, 10)],
)
def test_length_keeps_the_duration(source: float, count: int, ticks: int) -> None:
    assert len(nearest_frames(np.arange(count) / source, 25.0)) == ticks


@given(st.lists(st.floats(-0.004, 0.004), min_size=30, max_size=60))
def test_jitter_neither_repeats_nor_drops(jitter: list[float]) -> None:
    times = np.arange(len(jitter)) / 25 + np.asarray(jitter)
    np.testing.assert_array_equal(nearest_frames(times, 25.0), np.arange(len(jitter)))


def test_ties_take_the_earlier_frame() -> None:
    np.testing.assert_array_equal(nearest_frames(np.array([0.0, 0.08, 0.16]), 25.0), [0, 0, 1, 1, 2, 2])


def test_no_frames_no_ticks() -> None:
    assert len(nearest_frames(np.array([]), 25.0)) == 0
    np.testing.assert_array_equal(nearest_frames(np.array([1.0]), 25.0), [0])


@given(
    st.lists(
        st.one_of(st.none(), st.floats(), st.floats(-5, 20), st.sampled_from([0.0, 1e300, -1e300, math.inf])),
        max_size=80,
    )
)
@settings(max_examples=200, deadline=None)
@example([1.797693124862316e308, -9.999999900163214e299, 0.0, None, 0.0, None])
def test_any_stamps_give_increasing_times(stamps: list[float | None]) -> None:
    timeline = Timeline(25.0)
    placed = [p for p in (timeline.place(s) for s in stamps) if p is not None]
    times = [p.time for p in placed]
    assert all(math.isfinite(t) for t in times)
    assert all(b > a for a, b in pairwise(times))
    assert all(b.starts_segment or b.time - a.time <= MAX_GAP_S for a, b in pairwise(placed))
    assert len(placed) + timeline.late == len(stamps)
    assert 0 < timeline.step < math.inf


def test_gap_starts_a_segment_and_keeps_its_time() -> None:
    timeline = Timeline(25.0)
    flags = [timeline.place(t) for t in (0.0, 0.04, 7.0, 7.04)]
    assert [p and p.starts_segment for p in flags] == [True, False, True, False]
    assert flags[2] is not None
    assert flags[2].time == 7.0
    assert timeline.gaps == 1


def test_damaged_stamp_does_not_stretch_the_video() -> None:
    timeline = Timeline(25.0)
    stamps = [i / 25 for i in range(20)]
    stamps[10] = 1e7
    times = [p.time for p in map(timeline.place, stamps) if p is not None]
    assert times[-1] < 1.0
    assert timeline.gaps == 2


def test_missing_stamps_follow_the_frame_rate() -> None:
    timeline = Timeline(50.0)
    times = [p.time for p in (timeline.place(None) for _ in range(5)) if p is not None]
    np.testing.assert_allclose(times, np.arange(5) / 50)
    same = Timeline(50.0)
    assert len([p for p in (same.place(3.0) for _ in range(5)) if p is not None]) == 5
