"""Time: sane timestamps from any stream, and a constant frame rate by the nearest source frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_GAP_S = 2.0
MAX_BACKWARD_S = 0.5
MAX_PLAUSIBLE_GAP_S = 600.0
# Beyond, sums in double precision lose milliseconds, and at last overflow; clocks count some 1e9 s.
MAX_STAMP_S = 1e12
_TIE = 1e-6


@dataclass(frozen=True)
class Placed:
    """Where one source frame goes: its time in seconds, and whether a new segment starts there."""

    time: float
    starts_segment: bool


class Timeline:
    """Turns presentation timestamps as they come into strictly increasing seconds, cut into segments (ours).

    A damaged timestamp must neither stretch a video nor reorder it. So a frame up to 0.5 s behind its predecessor is
    left out; a jump further back, or more than 10 minutes ahead, restarts the clock one frame after the predecessor;
    any gap over 2 s ends the segment, and no frame is repeated across it.
    """

    def __init__(self, nominal_fps: float) -> None:
        self._step = 1.0 / nominal_fps
        self._offset = 0.0
        self._last: float | None = None
        self._stamp: float | None = None
        self.first = 0.0
        self.late = 0
        self.gaps = 0
        self._spans = 0.0
        self._intervals = 0

    @property
    def measured_fps(self) -> float | None:
        """Mean source frames per second inside segments; None before two frames."""
        return self._intervals / self._spans if self._intervals else None

    @property
    def step(self) -> float:
        """Seconds one source frame lasts: measured when possible, else nominal."""
        fps = self.measured_fps
        return 1.0 / fps if fps else self._step

    def place(self, stamp: float | None, restart: bool = False) -> Placed | None:
        """Place the next frame of presentation time `stamp` seconds (None: unknown); None when it must be left out.

        `restart` makes it start a segment in any case: frames before it are missing.
        """
        if stamp is not None and not abs(stamp) <= MAX_STAMP_S:
            stamp = None  # NaN, infinite or no clock's reading: says nothing
        if self._last is None:
            if stamp is None or abs(stamp) > 1e9:
                # Unknown, or counted from some epoch: start at 0 and go on from there.
                stamp = stamp or 0.0
                self._offset = -stamp
            self._last = self.first = stamp + self._offset
            self._stamp = stamp
            return Placed(self._last, True)
        # The same stamp again says as little as none: some writers never set any.
        known = stamp is not None and stamp != self._stamp
        self._stamp = stamp
        time = stamp + self._offset if known and stamp is not None else self._last + self.step
        ahead = time - self._last
        if -MAX_BACKWARD_S <= ahead <= _TIE:
            self.late += 1
            return None
        gap = ahead < 0 or ahead > MAX_GAP_S or restart
        if ahead < 0 or not ahead <= MAX_PLAUSIBLE_GAP_S:
            follow = self._last + self.step
            self._offset += follow - time
            time = follow
        if gap:
            self.gaps += 1
        else:
            self._spans += ahead
            self._intervals += 1
        self._last = time
        return Placed(time, gap)


class Retimer:
    """Streaming nearest-frame resampling of ONE segment to `fps`.

    Output tick k lies at the first source time + k / fps and shows the source frame nearest to it (the earlier one on a
    tie). A segment of duration D gives round(D * fps) ticks. One source frame fills at most 1.5 * MAX_GAP_S.
    """

    def __init__(self, fps: float) -> None:
        self._period = 1.0 / fps
        self._first: float | None = None
        self._last = 0.0
        self._tick = 0

    def _ticks_up_to(self, limit: float) -> list[float]:
        assert self._first is not None
        out = []
        while self._tick * self._period <= limit - self._first + _TIE:
            out.append(self._first + self._tick * self._period)
            self._tick += 1
        return out

    def push(self, time: float) -> list[float]:
        """A source frame at `time` seconds arrives: the output times that show the frame BEFORE it."""
        if self._first is None:
            self._first = self._last = time
            return []
        out = self._ticks_up_to((self._last + time) / 2)
        self._last = time
        return out

    def finish(self, step: float) -> list[float]:
        """The segment ends; its last frame lasts `step` seconds: the output times that show it."""
        if self._first is None:
            return []
        # Half a tick short of the end: timestamp jitter must not add a frame.
        limit = self._last + min(step, MAX_GAP_S) - 0.5 * self._period
        if self._tick == 0:
            limit = max(limit, self._first)
        return self._ticks_up_to(limit - 2 * _TIE if limit > self._first else limit)


def nearest_frames(times: NDArray[np.float64], fps: float) -> NDArray[np.int64]:
    """Index of the source frame shown at each output tick, for strictly increasing `times` (seconds) of one segment."""
    retimer, out = Retimer(fps), []
    for i, time in enumerate(times):
        out += [i - 1] * len(retimer.push(float(time)))
    if len(times):
        step = float(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 1.0 / fps
        out += [len(times) - 1] * len(retimer.finish(step))
    return np.asarray(out, dtype=np.int64)
