"""The openings of a photo's skin, lids and lips: what share of each pixel they leave open (ours).

A mouth that opens by a tenth of a pixel must darken its pixels by a tenth: no pixel centre tells that. So openings are
not left to the rasteriser: column by column the gap between the two rims is intersected with the pixels, and that
share of the parts behind is mixed in. Where the upper rim lies over the lower one (a shut eye), its pixels are shared
between the two in the same way. Rims run from left to right in the picture; heads lean less than they would
have to for that to fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whodrives.avatars.mesh.edges import PER_DEPTH
from whodrives.avatars.mesh.raster import Visible

# Something this much nearer than the rim (a nose seen from the side) covers the opening.
COVERED = 0.2 * PER_DEPTH
SMALLEST = 1e-4


@dataclass(frozen=True)
class Slits:
    """Rims of the openings: `upper` and `lower`, int64 (K,) vertices from the left to the right corner of each, and
    `above`, `below`, int64 (K - 1,) the skin triangles along them."""

    upper: tuple[Tensor, ...]
    lower: tuple[Tensor, ...]
    above: tuple[Tensor, ...]
    below: tuple[Tensor, ...]

    def to(self, device: torch.device | str) -> Slits:
        """The same on another device."""
        groups = (self.upper, self.lower, self.above, self.below)
        return Slits(*(tuple(tensor.to(device) for tensor in group) for group in groups))


def find_slits(triangles: NDArray[np.int64], chains: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Slits:
    """Slits of skin triangles (F, 3) along chains (upper rim, lower rim) of vertices."""
    owner = {}
    for number, (a, b, c) in enumerate(triangles.tolist()):
        for edge in ((a, b), (b, c), (c, a)):
            owner[frozenset(edge)] = number

    def along(chain: NDArray[np.int64]) -> Tensor:
        # An edge that the triangulation lacks takes the triangle of its neighbour.
        found = [owner.get(frozenset(edge), -1) for edge in zip(chain[:-1].tolist(), chain[1:].tolist(), strict=True)]
        known = [number for number in found if number >= 0]
        return torch.tensor([number if number >= 0 else known[0] for number in found])

    upper, lower = ([pair[k] for pair in chains] for k in (0, 1))
    return Slits(
        tuple(torch.from_numpy(chain) for chain in upper),
        tuple(torch.from_numpy(chain) for chain in lower),
        tuple(along(chain) for chain in upper),
        tuple(along(chain) for chain in lower),
    )


@dataclass(frozen=True)
class Openings:
    """Pixels at the rims. `pixel` int64 (K,) flat over (T, S, S), `share` float32 (K,) in 0..1 that is open, `triangle`
    int32 (K,) the skin triangle at the nearer rim, numbered as in `Visible`. And where rims overlap, `lapped`,
    `lapped_share`, `lapped_triangle` alike: pixels and the share of them taken by the other rim's skin."""

    pixel: Tensor
    share: Tensor
    triangle: Tensor
    lapped: Tensor
    lapped_share: Tensor
    lapped_triangle: Tensor


def find_openings(places: Tensor, inverse: Tensor, slits: Slits, seen: Visible) -> Openings:
    """Openings in frames of places (T, V, 2), inverse (T, V); `seen`: the skin rasterised from them."""
    parts = [
        _of_one(places, inverse, (upper, lower, above, below), seen)
        for upper, lower, above, below in zip(slits.upper, slits.lower, slits.above, slits.below, strict=True)
    ]
    return Openings(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _of_one(
    places: Tensor, inverse: Tensor, slit: tuple[Tensor, Tensor, Tensor, Tensor], seen: Visible
) -> tuple[Tensor, ...]:
    upper, lower, above, below = slit
    size, f = seen.size, seen.area.shape[1]
    top, bottom = places.index_select(1, upper), places.index_select(1, lower)
    ends = torch.cat([top[:, [0, -1], 0], bottom[:, [0, -1], 0]], dim=1)
    first = ends.amin(dim=1).ceil()
    width = max(1, int((ends.amax(dim=1).floor() - first).max()) + 1)
    columns = first[:, None] + torch.arange(width, device=places.device)
    y_top, segment_top = _height(top, columns)
    y_bottom, segment_bottom = _height(bottom, columns)
    inside = (columns <= ends.amax(dim=1)[:, None]) & (columns >= 0) & (columns < size)
    start = y_top.amin(dim=1).floor()
    height = max(1, int((y_bottom.amax(dim=1).ceil() - start).max()) + 2)
    rows = start[:, None] + torch.arange(height, device=places.device)
    middle = rows[:, :, None]
    share = torch.minimum(middle + 0.5, y_bottom[:, None]) - torch.maximum(middle - 0.5, y_top[:, None])
    fits = inside[:, None] & ((rows >= 0) & (rows < size))[:, :, None]
    frame, row, column = ((share > SMALLEST) & fits).nonzero(as_tuple=True)
    share = share[frame, row, column].clamp_(max=1.0)
    line, top_here, bottom_here = rows[frame, row], y_top[frame, column], y_bottom[frame, column]
    pixel = (frame * size + line.long()) * size + columns[frame, column].long()
    segment = segment_top[frame, column]
    nearer = line - top_here < bottom_here - line
    triangle = torch.where(nearer, above[segment], below[segment_bottom[frame, column]]) + frame * f
    open_here = seen.inverse(pixel) < inverse[frame, upper[segment]] + COVERED
    opened = pixel[open_here], share[open_here], triangle[open_here].to(torch.int32)

    frame, column = ((y_top - y_bottom > SMALLEST) & inside).nonzero(as_tuple=True)
    y_top = y_top[frame, column]
    line = y_top.round()
    ok = (line >= 0) & (line < size)
    frame, column, y_top, line = frame[ok], column[ok], y_top[ok], line[ok]
    pixel = (frame * size + line.long()) * size + columns[frame, column].long()
    # The upper skin ends at y_top: its pixel shows the one or the other, and lacks the share of the other.
    upper_seen = line < y_top
    share = 0.5 - (line - y_top).abs()
    segment = segment_top[frame, column]
    triangle = torch.where(upper_seen, below[segment_bottom[frame, column]], above[segment]) + frame * f
    free = seen.inverse(pixel) < inverse[frame, upper[segment]] + COVERED
    return *opened, pixel[free], share[free], triangle[free].to(torch.int32)


def _height(rim: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """y (T, W) of rims (T, K, 2) at columns (T, W), level beyond their ends, and the number of the segment there."""
    x, y = rim[..., 0].cummax(dim=1).values.contiguous(), rim[..., 1]
    segment = (torch.searchsorted(x, columns) - 1).clamp_(0, x.shape[1] - 2)
    x0, x1, y0, y1 = x.gather(1, segment), x.gather(1, segment + 1), y.gather(1, segment), y.gather(1, segment + 1)
    share = ((columns - x0) / (x1 - x0).clamp(min=1e-6)).clamp_(0, 1)
    return y0 + share * (y1 - y0), segment
