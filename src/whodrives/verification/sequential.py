"""A decision that may come at any moment of a call: accept, reject, or keep watching; and whether the driver changed.

Evidence is the log-likelihood ratio of everything seen since the call (or the present driver) began. Windows that
overlap are worth what the variance of their mean says, and windows of one call are not taken for independent
(`evaluation.repeated`). Wald's bounds then hold however often one looks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from whodrives.errors import InputError
from whodrives.evaluation.repeated import RepeatedLlr, Worth, wald_bounds

State = Literal["watching", "accept", "reject"]
# Windows (that share no frame) among which a change of driver is looked for.
MEMORY = 24


@dataclass(frozen=True)
class SequentialSettings:
    """far, frr : nominal rates, per call, of accepting an impostor and of rejecting the claimed driver, each in 0..1.

    change_hours : mean hours of a call without a change until a false alarm, at least.
    """

    far: float = 0.01
    frr: float = 0.05
    change_hours: float = 10.0

    def __post_init__(self) -> None:
        wald_bounds(self.far, self.frr)
        if not 0 < self.change_hours < math.inf:
            raise InputError(f"change_hours is {self.change_hours}; give hours above 0")


@dataclass(frozen=True)
class Evidence:
    """Where the test stands. state : ``accept`` and ``reject`` stay until the driver changes.

    mean : mean score of the present driver's windows, None before the first. covered : frames behind it, in windows.
    worth : independent windows that it is worth, where these overlap, at most `covered`. llr : log-likelihood ratio,
    positive for the claimed driver. changed_at : start frame of the first window of the new driver, only in the step
    that found the change.
    """

    state: State
    mean: float | None
    covered: float
    worth: float
    llr: float
    changed_at: int | None = None


class SequentialTest:
    """Takes the scores of a call's usable windows in order.

    Parameters
    ----------
    calibration : of the weights. length : frames of a window. fps : frames per second, to turn hours into windows.
    """

    def __init__(self, calibration: RepeatedLlr, length: int, fps: float, settings: SequentialSettings) -> None:
        self.calibration, self.length = calibration, length
        self._low, self._high = wald_bounds(settings.far, settings.frr)
        # A change after any given window is a likelihood ratio of its own: exp(alarm) windows pass between false ones.
        self.alarm = math.log(max(settings.change_hours * 3600 * fps / length, math.e))
        self.reset()

    @property
    def can_tell_changes(self) -> bool:
        """Whether these weights could ever find a change at this rate of false alarms."""
        one = self.calibration.one
        most = max(abs(one.scale * edge + one.offset) for edge in (one.low, one.high))
        return most * float(self.calibration.effective(MEMORY)) >= self.alarm

    def reset(self) -> None:
        """A new call."""
        self._state: State = "watching"
        self._begin(None)

    def _begin(self, windows: Sequence[tuple[int, float]] | None) -> None:
        self._sum, self._count, self._frames, self._end = 0.0, 0, 0, -1
        self._overlap, self._worth = Worth(self.length), 0.0
        # Windows without a shared frame, latest last: start and score.
        self._apart: deque[tuple[int, float]] = deque(windows or (), maxlen=MEMORY)
        for start, score in windows or ():
            self._count_in(start, score)

    def _count_in(self, start: int, score: float) -> None:
        self._sum += score
        self._count += 1
        self._worth = self._overlap.add(start)
        end = start + self.length
        self._frames += end - max(start, self._end)
        self._end = end

    def add(self, start: int, score: float) -> Evidence:
        """The next usable window: its first frame, larger than the last one's, and its cosine with the template."""
        self._count_in(start, score)
        if not self._apart or start >= self._apart[-1][0] + self.length:
            self._apart.append((start, score))
            changed = self._change()
            if changed is not None:
                self._begin(changed)
                self._state = "watching"
                return self._evidence(changed[0][0])
        return self._evidence(None)

    def _evidence(self, changed_at: int | None) -> Evidence:
        mean, covered = self._sum / self._count, self._frames / self.length
        llr = float(self.calibration.llr(mean, self._worth))
        if self._state == "watching" and not self._low < llr < self._high:
            self._state = "accept" if llr >= self._high else "reject"
        return Evidence(self._state, mean, covered, self._worth, llr, changed_at)

    def _change(self) -> list[tuple[int, float]] | None:
        """The latest windows that speak against the decision strongly enough, None: nothing changed."""
        if self._state == "watching":
            return None
        against = -1.0 if self._state == "accept" else 1.0
        windows = list(self._apart)
        total, best, found = 0.0, self.alarm, None
        for count, (_, score) in enumerate(reversed(windows), 1):
            total += score
            strength = against * float(self.calibration.llr(total / count, count))
            if strength >= best:
                best, found = strength, windows[-count:]
        return found
