"""Windows inside shots."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video_media import Writer, talking

from whodrives.errors import InputError
from whodrives.video import Window, cut_windows, gather, iter_windows, load_frames


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, int, tuple[int, ...], int]:
    n = draw(st.integers(0, 300))
    cuts = draw(st.sets(st.integers(1, max(n - 1, 1)), max_size=6)) if n > 1 else set()
    return n, draw(st.integers(2, 80)), draw(st.integers(1, 100)), tuple(sorted(cuts)), draw(st.integers(1, 40))


@given(layouts())
@settings(max_examples=200, deadline=None)
def test_windows_against_naive_search(layout: tuple[int, int, int, tuple[int, ...], int]) -> None:
    n, length, hop, cuts, least = layout
    shot_of = np.searchsorted(cuts, np.arange(n), side="right")
    expected = []
    for shot in range(len(cuts) + 1):
        members = np.flatnonzero(shot_of == shot)
        if least <= len(members) < length:
            expected.append(Window(int(members[0]), length, len(members), shot))
        expected += [
            Window(int(first), length, length, shot)
            for place, first in enumerate(members)
            if place % hop == 0 and place + length <= len(members)
        ]
    windows = cut_windows(n, length, hop, cuts, least)
    assert list(windows) == expected
    assert all(not any(w.start < cut < w.start + w.valid for cut in cuts) for w in windows)


def test_defaults() -> None:
    assert [w.start for w in cut_windows(160)] == [0, 32, 64, 96]
    assert cut_windows(1) == ()
    assert cut_windows(40) == (Window(0, 64, 40, 0),)


@pytest.mark.parametrize(
    "values",
    [{"length": 1}, {"hop": 0}, {"min_valid": 0}, {"scene_cuts": (0,)}, {"scene_cuts": (100,)}, {"scene_cuts": (9, 9)}],
)
def test_bad_arguments(values: dict[str, object]) -> None:
    with pytest.raises(InputError):
        cut_windows(100, **values)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        cut_windows(-1)


def test_gather_repeats_the_last_real_frame() -> None:
    frames = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    assert gather(frames, Window(6, 8, 3, 0))[:, 0, 0].tolist() == [6, 7, 8, 8, 8, 8, 8, 8]
    assert gather(frames, Window(1, 4, 4, 0))[:, 0, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("length", "hop"), [(16, None), (64, 32), (16, 5), (16, 40), (200, None)])
def test_stream_equals_windows_of_the_loaded_video(video: Writer, length: int, hop: int | None) -> None:
    path = video("cut.mp4", talking(0, 41) + talking(1, 70))
    whole = load_frames(path)
    assert whole.scene_cuts == (41,)
    expected = cut_windows(whole.n_frames, length, hop, whole.scene_cuts)
    stream = iter_windows(path, length=length, hop=hop)
    with pytest.raises(InputError, match="report"):
        stream.report  # noqa: B018
    got = list(stream)
    assert tuple(w for w, _ in got) == expected
    for window, frames in got:
        assert frames.dtype == np.uint8
        np.testing.assert_array_equal(frames, gather(whole.frames, window))
    assert stream.report.scene_cuts == (41,)
    with pytest.raises(InputError, match="once"):
        list(stream)
