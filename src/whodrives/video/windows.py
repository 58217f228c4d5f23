"""Windows: clips of consecutive frames that never cross a scene cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.video.contract import DEFAULT_CONTRACT, PreprocessingContract
from whodrives.video.frames import FrameStream, VideoReport, iter_frames


@dataclass(frozen=True)
class Window:
    """`length` frames from output frame `start`; the first `valid` are real, the rest repeat the last real one.

    repeated : of the real ones, how many only show the frame before again, where a stream tells.
    """

    start: int
    length: int
    valid: int
    shot: int
    repeated: int = field(default=0, compare=False)


def _check(length: int, hop: int | None, min_valid: int) -> int:
    if length < 2:
        raise InputError(f"window length is {length}; give at least 2 frames")
    if min_valid < 1:
        raise InputError(f"min_valid is {min_valid}; give at least 1 frame")
    hop = length // 2 if hop is None else hop
    if hop < 1:
        raise InputError(f"window hop is {hop}; give at least 1 frame")
    return hop


def cut_windows(
    n_frames: int,
    length: int = 64,
    hop: int | None = None,
    scene_cuts: Sequence[int] = (),
    min_valid: int = 2,
) -> tuple[Window, ...]:
    """Windows of `length` frames every `hop` frames (default length // 2) inside each shot.

    `scene_cuts` are the first frames of the second, third ... shot. Frames after the last whole window of a shot are
    left out. A shot shorter than `length` gives one window with `valid` < `length`, or none under `min_valid` frames.

    Raises
    ------
    InputError
        Length under 2, hop or min_valid under 1, negative `n_frames`, or cuts that are not increasing inside the video.
    """
    hop = _check(length, hop, min_valid)
    cuts = [int(cut) for cut in scene_cuts]
    if n_frames < 0:
        raise InputError(f"n_frames is {n_frames}; give 0 or more")
    if any(b <= a for a, b in zip([0, *cuts], [*cuts, n_frames])) and cuts:
        raise InputError(f"scene cuts {cuts} do not increase strictly between 0 and {n_frames}")
    out = []
    for shot, (begin, end) in enumerate(zip([0, *cuts], [*cuts, n_frames])):
        if min_valid <= end - begin < length:
            out.append(Window(begin, length, end - begin, shot))
        out += [Window(start, length, length, shot) for start in range(begin, end - length + 1, hop)]
    return tuple(out)


def middle_start(n_frames: int, length: int) -> int:
    """Start of the evaluation window: floor((N - T) / 2), or 0 in a short video (paper Sec. IV-B)."""
    return max(n_frames - length, 0) // 2


def gather(frames: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """The frames (length, H, W) of one window out of (N, H, W), the last real frame repeated as padding."""
    index = window.start + np.minimum(np.arange(window.length), window.valid - 1)
    return frames[index]


class WindowStream:
    """Iterate once for (Window, uint8 (length, size, size)); at most `length` frames are held.

    Yields what `cut_windows` and `gather` give on the loaded video. `report` holds the `VideoReport` at the end.
    """

    def __init__(
        self,
        frames: FrameStream,
        length: int,
        hop: int | None = None,
        min_valid: int = 2,
    ) -> None:
        self.hop = _check(length, hop, min_valid)
        self._length = length
        self._min_valid = min_valid
        self._frames = frames

    @property
    def report(self) -> VideoReport:
        """The report of the whole video; `InputError` before the end of the iteration."""
        return self._frames.report

    def close(self) -> None:
        """Release the file early."""
        self._frames.close()

    def __iter__(self) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        ring: deque[NDArray[np.uint8]] = deque(maxlen=self._length)
        repeats: deque[bool] = deque(maxlen=self._length)
        shot = -1
        begin = 0
        seen = 0
        for frame in self._frames:
            if frame.starts_shot:
                yield from self._short(ring, repeats, begin, seen, shot)
                ring.clear()
                repeats.clear()
                shot, begin, seen = shot + 1, frame.index, 0
            ring.append(frame.image)
            repeats.append(frame.repeated)
            seen += 1
            if seen >= self._length and (seen - self._length) % self.hop == 0:
                start = begin + seen - self._length
                yield Window(start, self._length, self._length, shot, sum(repeats)), np.stack(ring)
        yield from self._short(ring, repeats, begin, seen, shot)

    def _short(
        self, ring: deque[NDArray[np.uint8]], repeats: deque[bool], begin: int, seen: int, shot: int
    ) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        """The one padded window of a shot that ended before it filled a window."""
        if self._min_valid <= seen < self._length:
            frames = list(ring) + [ring[-1]] * (self._length - seen)
            yield Window(begin, self._length, seen, shot, sum(repeats)), np.stack(frames)


def iter_windows(
    path: str | Path,
    contract: PreprocessingContract = DEFAULT_CONTRACT,
    length: int = 64,
    hop: int | None = None,
    crop: str | None = None,
    min_valid: int = 2,
) -> WindowStream:
    """Stream the windows of a video file in constant memory; arguments as `cut_windows`, errors as `load_frames`."""
    _check(length, hop, min_valid)
    return WindowStream(iter_frames(path, contract, crop), length, hop, min_valid)
