"""Bring the triangles of any mesh into one sense of rotation, so that those facing away need not be drawn (ours)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from whodrives.avatars.mesh.camera import Framing, project
from whodrives.avatars.mesh.edges import Edges, find_edges
from whodrives.avatars.mesh.raster import rasterise

Ints = NDArray[np.int64]
# A piece of surface of which more than this share is seen from behind at rest is drawn from both sides.
SEEN_FROM_BEHIND = 0.05
LOOK = 192


def weld(vertices: NDArray[np.float32], basis: NDArray[np.float32]) -> Ints:
    """For each vertex the number of the first one at the same place that moves alike; seams of the texture split
    vertices, which must not look like rims. vertices (V, 3), basis (K, V, 3); returns int64 (V,)."""
    # Any expression tells apart vertices that move differently; a fixed random one with all channels suffices.
    mix = np.random.default_rng(0).uniform(0.5, 1.5, len(basis))
    key = np.concatenate([vertices, np.tensordot(mix, basis, axes=1)], axis=1)
    _, first, group = np.unique(np.round(key, 5), axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[group.reshape(-1)], dtype=np.int64)


def orient(vertices: NDArray[np.float32], triangles: Ints, same: Ints) -> tuple[Ints, NDArray[np.bool_], Edges]:
    """Triangles that face the camera where they are seen.

    Parameters
    ----------
    vertices : (V, 3) at rest. triangles : (F, 3). same : (V,) of `weld`.

    Returns
    -------
    Triangles (F, 3) reordered so that each connected piece turns one way, with negative area where it faces the camera;
    bool (F,), drawn from both sides (pieces that are not seen at rest, or seen from behind); and their edges.
    """
    edges = find_edges(triangles, same)
    flipped = _flips(triangles, same, edges)
    triangles = np.where(flipped[:, None], triangles[:, [0, 2, 1]], triangles)
    places, inverse = project(torch.from_numpy(vertices)[None], Framing.default(LOOK))
    seen = rasterise(places, inverse, torch.from_numpy(triangles), LOOK)
    numbers = seen.triangle[seen.triangle < len(triangles)].long().numpy()
    backwards = (seen.area[0] > 0).numpy()[numbers]
    piece = edges.piece.numpy()[:-1]
    count = piece.max() + 1
    total = np.bincount(piece[numbers], minlength=count)
    behind = np.bincount(piece[numbers], weights=backwards, minlength=count)
    turned = behind > total / 2
    triangles = np.where(turned[piece][:, None], triangles[:, [0, 2, 1]], triangles)
    behind = np.where(turned, total - behind, behind)
    both = (total == 0) | (behind > SEEN_FROM_BEHIND * total)
    # Turning a triangle round changes its order but neither its edges nor their sides.
    return np.ascontiguousarray(triangles), both[piece], edges


def _flips(triangles: Ints, same: Ints, edges: Edges) -> NDArray[np.bool_]:
    """Which triangles (F,) turn against the first one of their piece."""
    f = len(triangles)
    sides = edges.sides.numpy()
    inner = sides[:, 1] < f
    one, two = sides[inner].T
    ends = same[edges.ends.numpy()[inner]]
    # Neighbours agree when they run along their common edge in opposite directions.
    agree = _runs(same[triangles[one]], ends) != _runs(same[triangles[two]], ends)
    value = np.where(agree, 1, 2)
    graph = coo_array(
        (np.concatenate([value, value]), (np.concatenate([one, two]), np.concatenate([two, one]))), shape=(f, f)
    ).tocsr()
    table = dict(zip(zip(one.tolist(), two.tolist(), strict=True), agree.tolist(), strict=True))
    flipped = np.zeros(f, bool)
    piece = edges.piece.numpy()[:-1]
    for start in np.unique(piece, return_index=True)[1]:
        order, before = breadth_first_order(graph, int(start), directed=False)
        for node in order[1:].tolist():
            parent = int(before[node])
            same_way = table.get((parent, node), table.get((node, parent), True))
            flipped[node] = flipped[parent] if same_way else not flipped[parent]
    return flipped


def _runs(triangles: Ints, ends: Ints) -> NDArray[np.bool_]:
    """Whether each triangle (E, 3) runs from the first to the second of its edge's ends (E, 2)."""
    follows = np.roll(triangles, -1, axis=1)
    return np.asarray(((triangles == ends[:, :1]) & (follows == ends[:, 1:])).any(axis=1))
