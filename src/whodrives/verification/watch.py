"""Watching a call: a decision that is looked at again with every hop, in constant memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.verification.sequential import Evidence, SequentialSettings, SequentialTest, State
from whodrives.video.decoder import Decoder
from whodrives.video.frames import FrameStream
from whodrives.video.live import LiveSource, is_live
from whodrives.video.source import VideoSource

DEFAULT_HOP = 8


@dataclass(frozen=True)
class WatchUpdate:
    """One look, at the end of a window.

    Attributes
    ----------
    seconds : float
        Where the window ends in the stream, from its beginning; time in which nothing came does not count.
    score : float
        Cosine of this window with the template.
    problem : str or None
        Why the window does not count (``still``, ``rate``), None when it does.
    decision : str
        ``watching``, ``accept`` or ``reject``; once accepted or rejected it stays until the driver changes.
    mean, llr, covered, worth
        As `sequential.Evidence`: of all windows that count since the call, or the present driver, began.
    changed_at : float or None
        Seconds where the present driver began, in the one update that found a change.
    compute : float
        Seconds of work from the moment the window's last frame was taken.
    crop : tuple of 4 int
        The square (x, y, side, side) that is scored, in pixels of the upright frame.
    distance : float or None
        Of this window from the clips that the weights were trained on, above 1 is unlike them; None where the weights
        do not know.
    reconnects, overrun : int
        Breaks of the stream so far; pictures let go because they came faster than they were looked at.
    """

    seconds: float
    score: float
    problem: str | None
    decision: State
    mean: float | None
    llr: float
    covered: float
    worth: float
    changed_at: float | None
    compute: float
    crop: tuple[int, int, int, int]
    distance: float | None = None
    reconnects: int = 0
    overrun: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def open_source(source: str, patience: float = 30.0) -> Decoder:
    """A file, network stream (``rtsp://...``) or camera (``camera:0``) for `watch`.

    patience : seconds to try again for after a live stream broke.

    Raises
    ------
    VideoError
        It cannot be opened.
    """
    return LiveSource(source, patience) if is_live(source) else VideoSource(source)


class Watch:
    """Iterate once for `WatchUpdate`s of a source, judged against one template. Use as a context manager.

    Parameters
    ----------
    source : from `open_source`. template : (D,) unit vector, from `Gallery.template_for(fingerprinter.blank(), name)`.
    hop : frames between looks. settings : nominal error rates. crop : as for `Fingerprinter.embed`.

    Raises
    ------
    InputError
        The weights have no calibration, so that no evidence can be added up; or a hop under 1.
    """

    def __init__(
        self,
        source: Decoder,
        fingerprinter: Fingerprinter,
        template: NDArray[np.float32],
        *,
        hop: int = DEFAULT_HOP,
        settings: SequentialSettings | None = None,
        crop: str | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        model = fingerprinter.model
        if model.calibration is None:
            raise InputError(
                f"weights {model} have no calibration, so evidence cannot be added up; make some with "
                "`whodrives calibrate`, or use `verify` on a recording"
            )
        if hop < 1:
            raise InputError(f"hop is {hop}; give at least 1 frame")
        self._source, self._fingerprinter, self._template, self._hop = source, fingerprinter, template, hop
        self._frames = _Stamped(source, fingerprinter, crop, clock)
        self._clock = clock
        fps = fingerprinter.contract.fps or source.nominal_fps
        self._fps, self._length = fps, model.clip_length
        self.test = SequentialTest(model.calibration, model.clip_length, fps, settings or SequentialSettings())

    def __iter__(self) -> Iterator[WatchUpdate]:
        evidence: Evidence | None = None
        for window, vector in self._fingerprinter.stream(self._frames, self._hop):
            score = float(vector @ self._template)
            changed = None
            if window.usable:
                evidence = self.test.add(window.start, score)
                changed = evidence.changed_at
            yield WatchUpdate(
                seconds=(window.start + self._length) / self._fps,
                score=score,
                problem=window.problem,
                decision=evidence.state if evidence else "watching",
                mean=evidence.mean if evidence else None,
                llr=evidence.llr if evidence else 0.0,
                covered=evidence.covered if evidence else 0.0,
                worth=evidence.worth if evidence else 0.0,
                changed_at=None if changed is None else changed / self._fps,
                compute=self._clock() - self._frames.taken,
                crop=self._frames.crop,
                distance=window.distance,
                reconnects=getattr(self._source, "reconnects", 0),
                overrun=getattr(self._source, "overrun", 0),
            )

    def close(self) -> None:
        """Release the source."""
        self._source.close()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Stamped(FrameStream):
    """Frames that remember when the last one was taken."""

    def __init__(
        self, source: Decoder, fingerprinter: Fingerprinter, crop: str | None, clock: Callable[[], float]
    ) -> None:
        super().__init__(source, fingerprinter.contract, crop)
        self._clock = clock
        self.taken = clock()

    def __iter__(self) -> Iterator[Any]:
        for frame in super().__iter__():
            self.taken = self._clock()
            yield frame
