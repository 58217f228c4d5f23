"""One CG head from the kit: shape, eyes, hair, texture and motion basis, as a mesh and as a still face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars import facepoints as fp
from whodrives.avatars.arkit import channel_basis
from whodrives.avatars.cgheads.cache import (
    CAVITY,
    LICENCE,
    LOWER_TEETH,
    SKIN,
    SOURCE,
    TONGUE,
    UPPER_TEETH,
    HeadKit,
    load_kit,
)
from whodrives.avatars.cgheads.eyes import BALL, IRIS, build_eyes, clear, eye_balls, fit_blink, lid_skin
from whodrives.avatars.cgheads.hair import curtain, swell
from whodrives.avatars.cgheads.identity import draw_identity, shape
from whodrives.avatars.cgheads.look import draw_look
from whodrives.avatars.cgheads.paint import paint
from whodrives.avatars.faces import Face
from whodrives.avatars.headmesh import HeadMesh
from whodrives.avatars.tracks import GAZE_CHANNELS, INDEX
from whodrives.errors import InputError

Floats = NDArray[np.float64]

# Amounts of the full coefficients on these heads, so that intensity 5 moves as far as people do: lip corner 0.2 and
# chin 0.3 inter-ocular distances.
# The lips overlap by this much at rest, and the teeth stand at least this far behind the line where they meet.
OVERLAP, TEETH_BACK = 0.012, 0.04
AMOUNT = {"AU12": 0.8, "AU12_lr": 0.8, "AU26": 1.25, "AU25": 0.9}


def head_mesh(seed: int, kit: HeadKit) -> HeadMesh:
    """The mesh of one random adult; equal seeds give equal heads.

    Raises
    ------
    InputError
        A negative seed.
    """
    if seed < 0:
        raise InputError(f"CG head: seed must be >= 0, got {seed}")
    rng = np.random.default_rng([seed, 0xC6])
    who = draw_identity(kit, rng)
    look = draw_look(who, rng)
    count = len(kit.uv)
    every = shape(kit, who)
    # Whatever the identity did to the height of the eyes, the head stands straight between them.
    eyes = every[[count, count + 5]]
    unit = float(np.linalg.norm(eyes[1] - eyes[0]))
    every = (every - eyes.mean(axis=0)) / unit
    head, pivot = every[:count], every[-1]
    balls = eye_balls(kit, head)
    # The balls were fitted to the lids; their middles define the axes.
    middle, span = balls[:, :3].mean(axis=0), float(np.linalg.norm(balls[1, :3] - balls[0, :3]))
    head, pivot, unit = (head - middle) / span, (pivot - middle) / span, unit * span
    balls[:, :3] = (balls[:, :3] - middle) / span
    for side, ids in enumerate(lid_skin(kit)):
        head[ids] = clear(head[ids], balls[side])
    head = close_lips(kit, head)
    basis = motion_basis(kit, head, balls, unit)
    normals = _normals(head, kit.triangles)
    at_ear = _sample(kit, 2) > 0.5
    head = head + swell(kit.mean.astype(np.float64), normals, look, at_ear | (kit.part != SKIN))
    parts: list[tuple[Floats, NDArray[np.int64], Floats, Floats]] = [
        (head, kit.triangles.astype(np.int64), kit.uv.astype(np.float64), kit.follow.astype(np.float64))
    ]
    eye_vertices, eye_faces, eye_uv, which = build_eyes(balls)
    parts.append((eye_vertices, eye_faces, eye_uv, np.ones(len(eye_vertices))))
    temples = (np.abs(kit.mean[:, 1] + 0.45) < 0.2) & (kit.part == SKIN) & ~at_ear
    sheet = curtain(
        look, float(np.abs(head[temples, 0]).max()) - look.sides, (pivot[2] - 0.3, head[kit.follow > 0.99, 2].max())
    )
    if sheet is not None:
        fall = np.clip(1.1 - 0.3 * np.clip(sheet[0][:, 1], 0, None), 0.2, 1.0)
        parts.append((*sheet, fall))
    starts = np.cumsum([0, *[len(p[0]) for p in parts]])
    total = int(starts[-1])
    moves = np.zeros((len(basis), total, 3), np.float32)
    moves[:, :count] = basis
    eye_of = np.full(total, -1, np.int8)
    eye_of[starts[1] : starts[2]] = which
    return HeadMesh(
        vertices=np.concatenate([p[0] for p in parts]).astype(np.float32),
        triangles=np.concatenate([p[1] + s for p, s in zip(parts, starts, strict=False)]).astype(np.int32),
        uv=np.concatenate([p[2] for p in parts]).astype(np.float32), texture=paint(kit, look), basis=moves,
        eyes=balls.astype(np.float32), eye_of=eye_of, pivot=pivot.astype(np.float32),
        follow=np.concatenate([p[3] for p in parts]).astype(np.float32),
    )  # fmt: skip


def head_landmarks(mesh: HeadMesh, kit: HeadKit) -> NDArray[np.float32]:
    """The 478 landmarks of a head at rest, float32 (478, 3), in head axes."""
    points = (mesh.vertices[kit.landmark_ids] * kit.landmark_weights[..., None]).sum(axis=1)
    depth = np.sqrt(BALL**2 - IRIS**2)
    for eye, indices in ((mesh.eyes[0], fp.IRIS_LEFT), (mesh.eyes[1], fp.IRIS_RIGHT)):
        middle = eye[:3] - [0, 0, depth]
        for index, (x, y) in zip(indices, ((0, 0), (1, 0), (0, -1), (-1, 0), (0, 1)), strict=True):
            points[index] = middle + np.array([IRIS * x, IRIS * y, 0])
    return np.asarray(points, dtype=np.float32)


def cg_head(seed: int, kit: HeadKit | None = None, size: int = 256) -> Face:
    """A still face of one random adult, drawn by the `mesh` generator.

    Parameters
    ----------
    seed : whole number >= 0. kit : from `cache.load_kit`, None reads the cache (pass it when making many).
    size : side of the picture in pixels.

    Returns
    -------
    Face named ``cg-<seed>`` with picture, matte, 478 landmarks and mesh.

    Raises
    ------
    InputError
        A negative seed or a size under 64; HeadsMissingError when nothing has been baked yet.
    """
    if size < 64:
        raise InputError(f"CG head: size must be at least 64, got {size}")
    kit = load_kit() if kit is None else kit
    from whodrives.avatars.mesh.still import draw_still, project_landmarks

    mesh = head_mesh(seed, kit)
    image, matte = draw_still(mesh, size)
    landmarks = project_landmarks(mesh, head_landmarks(mesh, kit), size)
    return Face(f"cg-{seed}", image, np.asarray(landmarks, np.float32), LICENCE, SOURCE, matte, mesh)


def close_lips(kit: HeadKit, head: Floats) -> Floats:
    """The head (V, 3) with its lips just touching, whatever the identity did to them; teeth stay behind the lips."""
    upper, lower = kit.lips.T
    order = np.argsort(kit.mean[upper, 0])
    line = (kit.mean[upper, 1] + kit.mean[lower, 1])[order] / 2
    off = kit.mean[:, 1] - np.interp(kit.mean[:, 0], kit.mean[upper[order], 0], line)
    near = np.clip(1 - np.abs(off) / 0.22, 0, 1) * np.clip((0.6 - np.abs(kit.mean[:, 0])) / 0.2, 0, 1)
    near *= np.clip((0.1 - kit.mean[:, 2]) / 0.2, 0, 1) * np.isin(kit.part, (SKIN, CAVITY))
    # Which lip a vertex belongs to is told by the mean head; on the line itself both lips are at the same height.
    side = np.where(off < 0, 0.5, -0.5)
    side[upper], side[lower] = 0.5, -0.5
    near *= side
    x, place = kit.mean[upper, 0] / 0.4, np.clip(kit.mean[:, 0] / 0.4, -1.0, 1.0)
    left_to_right = np.argsort(head[lower, 0])
    across = np.interp(head[upper, 0], head[lower, 0][left_to_right], head[lower, 1][left_to_right])
    # A smooth curve through the gaps: following each vertex would crumple the lips.
    gap = np.polynomial.Polynomial.fit(x, across - head[upper, 1] + OVERLAP, 4, domain=[-1, 1])
    out = head.copy()
    out[:, 1] += near * gap(place)
    teeth = np.isin(kit.part, (UPPER_TEETH, LOWER_TEETH))
    middle = np.abs(kit.mean[kit.lips[:, 0], 0]) < 0.2
    if teeth.any():
        behind = float(head[kit.lips[middle], 2].max()) + TEETH_BACK - float(head[teeth, 2].min())
        out[teeth | (kit.part == TONGUE), 2] += max(0.0, behind)
    return out


def motion_basis(kit: HeadKit, head: Floats, balls: Floats, unit: float) -> NDArray[np.float32]:
    """Displacements (33, V, 3) of one unit of every channel on this head; `unit` = decimetres per inter-ocular
    distance. Blinks are fitted to the opening of these eyes; gaze rows are 0, for eyeballs rotate."""
    basis = channel_basis(kit.actions.astype(np.float32) / unit).astype(np.float64)
    for channel, factor in AMOUNT.items():
        basis[INDEX[channel]] *= factor
    both, sides = INDEX["AU45"], INDEX["AU45_lr"]
    closed = 2.5
    # channel_basis gives left + right and left - right of one unit; "left" is the image-right eye.
    left = (basis[both] + basis[sides]) / 2 * closed
    right = (basis[both] - basis[sides]) / 2 * closed
    right, left = fit_blink(kit, head, balls, right, 0), fit_blink(kit, head, balls, left, 1)
    basis[both], basis[sides] = (left + right) / closed, (left - right) / closed
    basis[[INDEX[name] for name in GAZE_CHANNELS]] = 0.0
    return basis.astype(np.float32)


def _normals(points: Floats, triangles: NDArray[np.int32]) -> Floats:
    """Outward unit normals (V, 3)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    out = np.zeros_like(points)
    for k in range(3):
        np.add.at(out, triangles[:, k], face)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
    # At the foremost point, the nose, outwards is towards the camera.
    return out * -np.sign(out[points[:, 2].argmin(), 2])


def _sample(kit: HeadKit, channel: int) -> Floats:
    """A mask of the texture at every vertex, 0..1."""
    size = kit.masks.shape[0]
    at = np.clip((kit.uv * size).astype(int), 0, size - 1)
    return kit.masks[at[:, 1], at[:, 0], channel] / 255.0
