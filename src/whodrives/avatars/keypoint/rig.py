"""The key point rig of one face: everything about it that does not depend on the motion."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from whodrives.avatars.faces import Face
from whodrives.avatars.keypoint.occlusion import close_eyes, eye_maps, mouth_colours
from whodrives.avatars.keypoint.points import FaceAxes, rest_points
from whodrives.errors import InputError
from whodrives.video.resize import area_weights


@dataclass(frozen=True)
class KeypointRig:
    """Still, key points and what covers them; S is the side of the frames, K the number of key points.

    Parameters
    ----------
    name : target identity. size : S.
    stills : float32 (2, 3, S, S) RGB in 0..1: the face, and the same with skin over both eyes.
    eyes : float32 (4, S, S), see `occlusion.eye_maps`.
    mouth : float32 (2, 3) colours of the mouth's inside and of the teeth.
    rest : float32 (K, 3) key points of the still in face axes.
    origin : float32 (2,) of the face axes in -1..1 image axes. to_image : float32 (2, 2): a face vector v is the image
        vector v @ to_image. tilt : float32 () in radians.
    matte : float32 (S, S), 1 where the still shows the person, or None when that is not known.
    """

    name: str
    size: int
    stills: Tensor
    eyes: Tensor
    mouth: Tensor
    rest: Tensor
    origin: Tensor
    to_image: Tensor
    tilt: Tensor
    matte: Tensor | None

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.stills.device

    def to(self, device: torch.device | str) -> KeypointRig:
        """The same rig on another device (itself when already there)."""
        if self.device == torch.device(device):
            return self
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return KeypointRig(**(values | moved))


def build_rig(face: Face, size: int = 128, device: torch.device | str = "cpu") -> KeypointRig:
    """Rig one face for `keypoint.render`.

    Parameters
    ----------
    face : picture and landmarks. Faces looking straight ahead, mouth closed, work best.
    size : side of the frames in pixels, 32 or more; pictures are brought to it by area.

    Raises
    ------
    InputError
        The size is under 32, or the landmarks describe no upright face of a usable size.
    """
    if size < 32:
        raise InputError(f"face {face.name}: size must be at least 32 pixels, got {size}")
    rest = rest_points(face)
    axes = FaceAxes.of(face)
    picture = _resize(torch.from_numpy(face.image.astype(np.float32) / 255.0).permute(2, 0, 1), size)
    matte = None
    if face.matte is not None:
        matte = _resize(torch.from_numpy(face.matte.astype(np.float32) / 255.0)[None], size)[0]
    eyes = eye_maps(face, size)
    closed = close_eyes(picture.numpy(), eyes, axes.unit * size / 2)
    rig = KeypointRig(
        name=face.name,
        size=size,
        stills=torch.stack([picture, torch.from_numpy(closed)]),
        eyes=torch.from_numpy(eyes),
        mouth=torch.from_numpy(mouth_colours(face, picture.numpy())),
        rest=torch.from_numpy(rest.astype(np.float32)),
        origin=torch.tensor(axes.origin, dtype=torch.float32),
        to_image=torch.from_numpy(axes.to_image_matrix.astype(np.float32)),
        tilt=torch.tensor(axes.tilt, dtype=torch.float32),
        matte=matte,
    )
    return rig.to(device)


def _resize(pictures: Tensor, size: int) -> Tensor:
    """Pictures (L, H, H) to (L, size, size): area down, bilinear up."""
    if size < pictures.shape[-1]:
        weights = torch.from_numpy(area_weights(pictures.shape[-1], size))
        return (weights @ pictures @ weights.T).contiguous()
    return F.interpolate(pictures[None], size=(size, size), mode="bilinear", align_corners=False)[0]
