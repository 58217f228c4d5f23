"""A z-buffered triangle rasteriser in plain torch, on CPU or GPU (ours).

Scan conversion in two expansions: every triangle becomes its rows, every row its pixels. That makes as many candidates
as there are covered pixels, unlike bounding boxes, and needs no loop. An edge shared by two triangles is cut at the
same places in both (its upper end first), so there are neither gaps nor overlaps between neighbours.
Pixel centres lie at whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Triangles of one frame are numbered in this many bits of a key; the rest holds the depth.
ID_BITS = 24
# Triangles thinner than this (twice the area in square pixels) are not drawn: their planes would be noise.
THIN = 1e-5


@dataclass(frozen=True)
class Visible:
    """What is seen: `triangle` int64 (T, S, S), frame * F + its number, T * F where nothing is; `inverse` float32
    (T, S, S), 1 / distance, 0 where nothing is; `area` float32 (T, F), twice the signed area of every triangle in
    square pixels, negative for triangles that face the camera (counter-clockwise with y down)."""

    triangle: Tensor
    inverse: Tensor
    area: Tensor


def rasterise(places: Tensor, inverse: Tensor, triangles: Tensor, size: int, both_sides: Tensor | None = None) -> Visible:
    """Find the nearest triangle at every pixel.

    Parameters
    ----------
    places : float32 (T, V, 2) in pixels, whole numbers at pixel centres. inverse : float32 (T, V), 1 / distance, > 0.
    triangles : int64 (F, 3), F under 2**24. size : side S of the picture.
    both_sides : bool (F,), triangles drawn although they face away; None draws all, False culls.
    """
    t, f = len(places), len(triangles)
    device = places.device
    corners = torch.cat([places, inverse[..., None]], dim=-1).permute(2, 0, 1)[:, :, triangles.T]  # (3, T, 3, F)
    x, y, w = corners
    area = _cross(x, y)
    drawn = area.abs() > THIN
    if both_sides is not None:
        drawn &= (area < 0) | both_sides
    rows = _Rows.of(x, y, w, area, drawn, size)
    keys = torch.zeros(t * size * size, dtype=torch.int64, device=device)
    if rows.count.numel():
        rows.paint(keys, t, f)
    empty = keys == 0
    triangle = (keys & ((1 << ID_BITS) - 1)).view(t, size, size)
    triangle += (torch.arange(t, device=device) * f).view(t, 1, 1)
    triangle.view(-1).masked_fill_(empty, t * f)
    seen = (keys >> ID_BITS).to(torch.int32).view(torch.float32).view(t, size, size)
    return Visible(triangle, seen, area)


def _cross(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])


def _swap(a: Tensor, b: Tensor, wrong: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(wrong, b, a), torch.where(wrong, a, b)


@dataclass(frozen=True)
class _Rows:
    """Pixel rows of triangles: `first` flat index of the first pixel, `count` of pixels, `start` 1 / distance at the
    first, `slope` of it per pixel, `owner` number of the triangle in its frame."""

    first: Tensor
    count: Tensor
    start: Tensor
    slope: Tensor
    owner: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, w: Tensor, area: Tensor, drawn: Tensor, size: int) -> _Rows:
        """Rows of triangles with corners (T, 3, F)."""
        t, f = area.shape
        (x0, x1, x2), (y0, y1, y2) = x.unbind(1), y.unbind(1)
        w0, w1, w2 = w.unbind(1)
        slope_x = ((w1 - w0) * (y2 - y0) - (w2 - w0) * (y1 - y0)) / area
        slope_y = ((x1 - x0) * (w2 - w0) - (x2 - x0) * (w1 - w0)) / area
        at = (x0, y0, w0, slope_x, slope_y)
        # Corners from top to bottom. Of two at one height the left comes first, so that neighbours agree.
        for upper, lower in ((0, 1), (1, 2), (0, 1)):
            ys, xs = [y0, y1, y2], [x0, x1, x2]
            wrong = (ys[upper] > ys[lower]) | ((ys[upper] == ys[lower]) & (xs[upper] > xs[lower]))
            ys[upper], ys[lower] = _swap(ys[upper], ys[lower], wrong)
            xs[upper], xs[lower] = _swap(xs[upper], xs[lower], wrong)
            (y0, y1, y2), (x0, x1, x2) = ys, xs
        long, above, below = (x2 - x0) / (y2 - y0), (x1 - x0) / (y1 - y0), (x2 - x1) / (y2 - y1)
        top, bottom = y0.ceil().clamp(0, size), y2.ceil().clamp(0, size)
        height = ((bottom - top) * drawn).long().flatten()
        rows = [v.flatten() for v in (x0, y0, x1, y1, long, above, below, top, *at)]
        which = torch.repeat_interleave(height)
        x0, y0, x1, y1, long, above, below, top, ox, oy, ow, slope_x, slope_y = (v.index_select(0, which) for v in rows)
        step = _steps(height, which)
        row = top.add_(step)
        a = torch.addcmul(x0, row - y0, long)
        # Rows above the middle corner are bounded by the edge from the top, the others by the edge to the bottom.
        b = torch.where(row < y1, torch.addcmul(x0, row - y0, above), torch.addcmul(x1, row - y1, below))
        left, right = torch.minimum(a, b).ceil_().clamp_(0, size), torch.maximum(a, b).ceil_().clamp_(0, size)
        count = (right - left).long()
        frame = torch.div(which, f, rounding_mode="floor")
        first = (frame * size + row.long()) * size + left.long()
        start = torch.addcmul(torch.addcmul(ow, slope_x, left - ox), slope_y, row - oy)
        return cls(first, count, start, slope_x, which - frame * f)

    def paint(self, keys: Tensor, t: int, f: int) -> None:
        """Keep the nearest of all pixels of the rows in `keys`: depth in the high bits, number in the low ones."""
        which = torch.repeat_interleave(self.count)
        step = _steps(self.count, which)
        start, slope = self.start.index_select(0, which), self.slope.index_select(0, which)
        depth = start.addcmul_(slope, step.float()).clamp_(min=1e-6)
        # The bits of positive floats are ordered like the floats.
        key = depth.view(torch.int32).long().bitwise_left_shift_(ID_BITS)
        key.bitwise_or_(self.owner.index_select(0, which))
        keys.scatter_reduce_(0, step.add_(self.first.index_select(0, which)), key, "amax")


def _steps(count: Tensor, which: Tensor) -> Tensor:
    """0, 1, 2 ... within each group, for groups of `count` that were spread out as `which`."""
    return torch.arange(len(which), device=which.device).sub_((count.cumsum(0) - count).index_select(0, which))


def planes(places: Tensor, values: Tensor, triangles: Tensor, area: Tensor) -> Tensor:
    """How values run over each triangle in the picture: float32 (3 A, T * F + 1), rows of A values at the origin of the
    picture, A slopes along x and A along y; the last column is zero, for pixels where nothing is.

    Parameters
    ----------
    places : (T, V, 2). values : (A, T, V). triangles : (F, 3). area : (T, F) of `Visible`.
    """
    count, (t, f) = len(values), area.shape
    both = torch.cat([places.permute(2, 0, 1), values])
    p0, p1, p2 = (both.index_select(2, triangles[:, k]) for k in range(3))
    a, b = p1.sub_(p0), p2.sub_(p0)
    scale = torch.where(area.abs() > THIN, 1.0 / area, 0.0)
    table = values.new_zeros(3, count, t * f + 1)
    base, along_x, along_y = (part[:, :-1].unflatten(1, (t, f)) for part in table)
    torch.mul(a[2:] * b[1] - b[2:] * a[1], scale, out=along_x)
    torch.mul(b[2:] * a[0] - a[2:] * b[0], scale, out=along_y)
    torch.sub(p0[2:] - along_x * p0[0], along_y * p0[1], out=base)
    return table.view(3 * count, -1)


def interpolate(table: Tensor, triangle: Tensor, x: Tensor, y: Tensor) -> list[Tensor]:
    """The A values, each (K,), of triangles (K,) of a plane table at pixel places x, y (K,)."""
    base, along_x, along_y = table.unflatten(0, (3, -1))
    return [
        b.index_select(0, triangle).addcmul_(u.index_select(0, triangle), x).addcmul_(v.index_select(0, triangle), y)
        for b, u, v in zip(base, along_x, along_y, strict=True)
    ]
