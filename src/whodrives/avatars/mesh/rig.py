"""One face prepared for the `mesh` generator: everything that does not depend on the motion (ours)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whodrives.avatars import facepoints as fp
from whodrives.avatars.faces import Face
from whodrives.avatars.mesh.camera import Framing
from whodrives.avatars.mesh.edges import find_edges
from whodrives.avatars.mesh.lighting import vertex_normals
from whodrives.avatars.mesh.paint import resize
from whodrives.avatars.mesh.photo import photo_head
from whodrives.avatars.mesh.scene import Surface
from whodrives.avatars.mesh.slits import Slits, find_slits
from whodrives.avatars.mesh.still import build_surface
from whodrives.errors import InputError

# Pictures smaller than this are drawn twice as large and averaged down. Photos have soft rims that move smoothly from
# 96 pixels on; the meshes of CG heads have none, and lips and lids that move by less than a pixel would pop.
COARSE_PHOTO, COARSE_MESH = 96, 192
# Framings that differ less than this (inter-ocular distances, or share of their size) from that of `draw_still` are it.
SAME_FRAMING = 0.05
MIN_SIZE = 32


@dataclass(frozen=True)
class MeshRig:
    """One face for frames of `size` pixels. V vertices, F triangles.

    Parameters
    ----------
    name, size : target identity and side of the frames. finer : pictures are drawn this many times larger. framing : of
        the finer picture.
    surface : triangles, outlines and texture places; of a photo, those of its skin. interior, slits : of a photo, what
        lies behind the skin, and its openings. vertices (V, 3). basis (33, 3 V) displacements. normals (V, 3)
        at rest, zero where light does not change. eyes (2, 4). eye_of (V,) int64 0, 1 or -1. pivot (3,). follow (V,).
    texture : (3, H, W) in 0..1. photo : True when light is baked into it.
    still : rows and columns of the texture that hold the still and may get another background, (0, 0) for none.
    matte : (rows, columns) in 0..1 over those, or None.
    """

    name: str
    size: int
    finer: int
    framing: Framing
    surface: Surface
    interior: Surface | None
    slits: Slits | None
    vertices: Tensor
    basis: Tensor
    normals: Tensor
    eyes: Tensor
    eye_of: Tensor
    pivot: Tensor
    follow: Tensor
    texture: Tensor
    photo: bool
    still: tuple[int, int]
    matte: Tensor | None

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.vertices.device

    def to(self, device: torch.device | str) -> MeshRig:
        """The same rig on another device (itself when already there)."""
        device = torch.device(device)
        if device == self.device:
            return self
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in values.items() if isinstance(value, Tensor | Surface | Slits)
        }
        return replace(self, **moved)


def build_rig(face: Face, size: int = 128, device: torch.device | str = "cpu") -> MeshRig:
    """Prepare one face: its own mesh where it has one, else a head made from its picture.

    Parameters
    ----------
    face : with or without `mesh`. size : side of the frames, 32 or more.

    Raises
    ------
    InputError
        The size is under 32, or the landmarks do not span a face; the message names it.
    """
    if size < MIN_SIZE:
        raise InputError(f"mesh rig of {face.name}: size must be at least {MIN_SIZE}, got {size}")
    left, right = (face.landmarks[list(c), :2].mean(axis=0) for c in (fp.EYE_LEFT_CORNERS, fp.EYE_RIGHT_CORNERS))
    if np.linalg.norm(right - left) < 0.03 * face.size:
        raise InputError(f"mesh rig of {face.name}: the eyes lie less than 3% of the picture apart; crop it closer")
    rig = _of_photo(face, size) if face.mesh is None else _of_mesh(face, size)
    return rig.to(device)


def _of_photo(face: Face, size: int) -> MeshRig:
    finer = 2 if size < COARSE_PHOTO else 1
    side = finer * size
    head = photo_head(face, side)
    mesh, atlas = head.mesh, head.atlas
    skin, interior = (
        _one_sided(part.astype(np.int64), mesh.uv) for part in np.split(mesh.triangles, [head.skin_triangles])
    )
    vertices = torch.from_numpy(mesh.vertices)
    normals = vertex_normals(vertices, skin.triangles)  # zero for the interior
    matte = None
    if face.matte is not None:
        border = atlas.border
        matte = torch.nn.functional.pad(resize(face.matte, side)[None], (border,) * 4, mode="replicate")[0, 0]
    return MeshRig(
        name=face.name, size=size, finer=finer, framing=head.framing.scaled(side), surface=skin,
        interior=interior, slits=find_slits(skin.triangles.numpy(), head.chains), vertices=vertices,
        basis=torch.from_numpy(mesh.basis).flatten(1), normals=normals, eyes=torch.from_numpy(mesh.eyes),
        eye_of=torch.from_numpy(mesh.eye_of.astype(np.int64)), pivot=torch.from_numpy(mesh.pivot),
        follow=torch.from_numpy(mesh.follow), texture=torch.from_numpy(atlas.picture), photo=True,
        still=(atlas.block[0], atlas.block[1]), matte=matte,
    )  # fmt: skip


def _one_sided(triangles: NDArray[np.int64], uv: NDArray[np.float32]) -> Surface:
    edges = find_edges(triangles, np.arange(len(uv)))
    both_sides = torch.zeros(len(triangles), dtype=torch.bool)
    return Surface(torch.from_numpy(triangles), both_sides, edges, torch.from_numpy(uv) * 2 - 1)


def _of_mesh(face: Face, size: int) -> MeshRig:
    mesh = face.mesh
    assert mesh is not None
    surface, normals = build_surface(mesh)
    finer = 2 if size < COARSE_MESH else 1
    framing = _framing(face).scaled(finer * size)
    texture = torch.from_numpy(mesh.texture).permute(2, 0, 1).float() / 255
    shrink = _texels_per_pixel(mesh.vertices, mesh.uv, surface.triangles.numpy(), mesh.texture.shape, framing)
    if shrink > 1.3:
        # One texel a pixel: finer detail would flicker as the head moves.
        height, width = (max(16, round(n / shrink)) for n in texture.shape[1:])
        texture = torch.nn.functional.interpolate(texture[None], (height, width), mode="bilinear", antialias=True)[0]
    else:
        shrink = 1.0
    return MeshRig(
        name=face.name, size=size, finer=finer, framing=framing, surface=surface, interior=None, slits=None,
        vertices=torch.from_numpy(mesh.vertices),
        basis=torch.from_numpy(mesh.basis).flatten(1), normals=normals, eyes=torch.from_numpy(mesh.eyes),
        eye_of=torch.from_numpy(mesh.eye_of.astype(np.int64)), pivot=torch.from_numpy(mesh.pivot),
        follow=torch.from_numpy(mesh.follow), texture=texture.contiguous(), photo=False, still=(0, 0), matte=None,
    )  # fmt: skip


def _framing(face: Face) -> Framing:
    """Where the eyes of a CG head stand in its still."""
    left, right = (face.landmarks[list(c), :2].mean(axis=0) for c in (fp.EYE_LEFT_CORNERS, fp.EYE_RIGHT_CORNERS))
    middle = (left + right) / 2
    unit = float(np.linalg.norm(right - left))
    usual = Framing.default(face.size)
    # The corners do not lie exactly about the middles of the eyeballs: stills of `draw_still` are known without them.
    near = np.hypot(middle[0] - usual.x, middle[1] - usual.y) < SAME_FRAMING * usual.unit
    if near and abs(unit / usual.unit - 1) < SAME_FRAMING:
        return usual
    return Framing(float(middle[0]), float(middle[1]), unit, face.size)


def _texels_per_pixel(
    vertices: np.ndarray, uv: np.ndarray, triangles: np.ndarray, shape: tuple[int, ...], framing: Framing
) -> float:
    """Median over the front of the head, by the length of edges."""
    a, b = triangles[:, 0], triangles[:, 1]
    front = (vertices[a, 2] < 0.5) & (np.abs(vertices[a, 0]) < 1.0)
    if not front.any():
        return 1.0
    texels = np.linalg.norm((uv[a] - uv[b])[front] * [shape[1], shape[0]], axis=1)
    pixels = np.linalg.norm((vertices[a] - vertices[b])[front], axis=1) * framing.unit
    good = pixels > 1e-6
    return float(np.median(texels[good] / pixels[good])) if good.any() else 1.0
