"""A z-buffered triangle rasteriser in plain torch, on CPU or GPU (ours).

Scan conversion in two expansions: every triangle becomes its rows, every row its pixels. That makes as many candidates
as there are covered pixels, unlike bounding boxes, and needs no loop. An edge shared by two triangles is cut at the
same places in both (its upper end first), so there are neither gaps nor overlaps between neighbours.
Pixel centres lie at whole numbers. Values run linearly in the PICTURE over each triangle: at 12 inter-ocular distances
from the camera and triangles of a tenth of one, that is off true perspective by less than 0.02 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Triangles thinner than this (twice the area in square pixels) are not drawn: their planes would be noise.
THIN = 1e-5


@dataclass(frozen=True)
class Visible:
    """What is seen in T frames of F triangles.

    Parameters
    ----------
    triangle : int32 (T * S * S,), frame * F + its number, T * F where nothing is.
    keys : int64 (T * S * S,), the bits of the float 1 / distance above those of `triangle`; 1 / distance is 0 where
        nothing is.
    area : float32 (T, F), twice the signed area of every triangle in square pixels, negative for those that face the
        camera (counter-clockwise with y down).
    drawn : bool (T, F), triangles that could be seen.
    size : side S of the picture.
    """

    triangle: Tensor
    keys: Tensor
    area: Tensor
    drawn: Tensor
    size: int

    def inverse(self, pixels: Tensor | None = None) -> Tensor:
        """1 / distance, float32, at flat pixel numbers, or at all pixels."""
        keys = self.keys if pixels is None else self.keys.index_select(0, pixels)
        return (keys >> 32).to(torch.int32).view(torch.float32)


def rasterise(
    places: Tensor, inverse: Tensor, triangles: Tensor, size: int, both_sides: Tensor | None = None
) -> Visible:
    """Find the nearest triangle at every pixel.

    Parameters
    ----------
    places : float32 (T, V, 2) in pixels, whole numbers at pixel centres. inverse : float32 (T, V), 1 / distance, > 0.
    triangles : int64 (F, 3). size : side S of the picture.
    both_sides : bool (F,), triangles drawn although they face away; None draws all, False culls.
    """
    t, f = len(places), len(triangles)
    data = torch.cat([places.permute(2, 0, 1), inverse[None]])
    corners = [data.index_select(2, triangles[:, k]) for k in range(3)]  # 3 of (3, T, F)
    a, b = corners[1] - corners[0], corners[2] - corners[0]
    area = a[0] * b[1] - b[0] * a[1]
    drawn = area.abs() > THIN
    if both_sides is not None:
        drawn &= (area < 0) | both_sides
    rows = _Rows.of(corners, a, b, area, drawn, size)
    keys = torch.full((t * size * size,), t * f, dtype=torch.int64, device=places.device)
    rows.paint(keys)
    return Visible(keys.to(torch.int32), keys, area, drawn, size)


def _swap(a: Tensor, b: Tensor, wrong: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(wrong, b, a), torch.where(wrong, a, b)


@dataclass(frozen=True)
class _Rows:
    """Pixel rows of triangles: `first` flat index of the first pixel, `count` of pixels, `start` 1 / distance at the
    first, `slope` of it per pixel, `owner` int32, frame * F + number of the triangle."""

    first: Tensor
    count: Tensor
    start: Tensor
    slope: Tensor
    owner: Tensor

    @classmethod
    def of(cls, corners: list[Tensor], a: Tensor, b: Tensor, area: Tensor, drawn: Tensor, size: int) -> _Rows:
        """Rows of triangles with corners (x, y, 1 / distance; T, F), of which a and b are the sides from the first."""
        t, f = area.shape
        (x0, y0, w0), (x1, y1, _), (x2, y2, _) = (corner.unbind(0) for corner in corners)
        slope_x = (a[2] * b[1] - b[2] * a[1]) / area
        slope_y = (a[0] * b[2] - b[0] * a[2]) / area
        base = w0 - slope_x * x0 - slope_y * y0
        xs, ys = [x0, x1, x2], [y0, y1, y2]
        # Corners from top to bottom. Of two at one height the left comes first, so that neighbours agree.
        for upper, lower in ((0, 1), (1, 2), (0, 1)):
            wrong = (ys[upper] > ys[lower]) | ((ys[upper] == ys[lower]) & (xs[upper] > xs[lower]))
            ys[upper], ys[lower] = _swap(ys[upper], ys[lower], wrong)
            xs[upper], xs[lower] = _swap(xs[upper], xs[lower], wrong)
        (x0, x1, x2), (y0, y1, y2) = xs, ys
        long, above, below = (x2 - x0) / (y2 - y0), (x1 - x0) / (y1 - y0), (x2 - x1) / (y2 - y1)
        top, bottom = y0.ceil().clamp_(0, size), y2.ceil().clamp_(0, size)
        height = ((bottom - top) * drawn).to(torch.int32).flatten()
        frame = torch.arange(t, device=area.device).mul_(size * size).repeat_interleave(f)
        which = torch.repeat_interleave(height)
        values = (x0, y0, x1, y1, long, above, below, top, base, slope_x, slope_y, frame)
        x0, y0, x1, y1, long, above, below, top, base, slope_x, slope_y, frame = (
            value.flatten().index_select(0, which) for value in values
        )
        row = top.add_(_steps(height, which))
        one = torch.addcmul(x0, row - y0, long)
        # Rows above the middle corner are bounded by the edge from the top, the others by the edge to the bottom.
        two = torch.where(row < y1, x0.addcmul_(y0.neg_().add_(row), above), x1.addcmul_(row - y1, below))
        left, right = torch.minimum(one, two).ceil_().clamp_(0, size), torch.maximum(one, two).ceil_().clamp_(0, size)
        first = frame.add_(torch.add(left, row, alpha=size).to(torch.int32))
        start = base.addcmul_(slope_x, left).addcmul_(slope_y, row)
        return cls(first, right.sub_(left).to(torch.int32), start, slope_x, which)

    def paint(self, keys: Tensor) -> None:
        """Keep the nearest of all pixels of the rows in `keys`: depth in the high bits, number in the low ones."""
        which = torch.repeat_interleave(self.count)
        step = _steps(self.count, which)
        start, slope = self.start.index_select(0, which), self.slope.index_select(0, which)
        depth = start.addcmul_(slope, step.float()).clamp_(min=1e-6)
        # The bits of positive floats are ordered like the floats; the first of a pair is the low half of a key.
        key = torch.stack([self.owner.index_select(0, which), depth.view(torch.int32)], dim=-1).view(torch.int64)
        keys.scatter_reduce_(0, self.first.index_select(0, which).add_(step), key.view(-1), "amax")


def _steps(count: Tensor, which: Tensor) -> Tensor:
    """int32 0, 1, 2 ... within each group, for groups of `count` that were spread out as `which`."""
    before = count.cumsum(0, dtype=torch.int32).sub_(count)
    return torch.arange(len(which), dtype=torch.int32, device=which.device).sub_(before.index_select(0, which))


def planes(places: Tensor, values: Tensor, triangles: Tensor, area: Tensor) -> Tensor:
    """How values run over each triangle in the picture: float32 (3 A, T * F + 1), rows of A values at the origin of the
    picture, A slopes along x and A along y; the last column is zero, for pixels where nothing is.

    Parameters
    ----------
    places : (T, V, 2). values : (A, T, V). triangles : (F, 3). area : (T, F) of `Visible`.
    """
    count, (t, f) = len(values), area.shape
    # In double precision: where the surface turns away, slopes are steep and the origin is far.
    both = torch.cat([places.permute(2, 0, 1), values]).double()
    p0, p1, p2 = (both.index_select(2, triangles[:, k]) for k in range(3))
    a, b = p1.sub_(p0), p2.sub_(p0)
    twice = a[0] * b[1] - b[0] * a[1]
    scale = torch.where(area.abs() > THIN, 1.0 / twice, 0.0)
    along_x, along_y = (a[2:] * b[1] - b[2:] * a[1]).mul_(scale), (b[2:] * a[0] - a[2:] * b[0]).mul_(scale)
    table = values.new_zeros(3, count, t * f + 1)
    for part, value in zip(table, (p0[2:] - along_x * p0[0] - along_y * p0[1], along_x, along_y), strict=True):
        part[:, :-1] = value.view(count, t * f)
    return table.view(3 * count, -1)


def interpolate(table: Tensor, triangle: Tensor, x: Tensor, y: Tensor) -> list[Tensor]:
    """The A values, each (K,), of triangles (K,) of a plane table at pixel places x, y (K,)."""
    base, along_x, along_y = table.unflatten(0, (3, -1))
    return [
        b.index_select(0, triangle).addcmul_(u.index_select(0, triangle), x).addcmul_(v.index_select(0, triangle), y)
        for b, u, v in zip(base, along_x, along_y, strict=True)
    ]
