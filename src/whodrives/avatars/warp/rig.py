"""The warp rig of one face: everything about it that does not depend on the motion, computed once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from whodrives.avatars import facepoints as fp
from whodrives.avatars.faces import Face
from whodrives.avatars.warp.edges import lid_patch, lip_patch, lip_shift
from whodrives.avatars.warp.fields import expression_basis, pose_maps
from whodrives.avatars.warp.frame import FaceFrame
from whodrives.errors import InputError
from whodrives.video.resize import area_weights

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WarpRig:
    """Still layers and motion basis of one face; shapes with S the output side, G = 64 the grid side.

    Parameters
    ----------
    name : target identity. size : S.
    stills : float32 (2, 3, S, S) RGB in 0..1: the face, and the same with both eyes closed by skin.
    matte : float32 (S, S), 1 where the picture shows the person and 0 where the background; None = not known.
    basis : float32 (33, 2 * G * G): change of [dx, dy] for one unit of each channel: where to LOOK (source minus
        place), in -1..1 image axes.
    pose : float32 (2, 4, G, G): see `fields.pose_maps`; multiplied with `renderer.head_motion`.
    unit : float32 (): inter-ocular distance in -1..1 axes.
    lids, lips : float32 (35 or 33, 2 * H * W): the basis of `edges.lid_patch` and `edges.lip_patch`.
    lids_rest, lips_rest : float32 (2 * H * W): the same at rest.
    to_patch : float32 (2, 2, 3): from (x, y, 1) in -1..1 image axes to -1..1 axes of the lids' and the lips' patch.
    bounds : float32 (2, 2, 2): [lowest, highest] corners of both patches in image axes, lips with their sideways way.
    lip_shift : float32 (33,): how far one unit of each channel takes the mouth's opening aside, in patch axes.
    mouth : float32 (2, 3): colours of the mouth's inside and of the teeth, RGB 0..1.
    """

    name: str
    size: int
    stills: Tensor
    matte: Tensor | None
    basis: Tensor
    pose: Tensor
    unit: Tensor
    lids: Tensor
    lids_rest: Tensor
    lips: Tensor
    lips_rest: Tensor
    to_patch: Tensor
    bounds: Tensor
    lip_shift: Tensor
    mouth: Tensor

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.stills.device

    def to(self, device: torch.device | str) -> WarpRig:
        """The same rig on another device (itself when already there)."""
        if self.device == torch.device(device):
            return self
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return WarpRig(**(values | moved))


def build_rig(face: Face, size: int = 128, device: torch.device | str = "cpu") -> WarpRig:
    """Rig one face for `warp.render`.

    Parameters
    ----------
    face : picture and landmarks. Faces looking straight ahead, mouth closed, work best.
    size : side of the rendered frames in pixels, 32 to the side of the picture or above.
    device : where the rig lives; rendering happens there or where the controls are.

    Raises
    ------
    InputError
        The size is under 32, or the landmarks describe no upright, reasonably large face.
    """
    if size < 32:
        raise InputError(f"face {face.name}: size must be at least 32 pixels, got {size}")
    frame = FaceFrame.of(face)
    side = face.size
    if frame.unit * 128 / 2 < 8:
        raise InputError(f"face {face.name}: eyes are {frame.unit * side / 2:.0f} px apart; use a closer crop")
    if abs(frame.tilt) > 0.6 or np.ptp(frame.points[list(fp.OVAL)], axis=0).min() < 0.5 * frame.unit:
        raise InputError(f"face {face.name}: landmarks describe no upright face; detect them on the upright picture")
    picture = torch.from_numpy(face.image.astype(np.float32) / 255.0).permute(2, 0, 1)
    closed = _close_eyes(picture, face.landmarks[:, :2].astype(np.float64))
    stills = _resize(torch.stack([picture, closed]), size)
    lids, lips = lid_patch(frame), lip_patch(frame)
    shift = lip_shift(frame)
    bounds = np.stack([lids.bounds, lips.bounds])
    # As far as jaw and mouth go together at their widest.
    bounds[1, :, 0] += np.array([-1.0, 1.0]) * np.abs(shift).sum() * frame.unit
    rig = WarpRig(
        name=face.name,
        size=size,
        stills=stills.contiguous(),
        matte=None if face.matte is None else _resize(_tensor(face.matte / 255.0)[None, None], size)[0, 0].contiguous(),
        basis=_tensor(expression_basis(frame)).flatten(1),
        pose=_tensor(pose_maps(frame)),
        unit=torch.tensor(frame.unit, dtype=torch.float32),
        lids=_tensor(lids.basis).flatten(1),
        lids_rest=_tensor(lids.rest).flatten(),
        lips=_tensor(lips.basis).flatten(1),
        lips_rest=_tensor(lips.rest).flatten(),
        to_patch=_tensor(np.stack([lids.to_patch, lips.to_patch])),
        bounds=_tensor(bounds),
        lip_shift=_tensor(shift * frame.unit * np.hypot(*lips.to_patch[0, :2])),
        mouth=_mouth_colours(picture, face.landmarks[:, :2]),
    )
    return rig.to(device)


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _resize(pictures: Tensor, size: int) -> Tensor:
    """Pictures (L, 3, H, H) to (L, 3, size, size): area down, bilinear up."""
    if size < pictures.shape[-1]:
        weights = torch.from_numpy(area_weights(pictures.shape[-1], size))
        return weights @ pictures @ weights.T
    return F.interpolate(pictures, size=(size, size), mode="bilinear", align_corners=False)


def _polygon_mask(points: Floats, side: int, grow: float) -> tuple[slice, slice, NDArray[np.bool_]]:
    """Rows and columns of the box around a polygon (K, 2), and its pixels inside or within `grow` pixels."""
    low = np.clip(np.floor(points.min(axis=0) - grow).astype(int) - 2, 0, side - 1)
    high = np.clip(np.ceil(points.max(axis=0) + grow).astype(int) + 2, low + 1, side)
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]] + 0.5
    inside = np.zeros(x.shape, dtype=bool)
    near = np.full(x.shape, np.inf)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        # A ray to the right crosses the outline an odd number of times from inside.
        crosses = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        length = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-9)
        t = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length, 0, 1)
        near = np.minimum(near, np.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0)))
    return slice(low[1], high[1]), slice(low[0], high[0]), inside | (near < grow)


def _close_eyes(picture: Tensor, points: Floats) -> Tensor:
    """The picture (3, S, S) with both eyes filled in from the skin around them (Laplace's equation, by sweeps)."""
    side = picture.shape[-1]
    image = picture.numpy().astype(np.float64).copy()
    for upper, lower in ((fp.EYE_LEFT_UPPER, fp.EYE_LEFT_LOWER), (fp.EYE_RIGHT_UPPER, fp.EYE_RIGHT_LOWER)):
        outline = np.concatenate([points[list(upper)], points[list(lower)][-2:0:-1]])
        width = float(np.ptp(outline[:, 0]))
        rows, columns, hole = _polygon_mask(outline, side, grow=0.12 * width)
        if hole.all() or not hole.any():
            continue
        patch = image[:, rows, columns]
        patch[:, hole] = patch[:, ~hole].mean(axis=1)[:, None]
        for _ in range(400):
            padded = np.pad(patch, ((0, 0), (1, 1), (1, 1)), mode="edge")
            mean = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
            patch[:, hole] = mean[:, hole] / 4.0
    return torch.from_numpy(image.astype(np.float32))


def _mouth_colours(picture: Tensor, points: NDArray[np.float32]) -> Tensor:
    """Inside of the mouth (a very dark lip colour) and teeth (bright, in the light of the face), (2, 3)."""
    side = picture.shape[-1]

    def around(indices: tuple[int, ...]) -> Tensor:
        at = torch.from_numpy(points[list(indices)] / side * 2 - 1)[None, :, None]
        return F.grid_sample(picture[None], at, align_corners=False)[0, :, :, 0].mean(dim=1)

    lip = around((0, 37, 267, 17, 84, 314))
    skin = around((fp.CHEEK_LEFT, fp.CHEEK_RIGHT, fp.FOREHEAD, fp.FOLD_LEFT, fp.FOLD_RIGHT))
    light = float((skin * torch.tensor([0.299, 0.587, 0.114])).sum()) ** 0.5
    inside = lip * torch.tensor([0.30, 0.22, 0.22])
    teeth = (torch.tensor([0.86, 0.82, 0.76]) * (0.35 + 0.65 * light)).clamp(0, 0.9)
    return torch.stack([inside, teeth])
