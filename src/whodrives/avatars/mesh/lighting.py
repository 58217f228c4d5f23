"""Light on the head: Lambert's law with an ambient part (ours).

CG heads have an evenly lit texture and take their light here; photos have it baked in, and take only the change.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

AMBIENT, DIRECT = 0.55, 0.62
# Range of the change of a photo's shading, and how much of the modelled change it shows: the photo's light is unknown.
SOFT, DARKER, BRIGHTER = 0.6, 0.7, 1.35


def draw_light(seed: int | None) -> tuple[float, float, float]:
    """Unit vector towards the light, in camera axes: in front, above, to either side. None gives the studio light."""
    if seed is None:
        azimuth, height = -0.5, 0.55
    else:
        rng = np.random.default_rng([seed, 0x116])
        azimuth, height = rng.uniform(-1.0, 1.0), rng.uniform(0.15, 0.9)
    flat = np.cos(height)
    return float(flat * np.sin(azimuth)), float(-np.sin(height)), float(-flat * np.cos(azimuth))


def vertex_normals(points: Tensor, triangles: Tensor) -> Tensor:
    """Area-weighted unit normals (..., V, 3) of points (..., V, 3); towards the camera where triangles run
    counter-clockwise as seen in the image with y down, i.e. where (b - a) x (c - a) has negative z."""
    a, b, c = (points[..., triangles[:, k], :] for k in range(3))
    face = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(points)
    for k in range(3):
        total.index_add_(-2, triangles[:, k], face)
    return torch.nn.functional.normalize(total, dim=-1, eps=1e-12)


def lambert(normals: Tensor, light: Tensor) -> Tensor:
    """Brightness (...) of unit normals (..., 3): ambient plus direct light, wrapped a little round the edge."""
    wrapped = (normals @ light + 0.25) / 1.25
    return AMBIENT + DIRECT * wrapped.clamp(min=0.0)


def change_of_light(turned: Tensor, rest: Tensor, light: Tensor) -> Tensor:
    """Factor (T, V) on a photo's brightness for normals `turned` (T, V, 3) that were `rest` (V, 3) in the photo."""
    ratio = lambert(turned, light) / lambert(rest, light)
    return (1.0 + SOFT * (ratio - 1.0)).clamp(DARKER, BRIGHTER)
