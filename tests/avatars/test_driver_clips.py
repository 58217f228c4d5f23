"""Windows of one driver's motion, at its own rate and at that of a generator."""

import numpy as np
import pytest

from fake_generator import fake_track
from whodrives.avatars.driver_clips import DriverClips, shown_frames


def test_a_window_at_the_end_of_a_recording_holds_its_last_frame() -> None:
    clips = DriverClips([fake_track("d", 0)], 25.0, 20)
    values = clips.controls_at(0, 55, 30, 30.0)
    assert values.shape == (30, 33)
    assert (values[24:] == values[24]).all()
    assert np.abs(values[0] - clips.tracks[0].values[55]).max() < 1e-5


def test_its_own_rate_is_the_window_itself() -> None:
    clips = DriverClips([fake_track("d", 0)], 25.0, 20)
    values = clips.controls_at(0, 7, 20, 25.0)
    assert values.dtype == np.float32
    assert (values == clips.controls(0, 7, 20)).all()
    count = len(clips.tracks[0].values)
    late = clips.controls_at(0, count - 5, 9, 25.0)
    assert (late[:5] == clips.tracks[0].values[-5:].astype(np.float32)).all()
    assert (late[5:] == late[4]).all()


@pytest.mark.parametrize("rate", [12.0, 24.0, 25.0, 30000 / 1001, 60.0])
def test_every_output_frame_shows_the_source_frame_nearest_in_time(rate: float) -> None:
    shown = shown_frames(rate, 25.0, 64)
    assert len(shown) == 64
    apart = np.abs(shown / rate - np.arange(64) / 25)
    assert (apart <= 0.5 / rate + 1e-6).all()
