"""A byte for each number of a template, and how far scores of such rows can be from the exact ones.

A template is split as t = m u + r, where u (the centre) is the direction that all templates share, and r is kept as
s c with whole numbers c from -127 to 127. For a query q = g u + p with g = q . u,

    q . t = g m + p . r + g (u . r)

and the coarse score is g m + s s' (c . c'), with p kept as s' c'. It is off by at most

    |p| |r - s c|  +  |s c| |p - s' c'|  +  |g| |u . r|  +  rounding

(Cauchy-Schwarz), whose parts are maxima over all templates or known of the query. Fingerprints of one network crowd
around their mean; without the split the bound would be as wide as the crowd.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LIMIT = 127
# Rows that the slow way turns into float32 at once: 4 MB.
_PIECE = 4096


@dataclass(frozen=True)
class Bounds:
    """Maxima over all templates. error : |r - s c|. length : |s c|. along : |m|. tilt : |u . r|."""

    error: float = 0.0
    length: float = 0.0
    along: float = 0.0
    tilt: float = 0.0

    def join(self, other: Bounds) -> Bounds:
        """Maxima over both."""
        return Bounds(
            max(self.error, other.error),
            max(self.length, other.length),
            max(self.along, other.along),
            max(self.tilt, other.tilt),
        )


@dataclass(frozen=True, eq=False)
class CoarseRows:
    """codes : int8 (N, D), c. scales : float32 (N,), s. along : float32 (N,), m. centre : float32 (D,), u."""

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    along: NDArray[np.float32]
    centre: NDArray[np.float32]
    bounds: Bounds

    @cached_property
    def tensor(self) -> Tensor:
        """The codes, without a copy: memory that nobody may write into."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable.*")
            return torch.from_numpy(self.codes)


def coarse_rows(templates: NDArray[np.float16], centre: NDArray[np.float32]) -> CoarseRows:
    """Templates (N, D) as bytes around `centre` (D,), of length 1 or all zero; bounds in double precision."""
    exact = templates.astype(np.float64)
    axis = centre.astype(np.float64)
    along = (exact @ axis).astype(np.float32)
    rest = exact - along.astype(np.float64)[:, None] * axis
    scales, codes, kept = _bytes(rest)
    bounds = Bounds(
        error=_largest(np.linalg.norm(rest - kept, axis=1)),
        length=_largest(np.linalg.norm(kept, axis=1)),
        along=_largest(np.abs(along)),
        tilt=_largest(np.abs(rest @ axis)),
    )
    return CoarseRows(codes, scales, along, centre, bounds)


@dataclass(frozen=True, eq=False)
class CoarseQueries:
    """Queries (Q, D) as bytes. margin : (Q,) how far a coarse score may be from the exact one."""

    codes: Tensor
    scales: NDArray[np.float32]
    along: NDArray[np.float32]
    margin: NDArray[np.float64]

    def scores(
        self, number: int, products: NDArray[np.number], scales: NDArray[np.float32], along: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(B,) coarse scores of query `number` from its `whole_products` (B,) and the rows' numbers (B,)."""
        # Whole numbers under 2^24 are exact in single precision.
        out = products.astype(np.float32)
        out *= scales
        out *= self.scales[number]
        out += along * self.along[number]
        return out


def coarse_queries(queries: NDArray[np.float64], centre: NDArray[np.float32], bounds: Bounds) -> CoarseQueries:
    """Finite queries (Q, D), of any length, for templates around `centre`."""
    axis = centre.astype(np.float64)
    along = queries @ axis
    rest = queries - along[:, None] * axis
    scales, codes, kept = _bytes(rest)
    lost = np.linalg.norm(rest - kept, axis=1)
    size = np.linalg.norm(rest, axis=1)
    margin = size * bounds.error + bounds.length * lost + np.abs(along) * bounds.tilt
    # Five roundings to 24 bits of a sum whose parts are at most so large, thrice over.
    margin += 2.0**-20 * (np.abs(along) * bounds.along + (bounds.length + bounds.error) * (size + lost))
    return CoarseQueries(torch.from_numpy(codes), scales, along.astype(np.float32), margin)


def whole_products(a: Tensor, b: Tensor) -> NDArray[Any]:
    """int8 (Q, D) times int8 (B, D), both within -127..127 -> (Q, B) exact sums, int32 or float32; D at most 1024."""
    with torch.inference_mode():
        if _trusted():
            return np.asarray(_fast_products(a, b))
        # Every partial sum is a whole number under 2^24, so that float32 is exact in any order.
        wide = a.float()
        return np.concatenate([(wide @ piece.float().T).numpy() for piece in b.split(_PIECE)], axis=1)


def _fast_products(a: Tensor, b: Tensor) -> Tensor:
    return torch._int_mm(a, b.T)


@cache
def _trusted() -> bool:
    """Whether torch multiplies bytes here, and does so exactly: some processors add pairs in 16 bits and saturate."""
    try:
        with torch.inference_mode():
            for rows in (1, 5, 16):
                for first, second in ((LIMIT, LIMIT), (-LIMIT, LIMIT), (LIMIT, -LIMIT), (-LIMIT, -LIMIT)):
                    a = torch.full((rows, 256), first, dtype=torch.int8)
                    b = torch.full((64, 256), second, dtype=torch.int8)
                    if not bool((_fast_products(a, b) == 256 * first * second).all()):
                        return False
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return True


def _bytes(rest: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.float64]]:
    """Scales (N,), codes (N, D), and what both stand for, in double precision."""
    scales = (np.abs(rest).max(axis=1, initial=0.0) / LIMIT).astype(np.float32)
    step = scales.astype(np.float64)[:, None]
    codes = np.rint(np.divide(rest, step, out=np.zeros_like(rest), where=step > 0)).clip(-LIMIT, LIMIT)
    return scales, codes.astype(np.int8), codes * step


def _largest(values: NDArray[np.floating]) -> float:
    # A little more than what was computed, for the rounding of doubles.
    return float(values.max(initial=0.0)) * (1 + 1e-9) + 1e-12
