"""Real containers and codecs: pixels, rates, rotation, cuts."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_media import Writer, numbered, picture, talking

from whodrives.video import CropError, PreprocessingContract, iter_frames, load_frames
from whodrives.video.resize import area_resize

NATIVE = PreprocessingContract(fps=None)


def expand(luma: np.ndarray) -> np.ndarray:
    """Limited range to 0..255, as the standards say."""
    return (luma.astype(float) - 16) * 255 / 219


def number_of(frames: np.ndarray) -> np.ndarray:
    """Which of the `numbered` pictures each frame is."""
    return np.rint((frames[:, 5, 5].astype(float) * 219 / 255 + 16 - 30) / 2).astype(int)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi", "a.mpg", "a.flv"])
def test_containers_give_the_frames_that_went_in(video: Writer, name: str) -> None:
    source = talking(3, 30)
    got = load_frames(video(name, source))
    assert got.frames.shape == (30, 128, 128)
    assert got.frames.dtype == np.uint8
    np.testing.assert_allclose(np.diff(got.times), 0.04, atol=1e-6)
    # An mpg states the time of only some pictures, and the writer used here guesses one wrong.
    odd = 1 if name.endswith("mpg") else 0
    assert (got.fps, got.repeated, got.dropped, got.corrupt, got.scene_cuts) == (25.0, odd, odd, 0, ())
    assert (got.width, got.height, got.rotation, got.crop) == (128, 96, 0, (16, 0, 96, 96))
    assert not got.truncated
    assert len(got.warnings) == odd
    for i in (0, 13, 29):
        truth = np.clip(expand(area_resize(source[i][:, 16:112], 128)), 0, 255)
        assert np.abs(got.frames[i] - truth).mean() < 3.0


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "full", "error"),
    [
        ("yuv420p", "ffv1", False, 0.51),
        ("yuv420p", "ffv1", True, 0.51),
        ("yuv444p", "ffv1", False, 0.51),
        ("yuv420p10le", "ffv1", False, 0.51),
        ("yuv422p16le", "ffv1", False, 0.51),
        ("gray", "ffv1", True, 0.8),
        ("bgra", "ffv1", False, 1.6),
        ("yuva420p", "ffv1", False, 0.51),
        ("yuyv422", "rawvideo", False, 1.1),
        ("nv12", "rawvideo", False, 0.51),
    ],
)
def test_luma_of_pixel_formats(video: Writer, pix_fmt: str, codec: str, full: bool, error: float) -> None:
    source = picture(5, 128, 128).clip(20, 230)
    name = "a.mkv" if codec == "ffv1" else "a.nut"
    got = load_frames(video(name, [source] * 3, codec=codec, pix_fmt=pix_fmt, full_range=full and pix_fmt != "gray"))
    truth = source.astype(float) if full and pix_fmt != "gray" else expand(source).clip(0, 255)
    assert np.abs(got.frames[1] - truth).max() <= error


def test_sixty_fps_drops_to_the_nearest(video: Writer) -> None:
    got = load_frames(video("a.mkv", numbered(60), fps=60, codec="ffv1"))
    assert got.n_frames == 25
    assert got.source_fps == pytest.approx(60, rel=0.01)
    assert (got.repeated, got.dropped, got.decoded) == (0, 35, 60)
    shown = number_of(got.frames)
    wanted = np.arange(25) * 60 / 25
    assert np.abs(shown - wanted).max() <= 0.5 + 1e-9 + 0.1  # milliseconds in this container
    native = load_frames(got.path, NATIVE)
    assert (native.n_frames, native.dropped) == (60, 0)
    assert native.fps == pytest.approx(60, rel=0.01)


def test_slow_rate_repeats(video: Writer) -> None:
    got = load_frames(video("a.mp4", numbered(10), fps=10))
    assert got.n_frames == 25
    assert (got.repeated, got.dropped) == (15, 0)
    flags = [frame.repeated for frame in iter_frames(got.path)]
    assert sum(flags) == 15
    assert flags[:3] == [False, True, False] or flags[:3] == [False, True, True]


def test_variable_rate_follows_the_timestamps(video: Writer) -> None:
    times = [0, 40, 80, 280, 320, 360, 460, 500]
    got = load_frames(video("a.mkv", numbered(8), codec="ffv1", times=times, tick=Fraction(1, 1000)))
    shown = number_of(got.frames)
    ticks = np.arange(len(shown)) * 40
    assert [times[i] for i in shown] == [min(times, key=lambda t: (abs(t - tick), t)) for tick in ticks]
    assert got.repeated > 0
    assert got.scene_cuts == ()


def test_long_gap_is_a_cut_not_a_freeze(video: Writer) -> None:
    times = [0, 40, 80, 9000, 9040, 9080]
    got = load_frames(video("a.mkv", talking(0, 6), codec="ffv1", times=times, tick=Fraction(1, 1000)))
    assert got.n_frames == 6
    assert got.scene_cuts == (3,)
    assert got.times[3] == pytest.approx(9.0)
    assert any("break" in text for text in got.warnings)


def turn_mp4(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a, b, c, d of a display matrix into the track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    a, b, c, d = (value * 65536 for value in matrix)
    data[at + 40 : at + 76] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("matrix", "degrees", "upright"),
    [
        ((0, 1, -1, 0), 90, lambda p: np.rot90(p, -1)),
        ((-1, 0, 0, -1), 180, lambda p: np.rot90(p, 2)),
        ((0, -1, 1, 0), 270, lambda p: np.rot90(p, 1)),
        ((-1, 0, 0, 1), 0, lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), 0, lambda p: p[::-1]),
    ],
)
def test_rotation_is_honoured(video: Writer, matrix: tuple[int, ...], degrees: int, upright: object) -> None:
    source = picture(2, 96, 160)
    path = video("a.mp4", [source] * 4)
    turn_mp4(path, matrix)  # type: ignore[arg-type]
    truth = upright(source)  # type: ignore[operator]
    height, width = truth.shape
    got = load_frames(path, crop="20,30,50,60")
    assert (got.width, got.height, got.rotation) == (width, height, degrees)
    assert got.crop == (20, 35, 50, 50)
    np.testing.assert_allclose(got.frames[0], expand(area_resize(truth[35:85, 20:70], 128)).clip(0, 255), atol=8)


def test_crop_outside_names_file_and_size(video: Writer) -> None:
    path = video("a.mp4", talking(0, 3))
    with pytest.raises(CropError, match=r"a\.mp4.*128 x 96"):
        load_frames(path, crop="100,0,50,50")
    with pytest.raises(CropError):
        load_frames(path, PreprocessingContract(crop="sideways"))


def test_gif_with_palette_and_transparency(tmp_path: Path) -> None:
    pictures = []
    for i in range(6):
        rgba = np.zeros((64, 64, 4), np.uint8)
        rgba[..., :3] = picture(1, 64, 64)[..., None]
        rgba[10 + i : 30 + i, 10:30, :3] = 255
        rgba[..., 3] = 255
        rgba[:5, :5, 3] = 0
        pictures.append(Image.fromarray(rgba))
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, disposal=2)
    got = load_frames(path)
    assert got.n_frames == 6
    assert abs(int(got.frames[0, 40, 40]) - 255) < 3
    assert np.abs(got.frames[0, 70:] - area_resize(picture(1, 64, 64), 128)[70:]).mean() < 6


def test_scene_cut_is_found_and_motion_is_not(video: Writer) -> None:
    path = video("a.mp4", talking(0, 30) + talking(1, 25) + talking(2, 30))
    got = load_frames(path)
    assert got.scene_cuts == (30, 55)
    starts = [frame.index for frame in iter_frames(path) if frame.starts_shot]
    assert starts == [0, 30, 55]


def test_max_frames_and_sound_and_odd_names(video: Writer) -> None:
    path = video("Ünï çødé 视频 'q' 100%d?.mp4", talking(0, 30), sound=True)
    assert load_frames(path).n_frames == 30
    part = load_frames(str(path), max_frames=7)
    assert part.n_frames == 7
    assert not part.truncated


def test_streaming_gives_the_loaded_frames(video: Writer) -> None:
    path = video("a.mp4", talking(0, 20) + talking(4, 20), fps=30)
    whole = load_frames(path)
    stream = iter_frames(path)
    frames = list(stream)
    np.testing.assert_array_equal(np.stack([f.image for f in frames]), whole.frames)
    np.testing.assert_array_equal([f.time for f in frames], whole.times)
    assert [f.index for f in frames] == list(range(whole.n_frames))
    assert stream.report.scene_cuts == whole.scene_cuts
    assert whole.decoded == 40
    assert whole.n_frames - whole.repeated + whole.dropped == whole.decoded


def test_real_clips(shared: Path) -> None:
    clip = load_frames(shared / "video/grid_s1/lrae3s.mpg")
    assert (clip.n_frames, clip.width, clip.height, clip.scene_cuts, clip.warnings) == (74, 360, 288, (), ())
    fast = load_frames(shared / "video/liveportrait/d18.mp4")
    assert fast.source_fps == pytest.approx(30, rel=0.01)
    assert (fast.n_frames, fast.scene_cuts, fast.warnings) == (180, (), ())
