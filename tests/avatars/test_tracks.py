"""Motion tracks: shape contract, resampling, windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodrives.avatars.tracks import CHANNELS, SIDE_CHANNELS, MotionTrack
from whodrives.errors import InputError


def track(values: np.ndarray, valid: np.ndarray | None = None, fps: float = 30.0) -> MotionTrack:
    valid = np.ones(len(values), dtype=bool) if valid is None else valid
    return MotionTrack("ana", "ana_1", fps, values.astype(np.float32), valid, "test", "CC0")


def test_channels_are_the_contract() -> None:
    assert len(CHANNELS) == 33
    assert CHANNELS[0] == "AU01"
    assert CHANNELS[16:25] == ("AU45", "gaze_x", "gaze_y", "pitch", "yaw", "roll", "tx", "ty", "tz")
    assert CHANNELS[25:] == SIDE_CHANNELS
    assert len(set(CHANNELS)) == len(CHANNELS)


@pytest.mark.parametrize(
    ("values", "valid", "fps"),
    [
        (np.zeros((0, 33)), np.ones(0, bool), 30.0),
        (np.zeros((4, 24)), np.ones(4, bool), 30.0),
        (np.zeros((4, 33)), np.ones(3, bool), 30.0),
        (np.zeros((4, 33)), np.ones(4, bool), 0.0),
        (np.full((4, 33), np.nan), np.ones(4, bool), 30.0),
    ],
)
def test_wrong_tracks_are_refused(values: np.ndarray, valid: np.ndarray, fps: float) -> None:
    with pytest.raises(InputError, match="ana_1"):
        track(values, valid, fps)


@pytest.mark.parametrize("target", [25.0, 15.0, 50.0, 29.97])
def test_resampling_keeps_a_band_limited_motion(target: float) -> None:
    def motion(time: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * 2.0 * time)[:, None] * np.ones(33)

    source = track(motion(np.arange(300) / 30.0))
    out = source.resample(target)
    assert out.fps == target
    assert len(out) == int(np.floor(299 * target / 30 + 1e-6)) + 1
    expected = motion(np.arange(len(out)) / target)
    np.testing.assert_allclose(out.values[10:-10], expected[10:-10], atol=2e-3)


def test_resampling_marks_frames_beside_a_gap_and_same_rate_is_free() -> None:
    valid = np.ones(31, dtype=bool)
    valid[12] = False
    source = track(np.zeros((31, 33)), valid)
    assert source.resample(30.0) is source
    # 25 fps frame k lies at source position 1.2 k: 9 -> 10.8, 10 -> 12.0 (the gap itself), 11 -> 13.2.
    assert np.flatnonzero(~source.resample(25.0).valid).tolist() == [10]
    # 20 fps: position 1.5 k; 8 -> 12.0.  60 fps: 0.5 k; 23 -> 11.5, 24 -> 12, 25 -> 12.5.
    assert np.flatnonzero(~source.resample(60.0).valid).tolist() == [23, 24, 25]
    with pytest.raises(InputError, match="fps"):
        source.resample(0)
    assert len(track(np.ones((1, 33))).resample(25.0)) == 1


def test_window_is_a_track_and_stays_inside() -> None:
    source = track(np.arange(10)[:, None] * np.ones(33))
    part = source.window(3, 4)
    assert part.values[:, 0].tolist() == [3, 4, 5, 6]
    assert len(part.valid) == 4
    for start, length in ((-1, 4), (7, 4), (0, 0)):
        with pytest.raises(InputError, match="outside"):
            source.window(start, length)


@given(
    valid=st.lists(st.booleans(), min_size=1, max_size=60),
    length=st.integers(1, 20),
    hop=st.integers(1, 5),
    share=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
)
def test_window_starts_match_a_naive_loop(valid: list[bool], length: int, hop: int, share: float) -> None:
    source = track(np.zeros((len(valid), 33)), np.array(valid))
    expected = [
        start
        for start in range(0, len(valid) - length + 1, hop)
        if sum(valid[start : start + length]) >= share * length - 1e-9
    ]
    assert source.window_starts(length, hop, share).tolist() == expected
