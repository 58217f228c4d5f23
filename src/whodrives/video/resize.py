"""Exact area resize: every output pixel is the mean of the source area under it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def area_weights(source: int, target: int) -> NDArray[np.float32]:
    """Box-overlap weights (target, source), float32: row i holds the share of each source pixel in output pixel i.

    Output pixel i covers the interval [i, i + 1) * source / target; each row sums to 1. Works up as well as down.
    """
    # Whole numbers (units of 1 / target of a source pixel) keep the overlaps exact until the one division.
    left = np.arange(target, dtype=np.int64)[:, None] * source
    pixel = np.arange(source, dtype=np.int64)[None, :] * target
    overlap = np.minimum(left + source, pixel + target) - np.maximum(left, pixel)
    return (np.maximum(overlap, 0) / source).astype(np.float32)


@lru_cache(maxsize=8)
def _bands(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The non-zero run of every weight row: indices (target, K) and weights (target, 1, K)."""
    full = area_weights(source, target)
    first = np.arange(target, dtype=np.int64) * source // target
    width = int(max(np.count_nonzero(full, axis=1).max(), 1))
    first = np.minimum(first, source - width)
    index = first[:, None] + np.arange(width)[None, :]
    return index.astype(np.intp), np.take_along_axis(full, index, axis=1)[:, None, :]


def area_resize(image: NDArray[np.generic], size: int) -> NDArray[np.float32]:
    """Resize (H, W) to (size, size), float32 in the units of the input, by two small weight matrices.

    The matrices are banded (an output pixel sees about source / size pixels), so only the band is multiplied: a
    2160 x 2160 crop costs milliseconds and a few tens of MB at most, and the sums are too short for the linear-algebra
    library in use to change them. Whole-number images shrunk by a power of two are added up as whole numbers: the
    same to the last bit, many times as fast.
    """
    height, width = image.shape
    if height == width and image.dtype.kind == "u" and (times := _power_of_two(height, size)):
        return _block_means(image, times)
    rows, row_weights = _bands(height, size)
    out = np.empty((size, width), dtype=np.float32)
    # Eight output rows at a time: the gathered band stays in the cache.
    for start in range(0, size, 8):
        stop = min(start + 8, size)
        low, high = int(rows[start, 0]), int(rows[stop - 1, -1]) + 1
        part = np.ascontiguousarray(image[low:high]).astype(np.float32)
        out[start:stop] = np.matmul(row_weights[start:stop], part[rows[start:stop] - low])[:, 0]
    columns, column_weights = _bands(width, size)
    turned = np.ascontiguousarray(out.T)
    return np.ascontiguousarray(np.matmul(column_weights, turned[columns])[:, 0].T)


def _power_of_two(source: int, target: int) -> int:
    """source / target where that is 2, 4, 8 or 16; else 0."""
    times, rest = divmod(source, target)
    return times if rest == 0 and times in (2, 4, 8, 16) else 0


def _block_means(image: NDArray[np.generic], times: int) -> NDArray[np.float32]:
    """Means of blocks of `times` x `times`, at most 16, unsigned integers of at most 16 bits: exact in float32."""
    wide = np.uint16 if image.dtype == np.uint8 else np.uint32
    rows: NDArray[Any] = image[::times].astype(wide)
    for start in range(1, times):
        np.add(rows, image[start::times], out=rows)
    out = rows[:, ::times].copy()
    for start in range(1, times):
        np.add(out, rows[:, start::times], out=out)
    return out.astype(np.float32) * np.float32(1.0 / times**2)


def to_grey8(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round to the nearest whole grey level and clip to 0..255, uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
