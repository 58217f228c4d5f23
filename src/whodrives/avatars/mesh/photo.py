"""A head out of one photo: its skin as a relief, eyeballs and mouth behind the openings, muscles under it (ours)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars import facepoints as fp
from whodrives.avatars.conditioning import NECK_TO_EYES
from whodrives.avatars.faces import Face
from whodrives.avatars.headmesh import HeadMesh
from whodrives.avatars.mesh.camera import Framing
from whodrives.avatars.mesh.interior import (
    BALL,
    LID,
    Part,
    ball_front,
    eye_centre,
    eye_white,
    eyeball,
    mouth_parts,
    to_plane,
    to_space,
)
from whodrives.avatars.mesh.layout import FaceAxes, Layout, lay_out
from whodrives.avatars.mesh.muscles import Skin, expression_basis
from whodrives.avatars.mesh.paint import Atlas, paint_atlas
from whodrives.avatars.mesh.relief import Relief, follow

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PhotoHead:
    """A head mesh with what only a photo's has.

    Parameters
    ----------
    mesh : the head in axes parallel to the picture; its texture is `atlas`.
    atlas : the texture, with the places of its parts.
    framing : where the head stands in the picture.
    skin : number of vertices of the skin, which come first. skin_triangles : number of its triangles, first too.
    chains : vertices of the upper and the lower rim of both eyes and the mouth, from the left to the right corner.
    """

    mesh: HeadMesh
    atlas: Atlas
    framing: Framing
    skin: int
    skin_triangles: int
    chains: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]


def photo_head(face: Face, side: int | None = None) -> PhotoHead:
    """Build the head of a face from its picture and landmarks.

    Parameters
    ----------
    face : its own `mesh`, if any, is not looked at. Only landmarks named in `facepoints` are used.
    side : side in pixels at which the texture is painted; None = that of the picture.
    """
    axes = FaceAxes.of(face.landmarks, face.size)
    layout = lay_out(face.landmarks, axes)
    relief = Relief.of(face.landmarks, axes, layout)
    balls = np.array([[*eye_centre(eye, relief), BALL] for eye in layout.slits[:2]])
    depth = _over_balls(layout, relief.at(layout.places), balls)
    points = to_space(layout.places, depth)
    parts: list[Part] = [eyeball(balls[k, :3], k) for k in range(2)]
    parts += [eye_white(layout.slits[k], balls[k, :3], relief, k) for k in range(2)]
    parts += mouth_parts(layout.slits[2], relief)
    landmarks = axes.to_face(face.landmarks[:, :2])
    chin = float(landmarks[fp.CHIN, 1])
    skin = Skin(points, layout.places, layout.side, layout.slits, _anchors(landmarks, layout), relief.at, chin)
    basis = expression_basis(layout, skin, parts, balls)
    atlas = paint_atlas(face, axes, layout, to_plane(balls[:, :3]), face.size if side is None else side)

    vertices = np.concatenate([points, *(part.points for part in parts)])
    seen = np.concatenate([layout.places, *(part.seen for part in parts)])
    patch = np.concatenate([np.zeros(len(points), int), *(np.full(len(p.points), p.patch) for p in parts)])
    starts = np.cumsum([0, len(points), *(len(part.points) for part in parts)])
    triangles = np.concatenate(
        [layout.triangles, *(part.triangles + start for part, start in zip(parts, starts[1:], strict=False))]
    )
    side = face.size if side is None else side
    uv = atlas.places(axes.to_pixels(seen) * (side / face.size), patch)
    # From axes along the face to axes along the picture.
    turn = np.eye(3)
    turn[:2, :2] = axes.turn()
    eye_of = np.concatenate([np.full(len(points), -1), *(np.full(len(part.points), part.eye) for part in parts)])
    share = np.concatenate([follow(layout.places, relief, chin), np.ones(len(vertices) - len(points))])
    mesh = HeadMesh(
        vertices=(vertices @ turn).astype(np.float32), triangles=triangles.astype(np.int32), uv=uv.astype(np.float32),
        texture=(atlas.picture.transpose(1, 2, 0) * 255).round().clip(0, 255).astype(np.uint8),
        basis=(basis @ turn).astype(np.float32),
        eyes=np.concatenate([balls[:, :3] @ turn, balls[:, 3:]], axis=1).astype(np.float32),
        eye_of=eye_of.astype(np.int8),
        pivot=(-np.array(NECK_TO_EYES) @ turn).astype(np.float32),
        follow=share.astype(np.float32),
    )  # fmt: skip
    framing = Framing(axes.x, axes.y, axes.unit, face.size)
    return PhotoHead(mesh, atlas, framing, len(points), len(layout.triangles), layout.chains)


def _over_balls(layout: Layout, depth: Floats, balls: Floats) -> Floats:
    """Depth (V,) of the skin with the lids drawn over the eyeballs."""
    out = depth.copy()
    for eye, ball in zip(layout.slits[:2], balls, strict=True):
        flat = to_plane(ball[None, :3])[0]
        far = np.linalg.norm(layout.places - flat, axis=1)
        front = ball_front(layout.places - flat + ball[:2], ball[:3], BALL + LID)
        near = np.clip((0.34 - far) / 0.12, 0, 1)
        lifted = np.minimum(out, front)
        out += near * (lifted - out)
        # At the rims the lids lie on the ball.
        rim = (layout.side != 0) & (far < 0.9 * eye.half_width)
        out[rim] = np.minimum(out[rim], front[rim])
    return out


def _anchors(points: Floats, layout: Layout) -> dict[str, tuple[Floats, Floats]]:
    """Named places of the face, image-left and image-right, where muscles are described."""

    def pair(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[Floats, Floats]:
        return points[list(left)].mean(axis=0), points[list(right)].mean(axis=0)

    bridge, chin = points[fp.NOSE_BRIDGE], points[fp.CHIN]
    mouth = layout.slits[2]
    middle = mouth.centre[0]
    corners = np.stack([mouth.x[[0, -1]], mouth.middle[[0, -1]]], axis=1)
    off = np.array([0.45 * mouth.half_width, 0.0])
    lip = np.array([middle, float(points[0, 1] + mouth.centre[1]) / 2])
    return {
        "brow_inner": pair((107, 55, 66, 65), (336, 285, 296, 295)),
        "brow_outer": pair((70, 46, 63, 53), (300, 276, 293, 283)),
        "bridge": (bridge, bridge),
        "cheek": pair((fp.CHEEK_LEFT, fp.CHEEKBONE_LEFT), (fp.CHEEK_RIGHT, fp.CHEEKBONE_RIGHT)),
        "ala": pair((fp.ALA_LEFT,), (fp.ALA_RIGHT,)),
        "lip_upper": (lip - off, lip + off),
        "lip_corner": (corners[0], corners[1]),
        "chin": (chin, chin),
    }
