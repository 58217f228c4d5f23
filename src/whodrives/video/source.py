"""Decoding: one local file in, source frames with presentation times out; no libav error escapes."""

from __future__ import annotations

import contextlib
import math
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error

from whodrives.video.errors import (
    CorruptVideoError,
    EmptyFileError,
    NotAVideoError,
    NoVideoStreamError,
    TooShortError,
    UnreadableFileError,
    ZeroDimensionError,
)

MAX_SIDE = 16384
MAX_PIXELS = 100_000_000
MAX_CONSECUTIVE_ERRORS = 500
DEFAULT_FPS = 25.0
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC

# Only containers of moving pictures (and of sound, to say "audio only"). Left out on purpose: playlists and scripts
# that make libav open further files or addresses (hls, dash, concat), and the demuxer that renders text files (tty).
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,flv,gif,ogg,asf,ivf,nut,mjpeg,"
    "yuv4mpegpipe,mxf,dv,wav,mp3,aac,flac,w64,aiff,au,amr"
)
LIBAV_ERRORS = (av.error.FFmpegError, OSError, ValueError, EOFError, MemoryError, RuntimeError)
_REENCODE = "Re-export it, for example: ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"


_COPY_AGAIN = "Copy or download it again in full, or re-export it from its source"


def _starts_like_video(head: bytes) -> bool:
    """Whether the first 16 bytes are those of a known container: then a failure to open means damage."""
    boxes = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    marks = (b"\x1aE\xdf\xa3", b"FLV\x01", b"GIF8", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"OggS")
    return head[4:8] in boxes or head.startswith(marks) or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


def _why(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].strip()


def check_file(path: str | Path) -> Path:
    """The path of a readable, non-empty regular file.

    Raises
    ------
    UnreadableFileError, EmptyFileError
    """
    try:
        path = Path(path)
        info = path.stat()
    except FileNotFoundError:
        raise UnreadableFileError(path, "no such file", "Check the path") from None
    except (OSError, ValueError, TypeError) as error:
        raise UnreadableFileError(str(path), f"cannot be opened ({_why(error)})", "Check the path") from None
    if stat.S_ISDIR(info.st_mode):
        raise UnreadableFileError(path, "is a folder, not a video file", "Name the files inside it")
    if not stat.S_ISREG(info.st_mode):
        raise UnreadableFileError(path, "is not a regular file", "Save the stream to a file first")
    if info.st_size == 0:
        raise EmptyFileError(path, "the file is empty (0 bytes)", "Copy or download it again")
    if not os.access(path, os.R_OK):
        raise UnreadableFileError(path, "no permission to read it", "Change its permissions (chmod u+r) or copy it")
    return path


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


class VideoSource:
    """An opened video file: iterate once for `SourceFrame`s in constant memory. Use as a context manager.

    Damage is counted, never raised: `packets` read, `decoded` good frames, `corrupt` damaged packets and frames,
    `skipped` frames between a damaged one and the next key frame, `errors` reads that failed, `finished` once the end
    of the file was reached.

    Raises
    ------
    UnreadableFileError, EmptyFileError, NotAVideoError, NoVideoStreamError, ZeroDimensionError, CorruptVideoError
        On opening. Iteration raises `ZeroDimensionError` for frames beyond the safety limits.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = check_file(path)
        self.packets = 0
        self.decoded = 0
        self.corrupt = 0
        self.skipped = 0
        self.errors = 0
        self.finished = False
        self._file: BinaryIO | None = None
        self._container: Any = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        try:
            # Reading through our own file object keeps libav from opening anything else that the bytes point to.
            self._file = open(self.path, "rb")  # noqa: SIM115 (closed by close())
        except PermissionError:
            fix = "Change its permissions (chmod u+r) or copy it"
            raise UnreadableFileError(self.path, "no permission to read it", fix) from None
        except OSError as error:
            raise UnreadableFileError(self.path, f"cannot be opened ({_why(error)})", "Check the path") from None
        try:
            self._container = av.open(
                self._file,
                metadata_errors="replace",
                options={"max_pixels": str(MAX_PIXELS)},
                container_options={"format_whitelist": _CONTAINERS},
                buffer_size=1 << 16,
            )
        except LIBAV_ERRORS as error:
            self._file.seek(0)
            if _starts_like_video(self._file.read(16)):
                problem = f"starts like a video, but its index is damaged or missing ({_why(error)})"
                raise CorruptVideoError(self.path, problem, _COPY_AGAIN) from None
            raise NotAVideoError(self.path, f"is not a video that can be opened ({_why(error)})", _REENCODE) from None
        streams = [s for s in self._container.streams.video if not self._is_cover(s)]
        if not len(self._container.streams):
            raise CorruptVideoError(self.path, "holds no stream: its index is damaged", _COPY_AGAIN)
        if not streams:
            raise NoVideoStreamError(self.path, "has no video stream", "Give a file with a picture, not only sound")
        self._stream = next((s for s in streams if self._size(s) != (0, 0)), streams[0])
        context = self._stream.codec_context
        if context is None:
            raise NotAVideoError(self.path, "holds a video codec that cannot be decoded", _REENCODE)
        self.width, self.height = self._size(self._stream)
        self._check_size(self.width, self.height)
        context.options = {"max_pixels": str(MAX_PIXELS)}
        self._threads = _decoder_threads(self.width, self.height)
        context.thread_count = self._threads
        context.thread_type = "AUTO"
        self.nominal_fps = self._nominal_fps()
        ratio = self._stream.sample_aspect_ratio
        self.square_pixels = not ratio or ratio == 1
        self.declared_frames = int(self._stream.frames or 0)
        self.declared_seconds = self._declared_seconds()

    @staticmethod
    def _is_cover(stream: Any) -> bool:
        return bool(int(stream.disposition) & _ATTACHED_PICTURE)

    @staticmethod
    def _size(stream: Any) -> tuple[int, int]:
        context = stream.codec_context
        return (0, 0) if context is None else (int(context.width), int(context.height))

    def _check_size(self, width: int, height: int) -> None:
        if width <= 0 or height <= 0:
            raise ZeroDimensionError(self.path, f"declares a picture of {width} x {height} pixels", _REENCODE)
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

    def _declared_seconds(self) -> float | None:
        stream = self._stream
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if len(self._container.streams) == 1 and self._container.duration:
            return float(self._container.duration / 1_000_000)
        return None

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
        """Raise unless at least two frames came out: `CorruptVideoError` if damaged, else `TooShortError`."""
        if count >= 2:
            return
        lost = self.errors + self.corrupt + self.skipped
        if lost or self.declared_frames - self.decoded >= 2 or (count == 0 and self.declared_seconds):
            problem = f"is damaged: only {count} good frame{'' if count == 1 else 's'}, {lost} damaged"
            raise CorruptVideoError(self.path, problem, _COPY_AGAIN)
        problem = f"has {count} frame{'' if count == 1 else 's'}"
        raise TooShortError(self.path, problem, "Motion needs at least 2 frames: give a longer video")

    def close(self) -> None:
        """Release the decoder and the file. Safe to call twice."""
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(*LIBAV_ERRORS):
                container.close()
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
