"""What a fingerprint is: unit vectors of windows with everything needed to judge and to compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.verification.errors import WeightsMismatchError
from whodrives.video.contract import PreprocessingContract
from whodrives.video.domain import Domain

if TYPE_CHECKING:
    # At run time only what makes one needs it, and its SciPy is 60 MB.
    from whodrives.evaluation.repeated import RepeatedLlr

MIN_REAL_FRAMES = 32
# Share of frames that only repeat the one before; 25 fps from a source under 16.7 fps has more.
MAX_REPEATED = 1 / 3
PROBLEMS = ("short", "rate", "still")


@dataclass(frozen=True)
class ModelInfo:
    """Which weights made a fingerprint, and the thresholds that belong to them.

    thresholds : nominal false-accept rate -> number of windows -> smallest accepted score; empty for weights without
    calibration. motion_gate : smallest motion energy, grey levels. calibration : scores to likelihood ratios, None for
    weights whose card has none. domain : of the clips they were trained on, None for weights whose card has none.
    """

    name: str
    version: str
    digest: str
    clip_length: int = 64
    thresholds: Mapping[float, Mapping[int, float]] = field(default_factory=dict, repr=False, compare=False)
    default_far: float | None = field(default=None, compare=False)
    motion_gate: float = field(default=0.0, compare=False)
    calibration: RepeatedLlr | None = field(default=None, repr=False, compare=False)
    domain: Domain | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return " ".join(part for part in (self.name, self.version) if part) + f" ({self.digest})"

    def to_dict(self) -> dict[str, Any]:
        """Name, version and digest, for JSON."""
        return {"name": self.name, "version": self.version, "digest": self.digest}


@dataclass(frozen=True)
class WindowInfo:
    """One window: `start` frame at `seconds`, `valid` real frames of `length`, motion `energy` in grey levels.

    problem : None when the window counts; ``short`` (under 32 real frames), ``rate`` (too many repeated frames) or
    ``still`` (the motion gate closed it). distance : from the clips that the weights were trained on, above 1 is unlike
    them (`video.domain`); None for a short window, one out of a gallery, or weights that do not know.
    """

    video: int
    start: int
    seconds: float
    length: int
    valid: int
    energy: float
    gated: bool
    problem: str | None
    distance: float | None = field(default=None, compare=False)

    @property
    def usable(self) -> bool:
        """Whether the window counts in templates and scores."""
        return self.problem is None


@dataclass(frozen=True)
class VideoInfo:
    """What decoding one video found; counts are frames at `fps`.

    content : sha256 of the windows' pixels, the frame count and the cuts: equal for a renamed or remuxed copy.
    """

    path: str
    n_frames: int
    fps: float
    source_fps: float
    repeated: int
    dropped: int
    scene_cuts: tuple[int, ...]
    crop: tuple[int, int, int, int]
    content: str
    warnings: tuple[str, ...] = ()

    @property
    def repeated_share(self) -> float:
        """Share of output frames that repeat the frame before, 0..1."""
        return self.repeated / max(self.n_frames, 1)


@dataclass(frozen=True, eq=False)
class Embedding:
    """The fingerprint of one or more videos.

    Attributes
    ----------
    vectors : float32 (W, D)
        One unit row for each window, read-only.
    windows : tuple of WindowInfo
        In the order of `vectors`.
    videos : tuple of VideoInfo
        `WindowInfo.video` counts in it.
    model, contract
        What made it; both must agree before two fingerprints may be compared.
    """

    vectors: NDArray[np.float32]
    windows: tuple[WindowInfo, ...]
    videos: tuple[VideoInfo, ...]
    model: ModelInfo
    contract: PreprocessingContract

    def __post_init__(self) -> None:
        vectors = np.ascontiguousarray(self.vectors, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(self.windows):
            raise InputError(f"an embedding of {len(self.windows)} windows has vectors of shape {vectors.shape}")
        if not np.isfinite(vectors).all():
            bad = ", ".join(video.path for video in self.videos)
            raise InputError(f"{bad}: the network gave numbers that are not finite; check the weights file")
        vectors.flags.writeable = False
        object.__setattr__(self, "vectors", vectors)

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """(W,) which windows count."""
        return np.array([window.usable for window in self.windows], dtype=bool)

    @cached_property
    def template(self) -> NDArray[np.float32] | None:
        """(D,) unit mean of the usable windows; None when there are none."""
        return unit_mean(self.vectors[self.usable])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of all videos, each with its path."""
        return tuple(f"{video.path}: {text}" for video in self.videos for text in video.warnings)

    def require_comparable(self, other: Embedding, what: str = "the other fingerprint") -> None:
        """Raise WeightsMismatchError or ContractMismatchError unless `other` lives in the same space."""
        require_same_weights(self.model.digest, other.model.digest, what)
        self.contract.require_same(other.contract, what)

    @classmethod
    def join(cls, parts: Sequence[Embedding]) -> Embedding:
        """One fingerprint of all videos of `parts`, in order."""
        if not parts:
            raise InputError("no fingerprint given; embed at least one video")
        windows: list[WindowInfo] = []
        videos: list[VideoInfo] = []
        for part in parts:
            parts[0].require_comparable(part, ", ".join(video.path for video in part.videos))
            windows += [replace(window, video=window.video + len(videos)) for window in part.windows]
            videos += part.videos
        vectors = np.concatenate([part.vectors for part in parts])
        return cls(vectors, tuple(windows), tuple(videos), parts[0].model, parts[0].contract)

    def split(self) -> tuple[Embedding, ...]:
        """One fingerprint for each video."""
        out = []
        for number, video in enumerate(self.videos):
            rows = [row for row, window in enumerate(self.windows) if window.video == number]
            windows = tuple(replace(self.windows[row], video=0) for row in rows)
            out.append(Embedding(self.vectors[rows], windows, (video,), self.model, self.contract))
        return tuple(out)


def unit_mean(vectors: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """(N, D) unit rows -> (D,) renormalised mean; None for no rows or rows that cancel out."""
    if len(vectors) == 0:
        return None
    mean = vectors.mean(axis=0, dtype=np.float64)
    norm = float(np.linalg.norm(mean))
    return (mean / norm).astype(np.float32) if norm > 1e-6 else None


def require_same_weights(mine: str, theirs: str, what: str) -> None:
    """Raise WeightsMismatchError unless the two digests are equal."""
    if mine != theirs:
        raise WeightsMismatchError(
            f"weights {mine} do not fit {what}, made with weights {theirs}: their scores would mean nothing. "
            "Use the same --model on both sides, or enrol again"
        )


def window_problem(valid: int, repeated_share: float, gated: bool) -> str | None:
    """Why a window does not count (first of `PROBLEMS` that holds), or None."""
    if valid < MIN_REAL_FRAMES:
        return "short"
    if repeated_share > MAX_REPEATED:
        return "rate"
    return "still" if gated else None


def unusable_reason(embedding: Embedding) -> str | None:
    """Why no window counts, with the numbers; None when one does."""
    windows, fps = embedding.windows, embedding.contract.fps
    if any(window.usable for window in windows):
        return None
    if not windows:
        return "too short: no shot has 2 frames"
    parts = []
    if any(window.problem == "short" for window in windows):
        longest = max(window.valid for window in windows if window.problem == "short")
        rate = f" at {fps:g} fps" if fps else ""
        parts.append(f"too short: at most {longest} real frames{rate} in a shot, {MIN_REAL_FRAMES} are needed")
    if any(window.problem == "rate" for window in windows):
        worst = min(
            (embedding.videos[window.video] for window in windows if window.problem == "rate"),
            key=lambda video: video.repeated_share,
        )
        parts.append(
            f"frame rate too low: {worst.source_fps:.1f} fps, {worst.repeated_share:.0%} of the frames are repeats, "
            f"at most {MAX_REPEATED:.0%} may be"
        )
    still = [window for window in windows if window.problem == "still"]
    if still:
        energy = max(window.energy for window in still)
        parts.append(
            f"no motion: energy at most {energy:.2f} grey levels in {len(still)} "
            f"window{'s' if len(still) > 1 else ''}, {embedding.model.motion_gate:.2f} is needed"
        )
    return "; ".join(parts)
