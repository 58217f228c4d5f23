"""The windows of labelled videos that an evaluation looks at, from files or from a packed frame store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from whodrives.data.read_video import read_video
from whodrives.data.record import Record
from whodrives.data.store import FrameStore
from whodrives.errors import InputError
from whodrives.video.contract import PreprocessingContract
from whodrives.video.gate import motion_energy
from whodrives.video.windows import Window, gather, middle_start


@dataclass(frozen=True, eq=False)
class VideoSample:
    """What is judged of one video.

    windows : uint8 (W, T, S, S). valid : int64 (W,) leading real frames, the rest repeats the last one; under T only in
    a video shorter than T, which gives one window. n_frames : of the whole video. fps : of the frames, None where a
    folder of frames states none. energy : motion energy of the windows, grey levels (`video.gate`).
    """

    windows: NDArray[np.uint8]
    valid: NDArray[np.int64]
    n_frames: int
    fps: float | None
    energy: float


class Reader(Protocol):
    """Labelled videos in an order, read one by one."""

    @property
    def records(self) -> Sequence[Record]:
        """The labels."""

    def read(self, number: int) -> VideoSample:
        """The windows of one video. Raises a WhodrivesError that names the file."""


def central_windows(n_frames: int, length: int, windows: int) -> tuple[Window, ...]:
    """Up to `windows` consecutive windows of `length` frames around the middle of a video.

    One window starts at floor((N - T) / 2), as in the paper (Sec. IV-B). Fewer where the video is too short for all;
    shorter than T: one window, which repeats the last frame.

    Raises
    ------
    InputError
        Fewer than 2 frames, a length under 2, or no window asked for.
    """
    if length < 2 or windows < 1:
        raise InputError(f"{windows} windows of {length} frames: give at least 1 window of at least 2 frames")
    if n_frames < 2:
        raise InputError(f"a video of {n_frames} frames shows no motion; it needs at least 2")
    if n_frames < length:
        return (Window(0, length, n_frames, 0),)
    count = min(windows, n_frames // length)
    start = middle_start(n_frames, count * length)
    return tuple(Window(start + number * length, length, length, 0) for number in range(count))


class FileReader:
    """Videos and folders of PNG frames, decoded under a contract when asked for.

    Parameters
    ----------
    records : what to read. contract : of the network. length : T. windows : at most so many of each video.
    folder_fps : frames/s of folders of PNG frames, which state none.
    """

    def __init__(
        self,
        records: Sequence[Record],
        contract: PreprocessingContract,
        length: int,
        windows: int = 1,
        folder_fps: float | None = None,
    ) -> None:
        central_windows(length, length, windows)
        self.records, self.contract, self.length, self.windows = records, contract, length, windows
        self.folder_fps = folder_fps

    def read(self, number: int) -> VideoSample:
        """Decode one video. Raises VideoError or LayoutError."""
        video = read_video(self.records[number].path, self.contract, self.folder_fps)
        chosen = central_windows(len(video.frames), self.length, self.windows)
        return _sample(np.stack([gather(video.frames, window) for window in chosen]), chosen, video.frames, video.fps)


class StoreReader:
    """Videos of a packed frame store.

    Parameters
    ----------
    store : its contract must be the network's but for the normalisation, which the network does itself.
    numbers : videos of the store. contract, length, windows : as for `FileReader`.

    Raises
    ------
    ContractMismatchError
        The store was packed under another contract than the network was trained on.
    """

    def __init__(
        self,
        store: FrameStore,
        numbers: Sequence[int],
        contract: PreprocessingContract,
        length: int,
        windows: int = 1,
    ) -> None:
        central_windows(length, length, windows)
        packed = PreprocessingContract.from_dict({**store.contract.to_dict(), "normalisation": contract.normalisation})
        contract.require_same(packed, f"the store {store.place}")
        self.store, self.numbers, self.length, self.windows = store, list(numbers), length, windows
        self.records = [store.records[number] for number in self.numbers]

    def read(self, number: int) -> VideoSample:
        """Read one video back. Raises StoreDamageError."""
        video = self.numbers[number]
        chosen = central_windows(int(self.store.n_frames[video]), self.length, self.windows)
        first, last = chosen[0].start, chosen[-1].start + chosen[-1].length
        frames = self.store.window(video, first, last - first).frames[:, 0]
        windows = frames.reshape(len(chosen), self.length, *frames.shape[1:])
        fps = self.store.contract.fps
        return _sample(windows, chosen, windows.reshape(-1, *frames.shape[1:]), fps, int(self.store.n_frames[video]))


def _sample(
    windows: NDArray[np.uint8],
    chosen: tuple[Window, ...],
    frames: NDArray[np.uint8],
    fps: float | None,
    n_frames: int | None = None,
) -> VideoSample:
    valid = np.array([window.valid for window in chosen], np.int64)
    energy = float(np.mean([motion_energy(part[:real]) for part, real in zip(windows, valid)]))
    return VideoSample(windows, valid, len(frames) if n_frames is None else n_frames, fps, energy)
