"""What one file turns out to be: size, header, and with `decode` every frame; a bad one is described, not raised."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from whodrives.data.errors import LayoutError
from whodrives.data.frame_folder import frame_files
from whodrives.video.errors import VideoError
from whodrives.video.source import VideoSource
from whodrives.video.source import check_file as require_file

DEPTHS = ("sizes", "headers", "decode")
_BOXED = (".mp4", ".m4v", ".mov", ".3gp")
# Boxes that may stand outermost; anything else is no box but what somebody appended, and its length means nothing.
_BOXES = frozenset(b"ftyp styp moov mdat free skip wide moof mfra sidx ssix uuid meta udta pdin pnot emsg prft".split())


@dataclass(frozen=True)
class FileCheck:
    """One file or frame folder.

    Parameters
    ----------
    size : bytes (of the first frame for a folder). frames : how many, as declared by the header or, decoded, counted;
        None when neither says. fps : frames per second, None for frame folders and unopened files. width, height :
        pixels, 0 when unopened. error : type of what is wrong, empty when nothing is. message : in words.
    """

    size: int = 0
    frames: int | None = None
    fps: float | None = None
    width: int = 0
    height: int = 0
    error: str = ""
    message: str = ""


def look_at(path: str, depth: str = "headers", is_frames: bool = False) -> FileCheck:
    """Check one video file, or folder of PNG frames.

    Parameters
    ----------
    depth : ``sizes``: there and not empty. ``headers``: also opened, its stream header read and, for MP4, its declared
        length compared with the file's. ``decode``: also every frame decoded.
    """
    try:
        return _folder(path, depth) if is_frames else _video(path, depth)
    except (VideoError, LayoutError) as error:
        return FileCheck(error=type(error).__name__, message=str(error))
    except OSError as error:
        return FileCheck(error="UnreadableFileError", message=f"{path}: cannot be read ({error.strerror or error})")


def _video(path: str, depth: str) -> FileCheck:
    size = os.path.getsize(require_file(path))
    if depth == "sizes":
        return FileCheck(size)
    if lost := missing_bytes(path, size):
        problem = f"{path}: ends {lost} bytes before the length that it declares; copy or download it again"
        return FileCheck(size, error="TruncatedFile", message=problem)
    with VideoSource(path) as source:
        frames = source.declared_frames or None
        if frames is None and source.declared_seconds is not None:
            frames = round(source.declared_seconds * source.nominal_fps)
        error, message = "", ""
        if depth == "decode":
            for _ in source:
                pass
            source.require_motion(source.decoded)
            lost = source.corrupt + source.skipped + source.errors
            if lost or source.declared_frames - source.decoded >= 2:
                error = "CorruptVideoError"
                message = (
                    f"{path}: {source.decoded} good frames of {source.declared_frames or 'unknown'}, {lost} damaged"
                )
            frames = source.decoded
        elif frames is not None and frames < 2:
            error, message = "TooShortError", f"{path}: declares {frames} frames; motion needs at least 2"
        return FileCheck(size, frames, source.nominal_fps, source.width, source.height, error, message)


def _folder(path: str, depth: str) -> FileCheck:
    files = frame_files(path)
    size = files[0].stat().st_size
    if len(files) < 2:
        return FileCheck(size, 1, error="TooShortError", message=f"{path}: holds 1 frame; motion needs at least 2")
    if depth == "sizes":
        return FileCheck(size, len(files))
    shapes = {_shape(file, depth == "decode") for file in (files if depth == "decode" else (files[0], files[-1]))}
    if len(shapes) > 1:
        said = " and ".join(f"{width} x {height}" for width, height in sorted(shapes)[:2])
        return FileCheck(size, len(files), error="LayoutError", message=f"{path}: frames of {said}; extract them again")
    width, height = shapes.pop()
    return FileCheck(size, len(files), None, width, height)


def _shape(file: Path, decode: bool) -> tuple[int, int]:
    try:
        with Image.open(file) as image:
            if decode:
                image.load()
            return image.size
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise LayoutError(f"{file}: is no PNG that can be read ({error}); extract it again") from error


def missing_bytes(path: str, size: int) -> int:
    """Bytes that an MP4 or MOV file declares beyond its end; 0 when it is whole, or of another kind.

    Boxes follow each other, each with its length in front (ISO/IEC 14496-12, 4.2): a few small reads tell a file that
    was cut off, which its header alone, where it comes first, does not.
    """
    if not path.lower().endswith(_BOXED):
        return 0
    place = 0
    with open(path, "rb") as stream:
        while place + 8 <= size:
            stream.seek(place)
            head = stream.read(16)
            if head[4:8] not in _BOXES:
                return 0
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            elif length == 0:
                return 0  # the last box, up to the end of the file
            if length < 8:
                return 0
            place += length
    return max(0, place - size)
