"""Decoding: an opened container in, source frames with presentation times out; no libav error escapes."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error

from whodrives.video.errors import (
    CorruptVideoError,
    NotAVideoError,
    NoVideoStreamError,
    ZeroDimensionError,
)

MAX_SIDE = 16384
MAX_PIXELS = 100_000_000
MAX_CONSECUTIVE_ERRORS = 500
DEFAULT_FPS = 25.0
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC

LIBAV_ERRORS = (av.error.FFmpegError, OSError, ValueError, EOFError, MemoryError, RuntimeError)
REENCODE = "Re-export it, for example: ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"
COPY_AGAIN = "Copy or download it again in full, or re-export it from its source"


def reason(error: BaseException) -> str:
    """What an error says, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].strip()


def _decoder_threads(width: int, height: int) -> int:
    """Frame threads multiply the frames in flight, so large pictures get few.

    Not a matter of the machine: the same damaged file must give the same frames everywhere.
    """
    return 2 if width * height > 2_200_000 else 4


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """A PyAV frame, its presentation time in seconds (None: unknown), whether damaged frames before it are gone."""

    frame: Any
    time: float | None
    after_damage: bool


class Decoder:
    """The pictures of one container: iterate once for `SourceFrame`s in constant memory. Use as a context manager.

    Damage is counted, never raised: `packets` read, `decoded` good frames, `corrupt` damaged packets and frames,
    `skipped` frames between a damaged one and the next key frame, `errors` reads that failed, `finished` once the end
    was reached. Iteration raises `ZeroDimensionError` for frames beyond the safety limits.

    threading : libav's: ``AUTO`` decodes several frames at once, ``SLICE`` gives each frame without delay.
    """

    declared_frames = 0
    declared_seconds: float | None = None

    def __init__(self, path: Path, threading: str = "AUTO") -> None:
        self.path, self._threading = path, threading
        self.packets = 0
        self.decoded = 0
        self.corrupt = 0
        self.skipped = 0
        self.errors = 0
        self.finished = False
        self._container: Any = None

    def _adopt(self, container: Any) -> None:
        """Choose the stream of an opened container, and set its decoder up."""
        self._container = container
        streams = [s for s in container.streams.video if not self._is_cover(s)]
        if not len(container.streams):
            raise CorruptVideoError(self.path, "holds no stream: its index is damaged", COPY_AGAIN)
        if not streams:
            raise NoVideoStreamError(self.path, "has no video stream", "Give a file with a picture, not only sound")
        self._stream = next((s for s in streams if self._size(s) != (0, 0)), streams[0])
        context = self._stream.codec_context
        if context is None:
            raise NotAVideoError(self.path, "holds a video codec that cannot be decoded", REENCODE)
        self.width, self.height = self._size(self._stream)
        self._check_size(self.width, self.height)
        context.options = {"max_pixels": str(MAX_PIXELS)}
        self._threads = _decoder_threads(self.width, self.height)
        context.thread_count = self._threads
        context.thread_type = self._threading
        self.nominal_fps = self._nominal_fps()
        ratio = self._stream.sample_aspect_ratio
        self.square_pixels = not ratio or ratio == 1

    @staticmethod
    def _is_cover(stream: Any) -> bool:
        return bool(int(stream.disposition) & _ATTACHED_PICTURE)

    @staticmethod
    def _size(stream: Any) -> tuple[int, int]:
        context = stream.codec_context
        return (0, 0) if context is None else (int(context.width), int(context.height))

    def _check_size(self, width: int, height: int) -> None:
        if width <= 0 or height <= 0:
            raise ZeroDimensionError(self.path, f"declares a picture of {width} x {height} pixels", REENCODE)
        if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            limit = f"beyond the limit of {MAX_SIDE} a side and {MAX_PIXELS // 10**6} megapixels"
            problem = f"declares a picture of {width} x {height} pixels, {limit}"
            raise ZeroDimensionError(self.path, problem, "Scale it down first")

    def _nominal_fps(self) -> float:
        for rate in (self._stream.average_rate, self._stream.guessed_rate):
            try:
                value = float(rate) if rate else 0.0
            except (TypeError, ValueError, ZeroDivisionError, OverflowError):
                continue
            if math.isfinite(value) and 0.1 <= value <= 1000.0:
                return value
        return DEFAULT_FPS

    def _packets(self) -> Iterator[Any]:
        """Demux to the end, stepping over read errors."""
        in_a_row = 0
        while in_a_row < MAX_CONSECUTIVE_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    in_a_row = 0
                    yield packet
                return
            except LIBAV_ERRORS:
                self.errors += 1
                in_a_row += 1

    def __iter__(self) -> Iterator[SourceFrame]:
        # Frame threads report damage this many packets late.
        recent: deque[float] = deque(maxlen=self._threads)
        damaged_at: float | None = None
        restart = False
        failed = 0
        for packet in self._packets():
            self.packets += packet.size > 0
            if packet.pts is not None:
                recent.append(packet.pts)
            try:
                frames = packet.decode()
                failed = 0
            except LIBAV_ERRORS:
                self.corrupt += 1
                failed += 1
                if failed >= MAX_CONSECUTIVE_ERRORS:
                    break
                damaged_at = max(damaged_at or -math.inf, recent[0] if recent else -math.inf)
                continue
            for frame in frames:
                position = frame.pts if frame.pts is not None else math.inf
                if frame.is_corrupt:
                    self.corrupt += 1
                    damaged_at = max(damaged_at or -math.inf, -math.inf if frame.pts is None else position)
                    continue
                if damaged_at is not None:
                    # Until the next key frame every picture is built on the damaged one: false motion.
                    if not frame.key_frame or position <= damaged_at:
                        self.skipped += 1
                        continue
                    damaged_at, restart = None, True
                self._check_size(frame.width, frame.height)
                self.decoded += 1
                yield SourceFrame(frame, self._stamp(frame), restart)
                restart = False
        self.finished = True

    def _stamp(self, frame: Any) -> float | None:
        base = frame.time_base or self._stream.time_base
        stamp = frame.pts if frame.pts is not None else frame.dts
        return None if stamp is None or not base else float(stamp * base)

    def require_motion(self, count: int) -> None:
        """Called at the end with the number of frames that came out; sources that can tell raise when too few did."""

    def close(self) -> None:
        """Release the decoder. Safe to call twice."""
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(*LIBAV_ERRORS):
                container.close()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
