"""How far a clip lies from the clips that weights were trained on, told from its pixels (ours).

A network answers whatever it is shown. This looks at what it should have been shown: how the face is framed, where in
the picture something moves and how much, how sharp and how noisy it is. All of it comes from the frames, so it is the
same for every network, for ONNX and for a stream.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError

GRID = 8
# Grey levels below which a change or an edge counts as none.
_FLOOR = 0.25
# Picture, where it moves, and the rest, each judged by itself: a few odd numbers would drown among so many.
PARTS = (GRID * GRID, GRID * GRID, 7)
_SHRINK = 0.1
_LEAST_UNIT = 0.01
_LEAST_LENGTH = 0.01
_QUANTILE = 0.99
SINGLE, HALF = "<f4", "<f2"
# Frames of a clip whose sharpness and noise are looked at.
_LOOKS = 8


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a clip looks like and where it moves: float32 (2 * 64 + 7,).

    Parameters
    ----------
    frames : uint8 (T, H, W) consecutive grey frames of one shot without padding, T >= 2, sides multiples of 8.

    Returns
    -------
    The mean picture in 8 x 8 cells, standardised; logs of how much each cell changes from frame to frame, relative to
    all; logs of how much all change, of mean grey, contrast, edges, fine detail, noise, and of how jerky motion is.

    Raises
    ------
    InputError
        Another shape.
    """
    if frames.ndim != 3 or len(frames) < 2 or frames.shape[1] % GRID or frames.shape[2] % GRID or not frames.size:
        raise InputError(f"a description needs frames (T >= 2, H, W), sides multiples of {GRID}; got {frames.shape}")
    count, height, width = frames.shape
    cells = frames.reshape(count, GRID, height // GRID, GRID, width // GRID).mean(axis=(2, 4), dtype=np.float32)
    mean, spread = float(cells.mean()), float(cells.mean(axis=0).std())
    picture = (cells.mean(axis=0) - mean) / max(spread, 1.0)
    steps = np.diff(cells, axis=0)
    # Exposure and flicker of the whole picture are nobody's motion.
    steps -= steps.mean(axis=(1, 2), keepdims=True)
    moved = _log(np.sqrt((steps**2).mean(axis=0)))
    size = float(np.sqrt((steps**2).mean()))
    jerk = float(np.sqrt((np.diff(steps, axis=0) ** 2).mean())) if count > 2 else size
    places = np.linspace(0, count - 2, min(count - 1, _LOOKS)).astype(int)
    few = frames[places].astype(np.float32)
    edges = float(np.abs(np.diff(few, axis=2)).mean())
    detail = float(np.abs(np.diff(few, 2, axis=2)).mean())
    noise = float(np.abs(np.diff(frames[places + 1] - few, 2, axis=2)).mean())
    rest = _log(np.array([size, mean, spread, edges, detail, noise, jerk]))
    rest[6] -= rest[0]
    return np.concatenate([picture.ravel(), moved.ravel() - rest[0], rest]).astype(np.float32)


def _log(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.log(values + _FLOOR).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Domain:
    """Where the descriptions of training clips lie: one Gaussian for each of `PARTS`.

    mean : float32 (D,). white : for each part float32 (d, d), which makes its numbers nearly uncorrelated and of one
    spread, and then divides by the length that 1% of the held-out clips exceed. limit : what the largest length of a
    part seldom exceeds for clips of unseen people on unseen faces.
    """

    mean: NDArray[np.float32]
    white: tuple[NDArray[np.float32], ...]
    limit: float

    def distance(self, frames: NDArray[np.uint8]) -> float:
        """How far a clip (T, H, W) lies from the training clips, in units of `limit`: above 1 it is unlike them.

        Raises InputError for frames that `describe` refuses, or a card of another description.
        """
        return self.length(describe(frames)) / self.limit

    def length(self, description: NDArray[np.float32]) -> float:
        """The largest of the parts' Mahalanobis distances, each in units of its own limit, of what `describe` gave.

        Raises InputError for a description of another length.
        """
        if description.shape != self.mean.shape:
            raise InputError(
                f"a description has {description.shape} numbers, the weights know {self.mean.shape}; copy them again"
            )
        parts = np.split(description - self.mean, np.cumsum([len(white) for white in self.white])[:-1])
        return max(float(np.linalg.norm(white @ part)) for white, part in zip(self.white, parts, strict=True))

    def to_card(self) -> dict[str, Any]:
        """Plain values for the card of a weight file; arrays little-endian in base64, mean fp32, white fp16."""
        white = [_coded(white, HALF) for white in self.white]
        return {"limit": self.limit, "mean": _coded(self.mean, SINGLE), "white": white}

    @classmethod
    def from_card(cls, values: Mapping[str, Any]) -> Domain:
        """What `to_card` gave. Raises InputError when it is damaged."""
        try:
            mean = _decoded(values["mean"], SINGLE)
            rows = [_decoded(white, HALF) for white in values["white"]]
            found = cls(mean, tuple(row.reshape(math.isqrt(len(row)), -1) for row in rows), float(values["limit"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the domain of the weights cannot be read ({error})") from error
        numbers = np.concatenate([mean, *rows, [found.limit]])
        fits = [white.shape for white in found.white] == [(size, size) for size in PARTS] and len(mean) == sum(PARTS)
        if not fits or not np.isfinite(numbers).all() or found.limit <= 0:
            raise InputError("the domain of the weights cannot be read (sizes or numbers that cannot be)")
        return found


def _coded(values: NDArray[np.float32], kind: str) -> str:
    return base64.b64encode(values.astype(kind).tobytes()).decode()


def _decoded(text: str, kind: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), kind).astype(np.float32)


def fit_domain(training: NDArray[np.float32], held_out: NDArray[np.float32]) -> Domain:
    """The domain of training clips, its limit from clips of other people on other faces.

    Parameters
    ----------
    training, held_out : (N, 135) and (M, 135) rows of `describe`. One in a hundred of the held-out ones lies outside.

    Raises
    ------
    InputError
        Rows of another length, fewer than two training clips or no held-out one.
    """
    if training.ndim != 2 or training.shape[1:] != held_out.shape[1:] or training.shape[1] != sum(PARTS):
        raise InputError(f"a domain needs rows of {sum(PARTS)} numbers, got {training.shape} and {held_out.shape}")
    if len(training) < 2 or not len(held_out):
        raise InputError("a domain needs two training clips and one held-out clip at least")
    mean = training.mean(axis=0, dtype=np.float64)
    places = np.cumsum(PARTS)[:-1]
    white = []
    for own, others in zip(np.split(training - mean, places, 1), np.split(held_out - mean, places, 1), strict=True):
        unit = np.maximum(own.std(axis=0), _LEAST_UNIT)
        standard = own / unit
        # Few faces, many numbers: shrunk towards no correlation.
        mixed = (1 - _SHRINK) * standard.T @ standard / len(own) + _SHRINK * np.eye(len(unit))
        found = np.linalg.inv(np.linalg.cholesky(mixed)) / unit
        length = float(np.quantile(np.linalg.norm(others @ found.T, axis=1), _QUANTILE))
        white.append((found / max(length, _LEAST_LENGTH)).astype(np.float32))
    domain = Domain(mean.astype(np.float32), tuple(white), 1.0)
    limit = float(np.quantile([domain.length(row) for row in held_out], _QUANTILE))
    return replace(domain, limit=max(limit, _LEAST_LENGTH))


def far_warning(distances: Sequence[float]) -> str | None:
    """What to tell about the windows of a video; None while at least half of them are like training clips.

    distances : `Domain.distance` of each.
    """
    far = sum(distance > 1 for distance in distances)
    if 2 * far <= len(distances):
        return None
    return (
        f"{far} of {len(distances)} windows are unlike what the weights were trained on (distance "
        f"{median(distances):.1f}, 1 is the limit): look at crop and framing, and do not rely on the thresholds"
    )
