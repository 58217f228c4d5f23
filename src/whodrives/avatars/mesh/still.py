"""Still pictures of a head mesh: front view at rest, and where points of the head lie in it (ours).

The framing is `camera.Framing.default`: the midpoint of the eyes at (0.5, 0.43) of the side, 0.195 of the side per
inter-ocular distance.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.avatars.headmesh import HeadMesh
from whodrives.avatars.mesh.camera import Framing, project
from whodrives.avatars.mesh.lighting import draw_light, lambert, vertex_normals
from whodrives.avatars.mesh.scene import Surface, draw
from whodrives.avatars.mesh.winding import orient, weld
from whodrives.errors import InputError

# The plain wall behind a CG head, RGB 0..1.
WALL = (0.62, 0.64, 0.66)
# Stills are drawn this many times larger and averaged down.
FINER = 4


def draw_still(
    mesh: HeadMesh, size: int, wall: tuple[float, float, float] = WALL, light_seed: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a head at rest from the front, on a plain background, without nuisance.

    Parameters
    ----------
    mesh : the head. size : side S of the picture in pixels. wall : RGB of the background, 0..1.
    light_seed : direction of the light; None is the studio light.

    Returns
    -------
    image uint8 (S, S, 3) RGB; matte uint8 (S, S), 255 where the head is, 0 where the background is.

    Raises
    ------
    InputError
        The size is under 8.
    """
    if size < 8:
        raise InputError(f"still of a head mesh: size must be at least 8, got {size}")
    large = size * FINER
    surface, normals = build_surface(mesh)
    vertices = torch.from_numpy(mesh.vertices)
    places, inverse = project(vertices[None], Framing.default(large))
    shade = lambert(normals, torch.tensor(draw_light(light_seed)))
    texture = torch.from_numpy(mesh.texture).permute(2, 0, 1).float() / 255
    background = torch.tensor(wall).view(3, 1, 1).expand(3, large, large)
    picture, cover = draw(surface, places, inverse, shade[None], texture, background)
    picture = torch.nn.functional.avg_pool2d(picture.clamp(0, 1), FINER)[0]
    cover = torch.ones(1, large, large) if cover is None else cover
    cover = torch.nn.functional.avg_pool2d(cover[:, None], FINER)[0, 0]
    image = (picture.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return image, (cover * 255).round().to(torch.uint8).numpy()


def project_landmarks(mesh: HeadMesh, points: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Where points of the resting head lie in the picture of `draw_still`.

    Parameters
    ----------
    mesh : the head (its axes: see `HeadMesh`). points : float (K, 3) in head axes. size : side S of the picture.

    Returns
    -------
    float32, in pixels from the left and top border: (K, 3) with z in pixels too (0 at the depth of the eyes, positive
    away from the camera, at the scale of the eyes), as `Face.landmarks` has them.
    """
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"head points must be (K, 3), got {points.shape}")
    framing = Framing.default(size)
    given = torch.from_numpy(np.asarray(points, dtype=np.float32))
    places, _ = project(given, framing)
    return torch.cat([places + 0.5, given[:, 2:] * framing.unit], dim=1).numpy()


def build_surface(mesh: HeadMesh) -> tuple[Surface, torch.Tensor]:
    """The mesh ready to draw, and its outward unit normals (V, 3) at rest."""
    same = weld(mesh.vertices, mesh.basis)
    triangles, both_sides, edges = orient(mesh.vertices, mesh.triangles.astype(np.int64), same)
    uv = torch.from_numpy(mesh.uv) * 2 - 1
    corners = torch.from_numpy(triangles)
    surface = Surface(corners, torch.from_numpy(both_sides), edges, uv)
    first = torch.from_numpy(same)
    normals = vertex_normals(torch.from_numpy(mesh.vertices), first[corners])[first]
    return surface, normals
