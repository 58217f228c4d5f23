"""Render a still face driven by the motion channels: one dense 2-D warp a frame, batched, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from whodrives.avatars.background import with_background
from whodrives.avatars.faces import Face
from whodrives.avatars.generator import check_render
from whodrives.avatars.nuisance import LUMA, FrameNoise, Nuisance, apply_photometry, crop_maps
from whodrives.avatars.tracks import INDEX
from whodrives.avatars.warp.edges import LID_SHAPE, LIP_SHAPE
from whodrives.avatars.warp.fields import GRID
from whodrives.avatars.warp.rig import WarpRig, build_rig
from whodrives.avatars.warp.units import OPENING

__all__ = ["WarpGenerator", "WarpRig", "build_rig", "render"]

# Distance from camera to head in inter-ocular distances (75 cm): what tz means for the size of the face.
CAMERA = 12.0
# Pixels worked on at once (32 frames at 128 x 128): fewer cost calls, more leave the caches, and above about 32 MB
# glibc maps and unmaps fresh pages at every call and page faults dominate (see `avatars.allocator`).
CPU_PIXELS, GPU_PIXELS = 32 * 128**2, 1024 * 128**2
# How dark the line of the lashes is on a closing lid.
LASH = 0.4

Box = tuple[slice, slice]  # rows, columns


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
    controls : float (B, T, 33) in the order and units of `tracks.CHANNELS`; its device does the work. Gain is 1: equal
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
    check_render(rigs, controls, nuisance)
    device, size = controls.device, rigs[0].size
    controls = controls.to(torch.float32)
    b, t = controls.shape[:2]
    out = torch.empty(b, t, 1 if grey else 3, size, size, device=device)
    budget = max(1, (CPU_PIXELS if device.type == "cpu" else GPU_PIXELS) // size**2)
    videos, steps = max(1, budget // t), min(t, budget)
    with torch.no_grad():
        for first in range(0, b, videos):
            chosen = slice(first, first + videos)
            batch = _Batch([rig.to(device) for rig in rigs[chosen]], nuisance[chosen], grey, device)
            for start in range(0, t, steps):
                frames = out[chosen, start : start + steps]
                batch.render_into(controls[chosen, start : start + steps], frames)
    return out


class WarpGenerator:
    """`generator.Generator` over `build_rig` and `render`."""

    name = "warp"
    version = "3"

    def rig(self, face: Face, size: int = 128, device: torch.device | str = "cpu") -> WarpRig:
        """`build_rig`."""
        return build_rig(face, size, device)

    def render(
        self,
        rigs: Sequence[WarpRig],
        controls: Tensor,
        nuisance: Sequence[Nuisance] | None = None,
        grey: bool = True,
    ) -> Tensor:
        """`render`."""
        return render(rigs, controls, nuisance, grey)


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
        size = rigs[0].size
        self.size = size
        stills = torch.stack([_still(rig, one) for rig, one in zip(rigs, nuisance, strict=True)])
        stills = apply_photometry(stills, nuisance)
        mouth = torch.stack([rig.mouth for rig in rigs])[..., None, None]
        mouth = apply_photometry(mouth, nuisance)
        if grey:
            weights = torch.tensor(LUMA, device=device).view(1, 1, 3, 1, 1)
            stills, mouth = (stills * weights).sum(2, keepdim=True), (mouth * weights).sum(2, keepdim=True)
        self.stills, self.mouth = stills, mouth[:, :, None]  # (b, 2, C, S, S), (b, 2, 1, C, 1, 1)
        self.basis = torch.stack([rig.basis for rig in rigs])
        self.unit = torch.stack([rig.unit for rig in rigs])
        self.lids, self.lips = (torch.stack([getattr(rig, n) for rig in rigs]) for n in ("lids", "lips"))
        self.lids_rest = torch.stack([rig.lids_rest for rig in rigs])[:, None]
        self.lips_rest = torch.stack([rig.lips_rest for rig in rigs])[:, None]
        self.to_patch = torch.stack([rig.to_patch for rig in rigs])
        self.lip_shift = torch.stack([rig.lip_shift for rig in rigs])
        bounds = torch.stack([rig.bounds for rig in rigs])
        self.bounds = torch.stack([bounds[:, :, 0].amin(dim=0), bounds[:, :, 1].amax(dim=0)], dim=1)
        crop = crop_maps(nuisance, device)
        self.full, self.coarse = _crop_grid(crop, size), _crop_grid(crop, GRID)
        pose = torch.stack([rig.pose for rig in rigs]).flatten(1, 2)
        pose = F.grid_sample(pose, self.coarse.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
        self.pose = pose.flatten(2)
        fine = F.interpolate(pose, size=(size, size), mode="bilinear", align_corners=False)
        # Everything that a pixel's place in a patch is made of: eight pose maps, its own place, one.
        self.ways = torch.cat([fine, self.full, torch.ones_like(fine[:, :1])], dim=1)
        self.noise = [FrameNoise(one, device) for one in nuisance]

    def render_into(self, controls: Tensor, out: Tensor) -> None:
        """Render controls (b, t, 33) into out (b, t, C, S, S)."""
        b, t = controls.shape[:2]
        n = b * t
        dx, dy = head_motion(controls, self.unit).unbind(dim=2)
        none = torch.zeros_like(dx)
        # dx from the first four pose maps, dy from the last.
        head = torch.stack([torch.cat([dx, none], dim=-1), torch.cat([none, dy], dim=-1)], dim=2)
        moved = torch.bmm(head.flatten(1, 2), self.pose).view(b, t, 2, GRID, GRID)
        looked = moved + self.coarse[:, None]
        skin = torch.bmm(controls, self.basis).view(n, 2, GRID, GRID)
        skin = _sample(skin, looked.view(n, 2, GRID, GRID)).add_(moved.view(n, 2, GRID, GRID))
        places = F.interpolate(skin, size=(self.size, self.size), mode="bilinear", align_corners=False)
        places.view(b, t, 2, self.size, self.size).add_(self.full[:, None])
        frames = _sample(_each(self.stills[:, 0], t), places).view(out.shape)
        self._close_lids(frames, places, controls, head, self._box(looked, 0))
        self._open_mouth(frames, controls, head, self._box(looked, 1))
        for video, noise in zip(frames, self.noise, strict=True):
            noise.add_(video)
        torch.clamp(frames, 0.0, 1.0, out=out)

    def _box(self, looked: Tensor, patch: int) -> Box | None:
        """Rows and columns of all pixels that look into a patch in any frame; None when there are none.

        On a GPU the whole picture: to wait for an answer would cost more than the pixels.
        """
        if looked.device.type != "cpu":
            return slice(0, self.size), slice(0, self.size)
        low, high = self.bounds[patch].tolist()
        first, last = looked.amin(dim=(0, 1)), looked.amax(dim=(0, 1))
        inside = (last[0] > low[0]) & (first[0] < high[0]) & (last[1] > low[1]) & (first[1] < high[1])
        out = []
        for along in (1, 0):
            cells = inside.any(dim=along).nonzero().flatten().tolist()
            if not cells:
                return None
            # One cell more on each side: pixels lie between the centres of the cells.
            start = max(0, (cells[0] - 1) * self.size // GRID)
            out.append(slice(start, min(self.size, -(-(cells[-1] + 2) * self.size // GRID))))
        return out[0], out[1]

    def _in_patch(self, head: Tensor, box: Box, patch: int, shift: Tensor | None = None) -> Tensor:
        """Where the pixels of a box look in a patch, (n, 2, h, w) in -1..1 axes of the patch: expressions left out."""
        b, t = head.shape[:2]
        turn = self.to_patch[:, None, patch]  # (b, 1, 2, 3)
        shares = torch.cat([turn[..., :2] @ head, turn.expand(b, t, 2, 3)], dim=3)
        if shift is not None:
            shares[:, :, 0, -1] -= shift
        ways = self.ways[:, :, box[0], box[1]]
        places = torch.bmm(shares.flatten(1, 2), ways.flatten(2))
        return places.view(b * t, 2, *ways.shape[2:])

    def _close_lids(self, frames: Tensor, places: Tensor, controls: Tensor, head: Tensor, box: Box | None) -> None:
        """Draw closing lids over the frames (b, t, C, S, S), in place."""
        both, more = controls[..., INDEX["AU45"]], controls[..., INDEX["AU45_lr"]]
        # Fade the layer in over the first quarter unit of closure, so that a resting eye is the picture itself.
        fade = torch.stack([both - more, both + more], dim=-1).mul_(4.0).clamp_(0.0, 1.0)
        if box is None or (frames.device.type == "cpu" and not bool(fade.any())):
            return
        b, t = controls.shape[:2]
        edges = torch.baddbmm(self.lids_rest, torch.cat([controls, fade], dim=-1), self.lids)
        edges = _sample(edges.view(b * t, 2, *LID_SHAPE), self._in_patch(head, box, 0))
        edges = edges.view(b, t, 2, 1, *edges.shape[2:])
        lid, shown = edges[:, :, 0], edges[:, :, 1]
        eyes = frames[..., box[0], box[1]]
        closed = _sample(_each(self.stills[:, 1], t), places[:, :, box[0], box[1]]).view(eyes.shape)
        lash = (lid - 0.3).abs_().mul_(-0.8).add_(1.0).clamp_(0.0, 1.0).mul_(shown).mul_(-LASH).add_(1.0)
        eyes.lerp_(closed, lid.clamp(0.0, 1.0).mul_(shown)).mul_(lash)

    def _open_mouth(self, frames: Tensor, controls: Tensor, head: Tensor, box: Box | None) -> None:
        """Draw the inside of open mouths over the frames (b, t, C, S, S), in place."""
        part = sum(controls[..., INDEX[name]] * (up + down) for name, (up, down, _) in OPENING.items())
        if box is None or (frames.device.type == "cpu" and not bool((torch.as_tensor(part) > 0).any())):
            return
        b, t = controls.shape[:2]
        shift = torch.einsum("btc,bc->bt", controls, self.lip_shift)
        edges = torch.baddbmm(self.lips_rest, controls, self.lips).view(b * t, 2, *LIP_SHAPE)
        edges = _sample(edges, self._in_patch(head, box, 1, shift))
        edges = edges.view(b, t, 2, 1, *edges.shape[2:])
        # Between the edges of both lips; teeth hang from the upper one.
        upper, lower = edges[:, :, 0], edges[:, :, 1]
        inside = upper.clamp(0.0, 1.0).mul_(lower.clamp(0.0, 1.0))
        teeth = (upper - 0.5).clamp_(0.0, 1.0).mul_((3.2 - upper).clamp_(0.0, 1.0)).mul_(0.75)
        dark, bright = self.mouth[:, 0], self.mouth[:, 1]
        frames[..., box[0], box[1]].lerp_(dark + teeth * (bright - dark), inside)


def _still(rig: WarpRig, nuisance: Nuisance) -> Tensor:
    """The rig's pictures (2, 3, S, S), in front of another background where one is drawn and the rig has a matte."""
    if rig.matte is None or nuisance.background is None:
        return rig.stills
    return with_background(rig.stills, rig.matte, nuisance.background)


def _each(pictures: Tensor, t: int) -> Tensor:
    """Pictures (b, C, H, W) once for every frame, (b * t, C, H, W): no copy when b is 1."""
    return pictures[:, None].expand(-1, t, -1, -1, -1).flatten(0, 1)


def _sample(pictures: Tensor, places: Tensor) -> Tensor:
    """Pictures (n, C, H, W) at places (n, 2, h, w) in -1..1 axes, (n, C, h, w)."""
    return F.grid_sample(pictures, places.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)


def _crop_grid(crop: Tensor, side: int) -> Tensor:
    """Sampling places (B, 2, side, side) in -1..1 axes of the crop [scale, shift x, shift y]."""
    centres = (torch.arange(side, device=crop.device, dtype=torch.float32) + 0.5) / side * 2.0 - 1.0
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return crop[:, 0].view(-1, 1, 1, 1) * torch.stack([x, y]) + crop[:, 1:].view(-1, 2, 1, 1)
