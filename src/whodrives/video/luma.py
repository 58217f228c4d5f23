"""From a decoded frame to its upright luma: pixel formats, colour range and rotation."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


@dataclass(frozen=True)
class Luma:
    """The Y plane of a frame in storage units; `grey = (value - black) * scale` is the grey level in 0..255."""

    plane: NDArray[np.generic]
    black: float
    scale: float


def _has_luma_plane(name: str) -> bool:
    return name.startswith(("yuv", "nv1", "nv2", "p010", "p012", "p016", "gray"))


def frame_luma(frame: Any) -> Luma:
    """Luma of one PyAV frame as a view into its buffer where the format has a Y plane.

    Every other format (RGB, palette, packed YUV, alpha GIF) goes through swscale to 8-bit full-range grey. A stream
    that does not state its range is limited, as the standards default, except `yuvj` and grey formats (full).
    """
    name = frame.format.name
    full = name.startswith(("yuvj", "gray")) or int(frame.color_range) == _FULL_RANGE
    bits = int(frame.format.components[0].bits)
    # Big-endian and float planes are rare enough to leave to swscale.
    if not _has_luma_plane(name) or name.endswith("be") or name.startswith("grayf") or bits > 16:
        frame = frame.reformat(format="gray")
        name, full, bits = "gray", True, 8
    plane = frame.planes[0]
    kind = np.dtype(np.uint8) if bits == 8 and not name.startswith("p0") else np.dtype("<u2")
    stride = plane.line_size // kind.itemsize
    values = np.frombuffer(plane, dtype=kind, count=plane.line_size * frame.height // kind.itemsize)
    values = values.reshape(frame.height, stride)[:, : frame.width]
    # P010 and its kin keep their bits at the top of the word.
    unit = float(1 << (16 - bits)) if name.startswith("p0") else 1.0
    step = float(1 << (bits - 8)) * unit
    if full:
        return Luma(values, 0.0, 255.0 / (((1 << bits) - 1) * unit))
    return Luma(values, 16.0 * step, 255.0 / (219.0 * step))


@dataclass(frozen=True)
class Orientation:
    """A display matrix of right angles: transpose first, then flip rows and columns."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @property
    def degrees(self) -> int:
        """Clockwise turn that makes the picture upright: 0, 90, 180 or 270 (mirroring not counted)."""
        if self.transpose:
            return 90 if self.flip_columns else 270
        return 180 if self.flip_rows and self.flip_columns else 0

    def apply(self, plane: NDArray[np.generic]) -> NDArray[np.generic]:
        """The upright view of `plane` (no copy)."""
        if self.transpose:
            plane = plane.T
        if self.flip_rows:
            plane = plane[::-1]
        return plane[:, ::-1] if self.flip_columns else plane


def frame_orientation(frame: Any) -> Orientation | None:
    """Orientation from the frame's display matrix; None when the matrix is no multiple of 90 degrees.

    The matrix (9 int32, 16.16 fixed point) sends source pixel (p, q) to (a p + c q, b p + d q), q pointing down.
    """
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return Orientation()
    raw = bytes(side)
    if len(raw) < 36:
        return None
    a, b, _, c, d = struct.unpack("=9i", raw[:36])[:5]
    if b == 0 and c == 0 and a and d:
        return Orientation(False, d < 0, a < 0)
    if a == 0 and d == 0 and b and c:
        return Orientation(True, b < 0, c < 0)
    return None
