"""Fewer triangles: half-edge collapse by quadric error, so that the vertices left are a subset of those before.

A subset keeps every displacement, uv place and contour as it is. Source: Garland and Heckbert, "Surface simplification
using quadric error metrics", SIGGRAPH 1997.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def quads_to_triangles(vertices: Floats, quads: Ints) -> Ints:
    """Split every quad along its shorter diagonal; int64 (2 F, 3)."""
    first = np.linalg.norm(vertices[quads[:, 0]] - vertices[quads[:, 2]], axis=1)
    second = np.linalg.norm(vertices[quads[:, 1]] - vertices[quads[:, 3]], axis=1)
    straight = (first <= second)[:, None]
    a = np.where(straight, quads[:, [0, 1, 2]], quads[:, [0, 1, 3]])
    b = np.where(straight, quads[:, [0, 2, 3]], quads[:, [1, 2, 3]])
    return np.concatenate([a, b])


def border(triangles: Ints) -> Ints:
    """Vertices on edges that only one triangle has."""
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    return np.unique(unique[count == 1])


def _normals(corners: Floats) -> Floats:
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def collapse(vertices: Floats, triangles: Ints, weight: Floats, locked: NDArray[np.bool_], target: int) -> Ints:
    """Collapse edges until at most `target` triangles are left or nothing more may go.

    Parameters
    ----------
    vertices : (V, 3). triangles : (F, 3).
    weight : (V,) how dear the surface around a vertex is, 1 = normal.
    locked : (V,) vertices that must stay; borders always stay.

    Returns
    -------
    int64 (<= F, 3), naming the same vertices. Collapses that would fold the surface are left out.
    """
    faces: dict[int, tuple[int, int, int]] = {i: (int(a), int(b), int(c)) for i, (a, b, c) in enumerate(triangles)}
    around: dict[int, set[int]] = {}
    for number, face in faces.items():
        for v in face:
            around.setdefault(v, set()).add(number)
    stays = locked.copy()
    stays[border(triangles)] = True
    normal = _normals(vertices[triangles])
    area = np.linalg.norm(normal, axis=1, keepdims=True)
    unit = normal / np.maximum(area, 1e-12)
    plane = np.concatenate([unit, -(unit * vertices[triangles[:, 0]]).sum(1, keepdims=True)], axis=1)
    quadric = np.zeros((len(vertices), 4, 4))
    for k in range(3):
        np.add.at(quadric, triangles[:, k], area[:, :, None] * plane[:, :, None] * plane[:, None, :])
    point = np.concatenate([vertices, np.ones((len(vertices), 1))], axis=1)

    def neighbours(v: int) -> set[int]:
        return {w for f in around[v] for w in faces[f]} - {v}

    def cost(u: int, v: int) -> float:
        error = float(point[v] @ (quadric[u] + quadric[v]) @ point[v])
        length = vertices[u] - vertices[v]
        # The small length term decides on flat parts, where the quadric is silent.
        return weight[u] * (max(error, 0.0) + 1e-5 * float(length @ length))

    version = np.zeros(len(vertices), dtype=np.int64)
    heap: list[tuple[float, int, int, int]] = []

    def push(u: int) -> None:
        if not stays[u]:
            best = min(((cost(u, v), v) for v in neighbours(u)), default=None)
            if best is not None:
                heapq.heappush(heap, (best[0], u, best[1], int(version[u])))

    for u in around:
        push(u)
    while len(faces) > target and heap:
        _, u, v, stamp = heapq.heappop(heap)
        if stamp != version[u] or not around.get(u) or not around.get(v):
            continue
        ring = neighbours(u)
        choices = sorted((cost(u, w), w) for w in ring)
        place = next((w for _, w in choices if _may_collapse(u, w, faces, around, vertices, neighbours)), None)
        if place is None:
            version[u] += 1
            continue
        v = place
        for number in list(around[u]):
            face = faces[number]
            for w in face:
                around[w].discard(number)
            if v in face:
                del faces[number]
                continue
            a, b, c = (v if w == u else w for w in face)
            faces[number] = (a, b, c)
            for w in faces[number]:
                around[w].add(number)
        del around[u]
        quadric[v] += quadric[u]
        for w in ring:
            if w in around:
                version[w] += 1
                push(w)
    return np.array([faces[number] for number in sorted(faces)], dtype=np.int64)


def _may_collapse(
    u: int,
    v: int,
    faces: dict[int, tuple[int, int, int]],
    around: dict[int, set[int]],
    vertices: Floats,
    neighbours: Any,
) -> bool:
    """Whether u may move onto v: the surface stays a surface and no triangle turns over or becomes a needle."""
    shared = around[u] & around[v]
    if len(shared) != 2 or len(neighbours(u) & neighbours(v)) != 2:
        return False
    kept = np.array([faces[number] for number in around[u] - shared])
    if not len(kept):
        return False
    before = _normals(vertices[kept])
    corners = vertices[np.where(kept == u, v, kept)]
    after = _normals(corners)
    size = np.linalg.norm(after, axis=1)
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    if (size < 0.12 * longest**2).any():
        return False
    turned = (before * after).sum(1) < 0.35 * np.linalg.norm(before, axis=1) * size
    return not bool(turned.any())
