"""Errors of the video room: each names the file, says what is wrong and what to do about it."""

from __future__ import annotations

from pathlib import Path

from whodrives.errors import WhodrivesError


class VideoError(WhodrivesError):
    """A video file cannot be used.

    Attributes
    ----------
    path : Path
        The file as the caller named it.
    """

    def __init__(self, path: str | Path, problem: str, fix: str) -> None:
        self.path = Path(path)
        self.problem = problem
        self.fix = fix
        super().__init__(f"{self.path}: {problem}. {fix}")

    def __reduce__(self) -> tuple[type[VideoError], tuple[Path, str, str]]:
        # Exceptions pickle by their message otherwise, which would not survive a worker process.
        return type(self), (self.path, self.problem, self.fix)


class UnreadableFileError(VideoError):
    """Missing, a folder, not a regular file, or no permission to read it."""


class EmptyFileError(VideoError):
    """The file has no bytes."""


class NotAVideoError(VideoError):
    """The bytes are not a video container, or no decoder exists for what is inside."""


class NoVideoStreamError(VideoError):
    """A media file without a video stream (sound only, or a sound file with cover art)."""


class ZeroDimensionError(VideoError):
    """The video stream declares a width or height of zero, or one beyond the safety limits."""


class TooShortError(VideoError):
    """Fewer than two frames: there is no motion to read."""


class CorruptVideoError(VideoError):
    """So damaged that fewer than two frames could be decoded."""


class CropError(VideoError):
    """The crop rule cannot be read or does not fit the frame."""


class ContractMismatchError(WhodrivesError):
    """Two things were made under different preprocessing contracts and must not be compared."""


class LiveStreamError(VideoError):
    """A network stream or camera cannot be opened. `address` is given without user and password."""

    def __init__(self, address: str, problem: str, fix: str) -> None:
        super().__init__(address, problem, fix)
        self.address = address
        # As an address, which a path is not: it has two slashes.
        self.args = (f"{address}: {problem}. {fix}",)

    def __reduce__(self) -> tuple[type[LiveStreamError], tuple[str, str, str]]:  # type: ignore[override]
        return type(self), (self.address, self.problem, self.fix)
