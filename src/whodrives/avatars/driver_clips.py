"""One driver's motion cut into windows, also as a generator that runs at another frame rate needs it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.clips import sample_track
from whodrives.avatars.tracks import MotionTrack
from whodrives.data.sampler import spread
from whodrives.video.timeline import nearest_frames


class DriverClips:
    """One driver's usable recordings, ready to cut windows from. `length` frames at `fps` and a little more fit."""

    def __init__(self, tracks: Sequence[MotionTrack], fps: float, length: int) -> None:
        self.name = tracks[0].driver if tracks else ""
        self.fps = fps
        self.tracks: list[MotionTrack] = []
        self.originals: list[MotionTrack] = []
        self.starts: list[NDArray[np.int64]] = []
        for original in tracks:
            track = original.resample(fps)
            starts = track.window_starts(length)
            if len(starts):
                self.tracks.append(track)
                self.originals.append(original)
                self.starts.append(starts)

    def __len__(self) -> int:
        return len(self.tracks)

    def draw(self, rng: np.random.Generator, count: int) -> list[tuple[int, int]]:
        """`count` windows (recording, first frame), over as many different recordings as there are."""
        return [(int(n), int(rng.choice(self.starts[n]))) for n in spread(rng, len(self), count)]

    def controls(self, recording: int, start: int, length: int) -> NDArray[np.float32]:
        """A window (length, 33) at the driver's rate."""
        return self.tracks[recording].window(start, length).values.astype(np.float32)

    def controls_at(self, recording: int, start: int, frames: int, fps: float) -> NDArray[np.float32]:
        """What a generator at `fps` needs from frame `start` of the driver's rate on: (frames, 33) float32.

        Behind the recording's end stands its last frame.
        """
        if fps == self.fps:
            values = self.controls(recording, start, min(frames, len(self.tracks[recording].values) - start))
        else:
            original = self.originals[recording]
            first = start / self.fps
            values = sample_track(original, first, fps, min(frames, int((original.seconds - first) * fps)))
        return np.concatenate([values, np.repeat(values[-1:], frames - len(values), axis=0)])


def shown_frames(source_fps: float, fps: float, length: int) -> NDArray[np.int64]:
    """Which frame of a source at `source_fps` each of `length` output frames shows, by the video contract's rule."""
    if source_fps == fps:
        return np.arange(length)
    count = int(np.ceil((length + 1) * source_fps / fps)) + 1
    return nearest_frames(np.arange(count) / source_fps, fps)[:length]
