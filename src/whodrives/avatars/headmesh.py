"""A 3-D head with a motion basis: what a CG head brings along and the `mesh` generator draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.tracks import CHANNELS
from whodrives.errors import InputError


@dataclass(frozen=True)
class HeadMesh:
    """A textured triangle mesh in head axes: x right in the image, y down, z away from the camera; the origin is the
    midpoint of the eyes and the unit the inter-ocular distance. The head looks at the camera (towards -z).

    Parameters
    ----------
    vertices : float32 (V, 3) at rest. triangles : int32 (F, 3), any winding.
    uv : float32 (V, 2) texture places in 0..1 (x right, y down). texture : uint8 (H, W, 3) RGB albedo, lit evenly.
    basis : float32 (33, V, 3) displacement of every vertex for one unit of each channel of `tracks.CHANNELS`; rows of
        head pose (pitch, yaw, roll, tx, ty, tz) are zero, for the generator turns the head itself. Gaze rows too:
        eyeballs rotate.
    eyes : float32 (2, 4) centre (x, y, z) and radius of the eyeballs, image-left first.
    eye_of : int8 (V,), 0 or 1 for vertices of the image-left or image-right eyeball (with iris), -1 for all others.
    pivot : float32 (3,) the point about which the head turns (top of the neck).
    follow : float32 (V,) in 0..1, share of the head's motion that a vertex follows (1 = head, 0 = shoulders).

    Raises
    ------
    InputError
        Shapes do not fit or a value is not finite.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    uv: NDArray[np.float32]
    texture: NDArray[np.uint8]
    basis: NDArray[np.float32]
    eyes: NDArray[np.float32]
    eye_of: NDArray[np.int8]
    pivot: NDArray[np.float32]
    follow: NDArray[np.float32]

    def __post_init__(self) -> None:
        v = len(self.vertices)
        wanted = {
            "vertices": (v, 3), "uv": (v, 2), "basis": (len(CHANNELS), v, 3), "eyes": (2, 4), "eye_of": (v,),
            "pivot": (3,), "follow": (v,),
        }  # fmt: skip
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value.shape != shape:
                raise InputError(f"head mesh: {name} must have shape {shape}, got {value.shape}")
            if not np.isfinite(value).all():
                raise InputError(f"head mesh: {name} holds a value that is not finite")
        if self.triangles.ndim != 2 or self.triangles.shape[1] != 3 or not len(self.triangles):
            raise InputError(f"head mesh: triangles must be (F, 3), got {self.triangles.shape}")
        if self.triangles.min() < 0 or self.triangles.max() >= v:
            raise InputError(f"head mesh: triangles name vertices outside 0..{v - 1}")
        if self.texture.dtype != np.uint8 or self.texture.ndim != 3 or self.texture.shape[2] != 3:
            raise InputError(
                f"head mesh: texture must be uint8 (H, W, 3), got {self.texture.dtype} {self.texture.shape}"
            )
