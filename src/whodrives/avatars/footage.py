"""Calling programs and reading what they made: a command without a shell, RGB frames of a video at a wanted rate."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError, WhodrivesError
from whodrives.video.crop import square_crop
from whodrives.video.resize import area_resize
from whodrives.video.source import VideoSource
from whodrives.video.timeline import nearest_frames

ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg")
TAIL = 500
# How far from square a program's output may be (it may round its sides).
MOST_OBLONG = 1.1
Fail = Callable[[str], InputError]


class _Oblong(Exception):
    """The output is not square."""


def run_command(words: Sequence[str], timeout: float, folder: Path | None, fail: Fail) -> None:
    """Run a program to its end; `fail` makes the error, whose text holds the end of what the program printed.

    Parameters
    ----------
    words : program and arguments, handed over as they are. timeout : seconds. folder : where it runs.
    """
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder, start_new_session=True
            )
        except OSError as error:
            what = "`folder`" if folder is not None and not folder.is_dir() else "the command's first word"
            raise fail(f"cannot be started: {words[0]}: {error.strerror}; check {what}") from error
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            raise fail(f"took longer than {timeout:g} s for one video; raise `timeout`{_tail(said)}") from None
        except BaseException:
            _end(process)
            raise
        if status:
            raise fail(f"exit status {status}{_tail(said)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _tail(said: Any) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - 4 * TAIL))
    text = " ".join(said.read().decode("utf-8", "replace").split())
    return f"; it said: ...{text[-TAIL:]}" if text else ""


def _decoded(path: Path) -> Iterator[tuple[NDArray[np.uint8], float | None]]:
    """(RGB frame (H, W, 3), its time) of every sound frame."""
    with VideoSource(path) as source:
        for decoded in source:
            yield decoded.frame.to_ndarray(format="rgb24"), decoded.time
        if source.corrupt or source.errors or source.skipped:
            raise InputError(f"{path}: is damaged; make it again")


def _places(times: Sequence[float | None], frames: int, fps: float, tolerance: int) -> NDArray[np.int64] | None:
    """Which source frame shows each of `frames` output frames; None when the video has another length."""
    count = len(times)
    if abs(count - frames) <= tolerance:
        return np.minimum(np.arange(frames), count - 1)
    stamps = np.array([np.nan if time is None else time for time in times])
    if count > 1 and np.isfinite(stamps).all() and (np.diff(stamps) > 0).all():
        # Another frame rate, the same seconds.
        shown = nearest_frames(stamps, fps)
        if abs(len(shown) - frames) <= tolerance:
            return shown[np.minimum(np.arange(frames), len(shown) - 1)]
    return None


def read_rgb(path: Path, frames: int, fps: float, size: int, tolerance: int, fail: Fail) -> NDArray[np.float32]:
    """A video as exactly `frames` RGB frames at `fps`, float32 (T, 3, size, size) in 0..1.

    Frames are taken in order where their number fits to within `tolerance` (the last one repeated), else by time.
    The largest centred square is brought to `size` by area.
    """
    small: list[NDArray[np.float32]] = []
    times = []
    try:
        for picture, time in _decoded(path):
            high, wide = picture.shape[:2]
            if max(high, wide) > MOST_OBLONG * min(high, wide):
                raise _Oblong(
                    f"made pictures of {wide} x {high} where the still is square; several pictures side by side? "
                    "Choose the right file (`pattern`), or crop it in the command"
                )
            x, y, w, h = square_crop("center", wide, high, path)
            square = picture[y : y + h, x : x + w]
            small.append(np.stack([area_resize(square[..., channel], size) for channel in range(3)]))
            times.append(time)
    except _Oblong as error:
        raise fail(str(error)) from error
    except WhodrivesError as error:
        raise fail(f"what it made cannot be read: {error}") from error
    if not small:
        raise fail("what it made holds no frame")
    places = _places(times, frames, fps, tolerance)
    if places is None:
        raise fail(
            f"made {len(small)} frames where {frames} at {fps:g} fps were wanted (tolerance {tolerance}); "
            "does it drop or repeat frames, or write another length?"
        )
    return np.clip(np.stack(small)[places] / np.float32(255), 0, 1)


def find_footage(folder: Path, driver: str, recording: str) -> Path | None:
    """The driving video of a recording: ``<recording>.*``, ``<driver>/<recording>.*``, or without a leading driver."""
    short = recording.removeprefix(f"{driver}-")
    for stem in (folder / recording, folder / driver / recording, folder / driver / short):
        if not stem.resolve().is_relative_to(folder.resolve()):
            continue
        for ending in ENDINGS:
            if (file := stem.with_name(stem.name + ending)).is_file():
                return file
    return None


def cut_footage(path: Path, start: float, frames: int, fps: float) -> NDArray[np.uint8]:
    """`frames` RGB frames (T, H, W, 3), H and W even, at `fps` from `start` seconds after the video's first frame.

    Raises
    ------
    InputError
        The video ends before.
    """
    kept: list[NDArray[np.uint8]] = []
    times: list[float] = []
    first: float | None = None
    end = start + frames / fps
    for number, (picture, time) in enumerate(_decoded(path)):
        stamp = float(number) / fps if time is None else time
        first = stamp if first is None else first
        stamp -= first
        # A frame on either side, so that the nearest one is among them.
        while len(times) > 1 and times[1] <= start:
            times.pop(0)
            kept.pop(0)
        kept.append(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
        times.append(stamp)
        if stamp > end:
            break
    wanted = start + np.arange(frames) / fps
    if not times or wanted[-1] > times[-1] + 1.5 / fps:
        raise InputError(f"{path}: ends before {end:g} s, where the clip ends; is it the driver's own video?")
    places = np.abs(np.array(times)[None] - wanted[:, None]).argmin(axis=1)
    return np.stack([kept[place] for place in places])
