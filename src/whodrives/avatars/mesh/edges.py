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
# Farther from the edge in depth than this, the pixel shows another surface that hides the edge.
HIDDEN = 0.12 * PER_DEPTH


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
    """Corrections: pixel int64 (K,) flat over (T, S, S), mixed with what `triangle` int64 (K,) (of `Visible`, T * F for
    the background) has at the same place, by `weight` float32 (K,) in 0..0.5."""

    pixel: Tensor
    triangle: Tensor
    weight: Tensor


def find_blends(places: Tensor, inverse: Tensor, edges: Edges, seen: Visible, drawn: Tensor) -> Blends:
    """Where outlines cut pixels.

    Parameters
    ----------
    places : (T, V, 2). inverse : (T, V). seen : of the same. drawn : bool (T, F), triangles that could be seen.
    """
    t, size, f = len(places), seen.inverse.shape[-1], seen.area.shape[1]
    front = torch.nn.functional.pad(seen.area < 0, (0, 1))
    shown = torch.nn.functional.pad(drawn, (0, 1))
    one, two = edges.sides.unbind(1)
    rim = two == f
    outline = (shown[:, one] & rim) | ((front[:, one] != front[:, two]) & (shown[:, one] | shown[:, two]) & ~rim)
    frame, edge = outline.nonzero(as_tuple=True)
    a, b = (edges.ends[edge, k] for k in (0, 1))
    data = torch.cat([places, inverse[..., None]], dim=-1)
    p, q, r = data[frame, a], data[frame, b], data[frame, edges.beside[edge]]
    flat = (q[:, 0] - p[:, 0]).abs() >= (q[:, 1] - p[:, 1]).abs()
    # Along and across: x and y for edges that are flatter than 45 degrees, else the other way round.
    order = torch.where(flat[:, None], torch.tensor([0, 1, 2], device=p.device), torch.tensor([1, 0, 2], device=p.device))
    p, q, r = (point.gather(1, order) for point in (p, q, r))
    back = (p[:, 0] > q[:, 0])[:, None]
    p, q = torch.where(back, q, p), torch.where(back, p, q)
    slope = (q[:, 1:] - p[:, 1:]) / (q[:, :1] - p[:, :1]).clamp(min=1e-6)
    below = r[:, 1] < p[:, 1] + slope[:, 0] * (r[:, 0] - p[:, 0])  # the surface is where `across` is smaller
    first, last = (p[:, 0].ceil().clamp(0, size), q[:, 0].ceil().clamp(0, size))
    count = (last - first).long()
    which = torch.repeat_interleave(count)
    step = torch.arange(len(which), device=p.device) - (count.cumsum(0) - count)[which]
    along = first[which].long() + step
    across, depth = (p[which, 1:] + slope[which] * (along - p[which, 0])[:, None]).unbind(1)
    low = across.floor()
    share = torch.where(below[which], across - low, 1.0 - (across - low))  # of the way from inside to outside
    low = low.long()
    inside, outside = torch.where(below[which], low, low + 1), torch.where(below[which], low + 1, low)
    ok = (low >= 0) & (low + 1 < size)
    which, along, inside, outside, share, depth = (v[ok] for v in (which, along, inside, outside, share, depth))
    base = frame[which] * (size * size)
    is_flat = flat[which]

    def index(other: Tensor) -> Tensor:
        return base + torch.where(is_flat, other * size + along, along * size + other)

    inside, outside = index(inside), index(outside)
    near, far = seen.triangle.view(-1)[inside], seen.triangle.view(-1)[outside]
    depth_in, depth_out = seen.inverse.view(-1)[inside], seen.inverse.view(-1)[outside]
    own, piece_in, piece_out = (edges.piece[i] for i in (one[edge[which]], _local(near, t, f), _local(far, t, f)))
    rim_here = rim[edge[which]]
    gap = torch.where(piece_out != own, OTHER, torch.where(rim_here, RIM, FOLD))
    ok = (piece_in == own) & ((depth_in - depth).abs() < HIDDEN) & (depth_out < depth - gap)
    gives = share < 0.5
    pixel = torch.where(gives, inside, outside)
    triangle = torch.where(gives, far, near)
    return Blends(pixel[ok], triangle[ok], (share - 0.5).abs()[ok])


def _local(triangle: Tensor, t: int, f: int) -> Tensor:
    """Number within its frame, F for none."""
    return torch.where(triangle == t * f, f, triangle % f)
