"""Files that cannot be used: typed errors that name the file; damaged ones: what is good, and a report."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from video_media import Writer, talking, write_sound_only

from whodrives.errors import InputError
from whodrives.video import (
    CorruptVideoError,
    EmptyFileError,
    NotAVideoError,
    NoVideoStreamError,
    TooShortError,
    UnreadableFileError,
    VideoError,
    ZeroDimensionError,
    iter_frames,
    iter_windows,
    load_frames,
)


def check(path: Path, kind: type[VideoError]) -> str:
    with pytest.raises(kind) as caught:
        load_frames(path)
    assert type(caught.value) is kind
    assert str(path) in str(caught.value)
    assert caught.value.path == Path(path)
    assert caught.value.fix
    return str(caught.value)


def test_files_that_are_no_video(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    check(empty, EmptyFileError)
    check(tmp_path / "missing.mp4", UnreadableFileError)
    check(tmp_path, UnreadableFileError)
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 200)
    check(text, NotAVideoError)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    check(noise, NotAVideoError)
    check(write_sound_only(tmp_path / "sound.m4a"), NoVideoStreamError)


def test_pipes_and_devices_do_not_hang(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    check(pipe, UnreadableFileError)
    check(Path("/dev/zero"), UnreadableFileError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "locked.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    check(path, UnreadableFileError)


@pytest.mark.parametrize("suffix", [".txt", ".m3u8", ".mp4", ".ffconcat"])
def test_text_and_playlists_are_never_followed(tmp_path: Path, video: Writer, suffix: str) -> None:
    """Such files can make a decoder render text, or open other files and addresses."""
    good = video("good.mp4", talking(0, 5))
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{good}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {good}\n",
        "hello\n" * 500,
    ):
        path = tmp_path / f"list{suffix}"
        path.write_text(text)
        check(path, NotAVideoError)


def test_one_frame_is_too_short(video: Writer, tmp_path: Path) -> None:
    assert "1 frame" in check(video("one.mp4", talking(0, 1)), TooShortError)
    with pytest.raises(TooShortError):
        list(iter_windows(tmp_path / "one.mp4"))
    assert load_frames(video("two.mp4", talking(0, 2))).n_frames == 2


def test_picture_size_limits(tmp_path: Path) -> None:
    def gif(width: int, height: int) -> Path:
        path = tmp_path / f"{width}x{height}.gif"
        screen = width.to_bytes(2, "little") + height.to_bytes(2, "little")
        image = b"\x2c\0\0\0\0" + screen + b"\0\x02\x02\x4c\x01\0"
        path.write_bytes(b"GIF89a" + screen + b"\x80\0\0\0\0\0\xff\xff\xff" + image * 2 + b";")
        return path

    start = time.perf_counter()
    check(gif(65535, 65535), ZeroDimensionError)
    check(gif(16000, 16000), ZeroDimensionError)
    with pytest.raises(VideoError):
        load_frames(gif(0, 0))
    raw = tmp_path / "huge.avi"
    raw.write_bytes(b"YUV4MPEG2 W30000 H30000 F25:1 C420jpeg\nFRAME\n" + bytes(100))
    with pytest.raises(VideoError, match=r"huge\.avi"):
        load_frames(raw)
    assert time.perf_counter() - start < 5


def test_huge_header_of_an_mp4(video: Writer) -> None:
    """The sample table of the container claims 60000 x 60000; the pictures know better, and nothing is allocated."""
    path = video("huge.mp4", talking(0, 5), codec="mpeg4")
    data = bytearray(path.read_bytes())
    at = data.index(b"mp4v") + 28
    data[at : at + 4] = (60000).to_bytes(2, "big") * 2
    path.write_bytes(data)
    assert load_frames(path).width == 128


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_short_gives_the_good_part(video: Writer, share: float) -> None:
    path = video("cut.mp4", talking(0, 100), options={"g": "10"})
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    got = load_frames(path)
    assert 5 < got.n_frames < 100
    assert got.truncated
    assert any("cut short" in text for text in got.warnings)


def test_index_lost_says_damaged(video: Writer) -> None:
    path = video("cut.mp4", talking(0, 30))
    data = path.read_bytes()
    for kept in (40, 100, 150):
        path.write_bytes(data[:kept])
        check(path, CorruptVideoError)


def test_damage_starts_a_new_shot_at_the_next_key_frame(video: Writer) -> None:
    source = talking(0, 90)
    path = video("flip.mp4", source, options={"g": "15", "keyint_min": "15", "sc_threshold": "0"})
    clean = load_frames(path)
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    got = load_frames(path)
    assert got.corrupt > 0
    assert len(got.scene_cuts) == 1
    assert 30 <= got.n_frames < 90
    assert got.warnings
    # What comes out is what went in: no picture built on damage.
    places = np.rint(got.times * 25).astype(int)
    assert np.abs(got.frames.astype(int) - clean.frames[places]).mean(axis=(1, 2)).max() < 3


def test_all_bytes_of_the_pictures_lost(video: Writer) -> None:
    path = video("zero.mp4", talking(0, 30))
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 4
    data[at:] = bytes(len(data) - at)
    path.write_bytes(data)
    check(path, CorruptVideoError)


def test_random_damage_never_escapes(video: Writer) -> None:
    rng = np.random.default_rng(1)
    good = [video(f"good{s}", talking(0, 40)).read_bytes() for s in (".mp4", ".webm", ".mkv", ".avi", ".mpg", ".flv")]
    path = video("x.mp4", talking(0, 2))
    messages: list[str] = []
    for i in range(60):
        raw = np.frombuffer(good[i % 6], np.uint8).copy()
        where = rng.integers(0, len(raw), int(rng.integers(1, 60)))
        raw[where] = rng.integers(0, 256, len(where))
        path.write_bytes(raw[: int(rng.integers(len(raw) // 2, len(raw)))].tobytes())
        start = time.perf_counter()
        try:
            got = load_frames(path)
        except VideoError as error:
            messages.append(str(error))
        else:
            assert 2 <= got.n_frames <= 51 * got.decoded
            assert np.all(np.diff(got.times) > 0)
        assert time.perf_counter() - start < 10
    assert all(str(path) in message for message in messages)


def test_errors_survive_pickling() -> None:
    error = TooShortError("a.mp4", "has 1 frame", "Give more")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is TooShortError
    assert str(again) == str(error) == "a.mp4: has 1 frame. Give more"


def test_wrong_arguments(video: Writer) -> None:
    with pytest.raises(InputError, match="max_frames"):
        load_frames(video("a.mp4", talking(0, 3)), max_frames=1)
    stream = iter_frames(video("b.mp4", talking(0, 3)))
    stream.close()
    stream.close()
    with pytest.raises(UnreadableFileError):
        load_frames("bad\0name.mp4")


def test_import_is_light() -> None:
    """Reading video needs no deep-learning library."""
    code = "import sys, whodrives.video; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
