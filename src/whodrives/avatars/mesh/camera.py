"""The camera and the turning head: from head axes to pixels (ours).

Axes are the camera's: x right, y down, z away; lengths in inter-ocular distances, origin at the midpoint of the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whodrives.avatars.tracks import INDEX

# From the camera to the eyes in inter-ocular distances (about 75 cm).
DISTANCE = 12.0
# Nothing comes closer to the camera than this.
NEAREST = 1.0
POSE = [INDEX[name] for name in ("pitch", "yaw", "roll")]
SHIFT = [INDEX[name] for name in ("tx", "ty", "tz")]


@dataclass(frozen=True)
class Framing:
    """Where the resting head stands in a picture of `size` pixels: `unit` pixels per inter-ocular distance at the depth
    of the eyes, whose midpoint lies at pixel place (`x`, `y`) (0 = left or top border, `size` = right or bottom)."""

    x: float
    y: float
    unit: float
    size: int

    @classmethod
    def default(cls, size: int) -> Framing:
        """Head and shoulders, as portraits are cropped."""
        return cls(0.5 * size, 0.43 * size, 0.195 * size, size)

    def scaled(self, size: int) -> Framing:
        """The same framing in a picture of another size."""
        s = size / self.size
        return Framing(self.x * s, self.y * s, self.unit * s, size)


def rotations(angles: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of angles (..., 3) pitch, yaw, roll in radians: Rx(pitch) Ry(yaw) Rz(roll).

    Positive pitch brings the nose down, yaw to the left of the image, roll is clockwise.
    """
    (ca, cb, cc), (sa, sb, sc) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = [
        cb * cc, -cb * sc, sb,
        ca * sc + sa * sb * cc, ca * cc - sa * sb * sc, -sa * cb,
        sa * sc - ca * sb * cc, sa * cc + ca * sb * sc, ca * cb,
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def gaze_rotations(controls: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of an eyeball for controls (..., 33): positive gaze looks right and down."""
    x, y = controls[..., INDEX["gaze_x"]], controls[..., INDEX["gaze_y"]]
    return rotations(torch.stack([y, -x, torch.zeros_like(x)], dim=-1))


def turn_head(points: Tensor, controls: Tensor, pivot: Tensor, follow: Tensor) -> Tensor:
    """Points under the head's pose.

    Parameters
    ----------
    points : (T, V, 3). controls : (T, 33). pivot : (3,) about which the head turns. follow : (V,) share of the motion
        that each point takes part in.
    """
    change = rotations(controls[:, POSE]) - torch.eye(3, device=points.device)
    moved = (points - pivot) @ change.transpose(1, 2)
    moved += controls[:, None, SHIFT]
    return torch.addcmul(points, moved, follow[:, None])


def project(points: Tensor, framing: Framing, crop: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Perspective projection.

    Parameters
    ----------
    points : (..., 3) in camera axes. crop : (3,) [scale, shift x, shift y] of `nuisance.crop_maps`, or None.

    Returns
    -------
    Places (..., 2) in pixels, in which whole numbers are the CENTRES of pixels, and 1 / distance (...).
    """
    inverse = 1.0 / (points[..., 2] + DISTANCE).clamp(min=NEAREST)
    # The optical axis goes through the eyes: a whole-picture offset would only shear the head.
    scale, x, y = framing.unit * DISTANCE, framing.x - 0.5, framing.y - 0.5
    if crop is not None:
        # source = zoom * output + shift in -1..1 axes, solved for the output.
        zoom, half = float(crop[0]), framing.size / 2
        x = (x + 0.5 - half - half * float(crop[1])) / zoom + half - 0.5
        y = (y + 0.5 - half - half * float(crop[2])) / zoom + half - 0.5
        scale /= zoom
    middle = torch.tensor([x, y], dtype=points.dtype, device=points.device)
    return points[..., :2] * (scale * inverse)[..., None] + middle, inverse


def unproject(places: Tensor, depth: Tensor, framing: Framing) -> Tensor:
    """Points (..., 3) at `depth` (...) that are seen at `places` (..., 2), in pixels from the border of the picture."""
    middle = torch.tensor([framing.x, framing.y], dtype=places.dtype, device=places.device)
    flat = (places - middle) * ((depth + DISTANCE) / (framing.unit * DISTANCE))[..., None]
    return torch.cat([flat, depth[..., None]], dim=-1)
