"""Render a still face driven by 25 motion channels: one dense 2-D warp a frame, batched, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from whodrives.avatars.facefields import FIELDS, GRID
from whodrives.avatars.nuisance import Nuisance, SensorNoise, apply_photometry, crop_maps
from whodrives.avatars.rig import WarpRig, build_rig
from whodrives.avatars.tracks import CHANNELS, INDEX
from whodrives.errors import InputError

__all__ = ["WarpRig", "build_rig", "render"]

LUMA = (0.299, 0.587, 0.114)
# Distance from camera to head in inter-ocular distances (75 cm): what tz means for the size of the face.
CAMERA = 12.0
# Frames worked on at once. Small temporaries stay in the allocator's pool: above about 32 MB glibc maps and unmaps
# fresh pages at every call and page faults dominate.
CPU_FRAMES, GPU_FRAMES = 16, 1024


def render(
    rigs: Sequence[WarpRig],
    controls: Tensor,
    nuisance: Sequence[Nuisance] | None = None,
    grey: bool = True,
) -> Tensor:
    """Render B videos of T frames, video b showing rig b driven by controls b.

    Parameters
    ----------
    rigs : B rigs of one size S (repeats allowed).
    controls : float (B, T, 25) in the order and units of `tracks.CHANNELS`; its device does the work. Gain is 1: equal
        controls move every face by equal shares of its own inter-ocular distance. Gaze is taken as eye-in-head.
    nuisance : B draws, or None for none.
    grey : one luma channel (0.299 R + 0.587 G + 0.114 B), else RGB.

    Returns
    -------
    float32 (B, T, 1 or 3, S, S) in 0..1, clamped.

    Raises
    ------
    InputError
        Shapes disagree or a control is not finite.
    """
    nuisance = [Nuisance.none()] * len(rigs) if nuisance is None else list(nuisance)
    _check(rigs, controls, nuisance)
    device, size = controls.device, rigs[0].size
    controls = controls.to(torch.float32)
    b, t = controls.shape[:2]
    out = torch.empty(b, t, 1 if grey else 3, size, size, device=device)
    budget = CPU_FRAMES if device.type == "cpu" else GPU_FRAMES
    videos, steps = max(1, budget // t), min(t, budget)
    with torch.no_grad():
        for first in range(0, b, videos):
            chosen = slice(first, first + videos)
            batch = _Batch([rig.to(device) for rig in rigs[chosen]], nuisance[chosen], grey, device)
            for start in range(0, t, steps):
                frames = out[chosen, start : start + steps]
                batch.render_into(controls[chosen, start : start + steps], frames)
    return out


def _check(rigs: Sequence[WarpRig], controls: Tensor, nuisance: Sequence[Nuisance]) -> None:
    if controls.ndim != 3 or controls.shape[-1] != len(CHANNELS) or 0 in controls.shape:
        raise InputError(f"render: controls must be (B, T, {len(CHANNELS)}), got {tuple(controls.shape)}")
    if not (len(rigs) == len(nuisance) == len(controls)):
        raise InputError(
            f"render: {len(rigs)} rigs, {len(nuisance)} nuisance draws and {len(controls)} control tracks; "
            "give one of each for every video"
        )
    sizes = sorted({rig.size for rig in rigs})
    if len(sizes) != 1:
        raise InputError(f"render: rigs have different sizes {sizes}; build them with one size")
    if not bool(torch.isfinite(controls).all()):
        raise InputError("render: controls hold a value that is not finite; bridge gaps before rendering")


def head_motion(controls: Tensor, unit: Tensor) -> Tensor:
    """Coefficients (B, T, 2, 4) of the pose maps [x, y, 1, depth] for dx and dy of where to look.

    Signs as OpenFace's camera axes (x right, y down, z away): roll turns clockwise, positive yaw brings the nose to the
    image's left, positive pitch brings it down.
    """
    pitch, yaw, roll, tx, ty, tz = (controls[..., INDEX[n]] for n in ("pitch", "yaw", "roll", "tx", "ty", "tz"))
    unit = unit[:, None]
    grow = 1.0 + tz.clamp(min=-0.8 * CAMERA) / CAMERA
    c, s = grow * torch.cos(roll), grow * torch.sin(roll)
    # place -> source: undo the translation, then the roll about the pivot, then the size.
    shift_x, shift_y = tx * unit, ty * unit
    xx, xy, yx, yy = c - 1.0, s, -s, c - 1.0
    dx = torch.stack([xx, xy, -c * shift_x - s * shift_y, torch.sin(yaw)], dim=-1)
    dy = torch.stack([yx, yy, s * shift_x - c * shift_y, -torch.sin(pitch)], dim=-1)
    return torch.stack([dx, dy], dim=-2)


class _Batch:
    """What one group of videos shares over its frames: stills under their photometry, crops, noise streams."""

    def __init__(self, rigs: list[WarpRig], nuisance: Sequence[Nuisance], grey: bool, device: torch.device) -> None:
        b, size = len(rigs), rigs[0].size
        self.b, self.size = b, size
        stills = apply_photometry(torch.stack([rig.stills for rig in rigs]), nuisance)
        mouth = torch.stack([rig.mouth for rig in rigs])[..., None, None]
        mouth = apply_photometry(mouth, nuisance)
        if grey:
            weights = torch.tensor(LUMA, device=device).view(1, 1, 3, 1, 1)
            stills, mouth = (stills * weights).sum(2, keepdim=True), (mouth * weights).sum(2, keepdim=True)
        self.channels = stills.shape[2]
        # Both layers side by side as channels: one look-up serves both.
        self.stills = stills.reshape(b, 2 * self.channels, size, size)
        self.mouth = mouth
        self.basis = torch.stack([rig.basis for rig in rigs])
        self.base = torch.stack([rig.base for rig in rigs])[:, None]
        self.unit = torch.stack([rig.unit for rig in rigs])
        crop = crop_maps(nuisance, device)
        self.full = _crop_grid(crop, size)
        self.coarse = _crop_grid(crop, GRID)
        pose = torch.stack([rig.pose for rig in rigs]).flatten(1, 2)
        pose = F.grid_sample(pose, self.coarse, padding_mode="border", align_corners=False)
        self.pose = pose.view(b, 2, 4, GRID * GRID)
        self.noise = [SensorNoise(one, device) for one in nuisance]

    def render_into(self, controls: Tensor, out: Tensor) -> None:
        """Render controls (b, t, 25) into out (b, t, C, S, S)."""
        b, t = controls.shape[:2]
        n = b * t
        state = torch.baddbmm(self.base, controls, self.basis).view(n, FIELDS, GRID, GRID)
        moved = (head_motion(controls, self.unit).transpose(1, 2) @ self.pose).view(b, 2, t, GRID, GRID)
        looked = moved.permute(0, 2, 3, 4, 1) + self.coarse[:, None]
        state = F.grid_sample(state, looked.reshape(n, GRID, GRID, 2), padding_mode="border", align_corners=False)
        state[:, :2] += moved.transpose(1, 2).reshape(n, 2, GRID, GRID)
        fine = F.interpolate(state, size=(self.size, self.size), mode="bilinear", align_corners=False)
        places = fine[:, :2].view(b, t, 2, self.size, self.size)
        places += self.full.permute(0, 3, 1, 2)[:, None]
        stills = self.stills[:, None].expand(b, t, *self.stills.shape[1:]).reshape(n, *self.stills.shape[1:])
        layers = F.grid_sample(stills, fine[:, :2].permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
        self._compose(layers.view(b, t, 2, self.channels, self.size, self.size), fine, controls, out)

    def _compose(self, layers: Tensor, fine: Tensor, controls: Tensor, out: Tensor) -> None:
        b, t = controls.shape[:2]
        edges = fine.view(b, t, FIELDS, 1, self.size, self.size)
        # Lids: fade the layer in over the first quarter unit of closure, so that a resting eye is the picture itself.
        blink = (controls[..., INDEX["AU45"]] * 4.0).clamp(0.0, 1.0).view(b, t, 1, 1, 1)
        lid, shown = edges[:, :, 4], edges[:, :, 5] * blink
        lash = (1.0 - (lid - 0.3).abs() * 0.8).clamp_(0.0, 1.0).mul_(0.4 * shown)
        torch.lerp(layers[:, :, 0], layers[:, :, 1], lid.clamp(0.0, 1.0).mul_(shown), out=out)
        out.mul_(lash.neg_().add_(1.0))
        # Mouth: between the edges of both lips; teeth hang from the upper one.
        upper, lower = edges[:, :, 2], edges[:, :, 3]
        inside = upper.clamp(0.0, 1.0).mul_(lower.clamp(0.0, 1.0))
        teeth = (upper - 0.5).clamp_(0.0, 1.0).mul_((3.2 - upper).clamp_(0.0, 1.0)).mul_(0.75)
        dark, bright = self.mouth[:, None, 0], self.mouth[:, None, 1]
        colour = dark + teeth * (bright - dark)
        out.lerp_(colour, inside)
        for frames, noise in zip(out, self.noise, strict=True):
            noise.add_(frames)
        out.clamp_(0.0, 1.0)


def _crop_grid(crop: Tensor, side: int) -> Tensor:
    """Sampling places (B, side, side, 2) in -1..1 axes of the crop [scale, shift x, shift y]."""
    centres = (torch.arange(side, device=crop.device, dtype=torch.float32) + 0.5) / side * 2.0 - 1.0
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    grid = torch.stack([x, y], dim=-1)
    return crop[:, 0].view(-1, 1, 1, 1) * grid + crop[:, 1:].view(-1, 1, 1, 2)
