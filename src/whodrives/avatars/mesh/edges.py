"""Anti-aliasing of outlines: how much of a pixel lies beyond the edge of the surface seen in it (ours).

Only outlines need it: edges at the rim of a surface (lids, lips), and those between a triangle that faces the camera
and one that faces away. Each is walked pixel by pixel across its steeper direction; where it passes between two pixel
centres, the pixel that it cuts gets its share of what lies on the other side. The share is linear in the place of
the edge, so that motion of a fraction of a pixel changes the picture smoothly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whodrives.avatars.mesh.raster import Visible

# 1 / distance per inter-ocular distance of depth near the eyes (camera at 12).
PER_DEPTH = 1.0 / 144.0
# How much farther the other side must be: on the same piece of surface; at a rim of it; on another piece.
FOLD, RIM, OTHER = 0.03 * PER_DEPTH, 0.004 * PER_DEPTH, -0.03 * PER_DEPTH
# Nearer or farther than the edge by more than this, the pixel inside shows another surface. (A round one rises fast.)
HIDDEN = 0.4 * PER_DEPTH


@dataclass(frozen=True)
class Edges:
    """Edges of a mesh: `ends` int64 (E, 2) vertices, `sides` int64 (E, 2) triangles (F where there is none), `beside`
    int64 (E,) the vertex of the first triangle that is not on the edge; `piece` int64 (F + 1,), the connected piece of
    surface of each triangle, -1 at the end."""

    ends: Tensor
    sides: Tensor
    beside: Tensor
    piece: Tensor

    def to(self, device: torch.device) -> Edges:
        """The same on another device."""
        return Edges(*(getattr(self, name).to(device) for name in ("ends", "sides", "beside", "piece")))


def find_edges(triangles: NDArray[np.int64], weld: NDArray[np.int64]) -> Edges:
    """Edges of triangles (F, 3), where vertices of equal `weld` (V,) are one (they differ in texture place only)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    f = len(triangles)
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    beside = np.concatenate([triangles[:, 2], triangles[:, 0], triangles[:, 1]])
    owner = np.tile(np.arange(f), 3)
    joined = np.sort(weld[ends], axis=1)
    keep = joined[:, 0] != joined[:, 1]
    ends, beside, owner, joined = ends[keep], beside[keep], owner[keep], joined[keep]
    order = np.lexsort((joined[:, 1], joined[:, 0]))
    ends, beside, owner, joined = ends[order], beside[order], owner[order], joined[order]
    new = np.ones(len(joined), bool)
    new[1:] = (joined[1:] != joined[:-1]).any(axis=1)
    first = np.flatnonzero(new)
    count = np.diff(np.append(first, len(joined)))
    # An edge of three or more triangles counts as a rim.
    other = np.where(count == 2, owner[np.minimum(first + 1, len(owner) - 1)], f)
    paired = other < f
    graph = coo_array((np.ones(paired.sum()), (owner[first][paired], other[paired])), shape=(f, f))
    piece = connected_components(graph, directed=False)[1]
    tensors = (ends[first], np.stack([owner[first], other], axis=1), beside[first], np.append(piece, -1))
    return Edges(*(torch.from_numpy(np.ascontiguousarray(value, dtype=np.int64)) for value in tensors))


@dataclass(frozen=True)
class Blends:
    """Corrections: pixel int64 (K,) flat over (T, S, S), mixed with what is seen at pixel `source` int64 (K,), beside
    it, by `weight` float32 (K,) in 0..0.5. (What is seen beside it is not extrapolated: next to a fold, the surface
    runs away from the camera.)"""

    pixel: Tensor
    source: Tensor
    weight: Tensor


def find_blends(places: Tensor, inverse: Tensor, edges: Edges, seen: Visible, rims: bool = True) -> Blends:
    """Where outlines cut pixels.

    Parameters
    ----------
    places : (T, V, 2). inverse : (T, V). seen : what was rasterised from them.
    rims : False leaves out the rims of surfaces, and outlines against nothing.
    """
    size, (t, f) = seen.size, seen.area.shape
    # 0 behind, 1 in front, of drawn triangles; 2 for rims. Two different values make an outline.
    state = torch.nn.functional.pad((seen.area < 0).to(torch.uint8), (0, 1), value=2)
    shown = torch.nn.functional.pad(seen.drawn, (0, 1))
    one, two = edges.sides.unbind(1)
    outline = state.index_select(1, one) != state.index_select(1, two)
    outline &= shown.index_select(1, one) | shown.index_select(1, two)
    if not rims:
        outline &= two < f
    frame, edge = outline.nonzero(as_tuple=True)
    data = torch.cat([places, inverse[..., None]], dim=-1)
    ends = edges.ends.index_select(0, edge)
    p, q, r = data[frame, ends[:, 0]], data[frame, ends[:, 1]], data[frame, edges.beside.index_select(0, edge)]
    flat = (q[:, 0] - p[:, 0]).abs() >= (q[:, 1] - p[:, 1]).abs()
    # Along and across: x and y for edges that are flatter than 45 degrees, else the other way round.
    p, q, r = (torch.where(flat[:, None], point, point[:, [1, 0, 2]]) for point in (p, q, r))
    back = (p[:, 0] > q[:, 0])[:, None]
    p, q = torch.where(back, q, p), torch.where(back, p, q)
    slope = (q[:, 1:] - p[:, 1:]) / (q[:, :1] - p[:, :1]).clamp(min=1e-6)
    below = r[:, 1] < p[:, 1] + slope[:, 0] * (r[:, 0] - p[:, 0])  # the surface is where `across` is smaller
    first, last = p[:, 0].ceil().clamp_(0, size), q[:, 0].ceil().clamp_(0, size)
    count = (last - first).to(torch.int32)
    which = torch.repeat_interleave(count)
    step = torch.arange(len(which), device=p.device) - (count.cumsum(0) - count).index_select(0, which)
    along = first.index_select(0, which) + step
    p, slope = p.index_select(0, which), slope.index_select(0, which)
    across, depth = (p[:, 1:] + slope * (along - p[:, 0])[:, None]).unbind(1)
    edge, below, flat = (v.index_select(0, which) for v in (edge, below, flat))
    # A centre on the very edge belongs to the surface on its right or below, as it does to the rasteriser.
    low = across.ceil() - 1.0
    share = torch.where(below, across - low, low + 1.0 - across)  # of the way from inside to outside
    ok = (low >= 0) & (low + 1 < size)
    corner = torch.where(flat, low * size + along, along * size + low).long()
    corner = frame.index_select(0, which).mul_(size * size).add_(corner)
    # The pixels on either side: the surface is seen in the one, and what lies beyond in the other.
    onward = torch.where(flat, size, 1)
    inside, outside = torch.where(below, corner, corner + onward), torch.where(below, corner + onward, corner)
    inside, outside = inside.masked_fill_(~ok, 0), outside.masked_fill_(~ok, 0)
    near, far = seen.triangle.index_select(0, inside), seen.triangle.index_select(0, outside)
    depth_in, depth_out = seen.inverse(inside), seen.inverse(outside)
    own = edges.piece[one[edge]]
    piece_in, piece_out = edges.piece[_local(near, t, f)], edges.piece[_local(far, t, f)]
    gap = torch.where(piece_out != own, OTHER, torch.where(two[edge] == f, RIM, FOLD))
    ok &= (piece_in == own) & ((depth_in - depth).abs() < HIDDEN) & (depth_out < depth - gap)
    if not rims:
        ok &= far != t * f
    gives = share < 0.5
    pixel, source = torch.where(gives, inside, outside), torch.where(gives, outside, inside)
    return Blends(pixel[ok], source[ok], (share - 0.5).abs()[ok])


def _local(triangle: Tensor, t: int, f: int) -> Tensor:
    """Number within its frame, F for none."""
    return torch.where(triangle == t * f, f, triangle % f).long()
