"""Video files: one local file in, opened safely for decoding."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

import av

from whodrives.video.decoder import COPY_AGAIN, LIBAV_ERRORS, MAX_PIXELS, REENCODE, Decoder, reason
from whodrives.video.errors import (
    CorruptVideoError,
    EmptyFileError,
    NotAVideoError,
    TooShortError,
    UnreadableFileError,
)

# Only containers of moving pictures (and of sound, to say "audio only"). Left out on purpose: playlists and scripts
# that make libav open further files or addresses (hls, dash, concat), and the demuxer that renders text files (tty).
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,flv,gif,ogg,asf,ivf,nut,mjpeg,"
    "yuv4mpegpipe,mxf,dv,wav,mp3,aac,flac,w64,aiff,au,amr"
)


def _starts_like_video(head: bytes) -> bool:
    """Whether the first 16 bytes are those of a known container: then a failure to open means damage."""
    boxes = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    marks = (b"\x1aE\xdf\xa3", b"FLV\x01", b"GIF8", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"OggS")
    return head[4:8] in boxes or head.startswith(marks) or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


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
        raise UnreadableFileError(str(path), f"cannot be opened ({reason(error)})", "Check the path") from None
    if stat.S_ISDIR(info.st_mode):
        raise UnreadableFileError(path, "is a folder, not a video file", "Name the files inside it")
    if not stat.S_ISREG(info.st_mode):
        raise UnreadableFileError(path, "is not a regular file", "Save the stream to a file first")
    if info.st_size == 0:
        raise EmptyFileError(path, "the file is empty (0 bytes)", "Copy or download it again")
    if not os.access(path, os.R_OK):
        raise UnreadableFileError(path, "no permission to read it", "Change its permissions (chmod u+r) or copy it")
    return path


class VideoSource(Decoder):
    """An opened video file; see `Decoder`.

    Raises
    ------
    UnreadableFileError, EmptyFileError, NotAVideoError, NoVideoStreamError, ZeroDimensionError, CorruptVideoError
        On opening. Iteration raises `ZeroDimensionError` for frames beyond the safety limits.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(check_file(path))
        self._file: BinaryIO | None = None
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
            raise UnreadableFileError(self.path, f"cannot be opened ({reason(error)})", "Check the path") from None
        try:
            container = av.open(
                self._file,
                metadata_errors="replace",
                options={"max_pixels": str(MAX_PIXELS)},
                container_options={"format_whitelist": _CONTAINERS},
                buffer_size=1 << 16,
            )
        except LIBAV_ERRORS as error:
            self._file.seek(0)
            if _starts_like_video(self._file.read(16)):
                problem = f"starts like a video, but its index is damaged or missing ({reason(error)})"
                raise CorruptVideoError(self.path, problem, COPY_AGAIN) from None
            raise NotAVideoError(self.path, f"is not a video that can be opened ({reason(error)})", REENCODE) from None
        self._adopt(container)
        self.declared_frames = int(self._stream.frames or 0)
        self.declared_seconds = self._declared_seconds()

    def _declared_seconds(self) -> float | None:
        stream = self._stream
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if len(self._container.streams) == 1 and self._container.duration:
            return float(self._container.duration / 1_000_000)
        return None

    def require_motion(self, count: int) -> None:
        """Raise unless at least two frames came out: `CorruptVideoError` if damaged, else `TooShortError`."""
        if count >= 2:
            return
        lost = self.errors + self.corrupt + self.skipped
        if lost or self.declared_frames - self.decoded >= 2 or (count == 0 and self.declared_seconds):
            problem = f"is damaged: only {count} good frame{'' if count == 1 else 's'}, {lost} damaged"
            raise CorruptVideoError(self.path, problem, COPY_AGAIN)
        problem = f"has {count} frame{'' if count == 1 else 's'}"
        raise TooShortError(self.path, problem, "Motion needs at least 2 frames: give a longer video")

    def close(self) -> None:
        """Release the decoder and the file. Safe to call twice."""
        super().close()
        if self._file is not None:
            self._file.close()
            self._file = None
