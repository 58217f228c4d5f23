"""Clips: stretches of a driver's motion, spread over its recordings, read out at any frame rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from whodrives.avatars.tracks import MotionTrack
from whodrives.errors import InputError

# Frames on either side of a stretch that its spline still feels (the influence of a knot fades 4-fold a frame).
MARGIN = 16


@dataclass(frozen=True)
class Clip:
    """A stretch of a driver's motion.

    Parameters
    ----------
    name : unique among the driver's clips: recording and first frame.
    track : the recording at the data set's rate; frames start .. start + length - 1 are shown.
    original : the same recording at its own rate, for videos with a rate of their own; None: `track`.
    """

    name: str
    track: MotionTrack
    start: int
    length: int
    original: MotionTrack | None = None

    @property
    def start_seconds(self) -> float:
        """Where the clip begins in its recording."""
        return self.start / self.track.fps

    def controls(self, fps: float, frames: int) -> NDArray[np.float32]:
        """`frames` rows (T, 33) of motion channels at `fps`, from the clip's start on.

        Raises
        ------
        InputError
            The recording ends before.
        """
        if fps == self.track.fps:
            return self.track.window(self.start, frames).values.astype(np.float32)
        return sample_track(self.original or self.track, self.start_seconds, fps, frames)


def sample_track(track: MotionTrack, start: float, fps: float, frames: int) -> NDArray[np.float32]:
    """Motion channels (frames, 33) at the times start + n / fps (seconds from the track's first frame).

    Cubic spline, like `MotionTrack.resample`, but for any start and only where it is needed. The track must reach to
    within one of its own frames of the last time; there its last frame is held.
    """
    last = len(track) - 1
    places = (start + np.arange(frames) / fps) * track.fps
    if start < 0 or frames < 1 or places[-1] > last + 1:
        end = start + frames / fps
        raise InputError(f"motion track {track.recording}: {start:g}..{end:g} s is outside its {track.seconds:g} s")
    places = np.clip(places, 0, last)
    whole = np.rint(places)
    places = np.where(np.abs(places - whole) < 1e-6, whole, places)
    if last == 0 or bool((places == whole).all()):
        return track.values[whole.astype(int)].astype(np.float32)
    first = max(int(places[0]) - MARGIN, 0)
    stop = min(int(places[-1]) + 2 + MARGIN, last + 1)
    spline = CubicSpline(np.arange(first, stop), track.values[first:stop].astype(np.float64), axis=0)
    return spline(places).astype(np.float32)


def _room(starts: NDArray[np.int64], length: int) -> int:
    """How many windows of `length` frames fit without meeting."""
    count, free = 0, 0
    for start in starts:
        if start >= free:
            count, free = count + 1, int(start) + length
    return count


def _shared_out(clips: int, room: Sequence[int]) -> list[int]:
    """Clips for each recording: in turn, passing those that are full; when all are full, in turn again."""
    counts = [0] * len(room)
    for _ in range(clips):
        open_ones = [take for take, count in enumerate(counts) if count < room[take]] or range(len(room))
        take = min(open_ones, key=lambda one: (counts[one], one))
        counts[take] += 1
    return counts


def cut_clips(tracks: Sequence[MotionTrack], clips: int, length: int, fps: float) -> dict[str, list[Clip]]:
    """Driver -> `clips` stretches of `length` frames at `fps`, spread evenly over its recordings and within each.

    Raises
    ------
    InputError
        A driver has no recording with `length` valid frames in a row, or too few for different clips.
    """
    takes: dict[str, list[tuple[MotionTrack, MotionTrack, NDArray[np.int64]]]] = {}
    for original in tracks:
        track = original.resample(fps)
        starts = track.window_starts(length)
        own = takes.setdefault(track.driver, [])
        if len(starts):
            own.append((track, original, starts))
    out: dict[str, list[Clip]] = {}
    for driver, recordings in sorted(takes.items()):
        if not recordings:
            raise InputError(
                f"driver {driver}: no recording has {length} usable frames at {fps:g} fps; ask for shorter videos"
            )
        counts = _shared_out(clips, [_room(starts, length) for _, _, starts in recordings])
        picks = [
            starts[np.linspace(0, len(starts) - 1, count + 2).astype(int)[1:-1]]
            for (_, _, starts), count in zip(recordings, counts, strict=True)
        ]
        if any(len(set(chosen.tolist())) < len(chosen) for chosen in picks):
            raise InputError(
                f"driver {driver}: the recordings are too short for {clips} different clips of {length} frames; "
                "ask for fewer or shorter ones"
            )
        out[driver] = []
        # First the first of every recording, then the second of every one that has it.
        turns = sorted((turn, take) for take, count in enumerate(counts) for turn in range(count))
        for turn, take in turns:
            track, original, _ = recordings[take]
            start = int(picks[take][turn])
            name = track.recording.replace("/", "_").replace("--", "-")
            out[driver].append(Clip(f"{name}-f{start}", track, start, length, original))
    return out
