"""Render a still face driven through its key points, batched, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from whodrives.avatars.background import with_background
from whodrives.avatars.faces import Face
from whodrives.avatars.generator import check_render
from whodrives.avatars.keypoint.actions import CAMERA, channel_table, drive, lid_closure
from whodrives.avatars.keypoint.bottleneck import RESIDUE, Bottleneck, recolour, soften
from whodrives.avatars.keypoint.dense import GRID, dense_motion
from whodrives.avatars.keypoint.occlusion import lids, mouth
from whodrives.avatars.keypoint.rig import KeypointRig, build_rig
from whodrives.avatars.nuisance import LUMA, FrameNoise, Nuisance, apply_photometry, crop_maps
from whodrives.avatars.tracks import INDEX

# Frames worked on at once: on a CPU the largest temporary (frames x 4096 places x 53 key points) stays under 14 MB.
CPU_FRAMES, GPU_FRAMES = 16, 256


def render(
    rigs: Sequence[KeypointRig],
    controls: Tensor,
    nuisance: Sequence[Nuisance] | None = None,
    grey: bool = True,
) -> Tensor:
    """Render B videos of T frames, video b showing rig b driven by controls b.

    Parameters
    ----------
    rigs : B rigs of one size S (repeats allowed).
    controls : float (B, T, 33) in the order and units of `tracks.CHANNELS`; its device does the work. Equal controls
        move every face by equal shares of its own inter-ocular distance. Gaze is taken as eye-in-head.
    nuisance : B draws, or None for none. Its look also draws the bottleneck's blur and colour shift.
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
    budget = CPU_FRAMES if device.type == "cpu" else GPU_FRAMES
    videos, steps = max(1, budget // t), min(t, budget)
    with torch.no_grad():
        for first in range(0, b, videos):
            chosen = slice(first, first + videos)
            batch = _Batch([rig.to(device) for rig in rigs[chosen]], nuisance[chosen], grey, device)
            for start in range(0, t, steps):
                part = slice(start, start + steps)
                batch.render_into(controls[chosen, part], out[chosen, part])
    return out


class KeypointGenerator:
    """`generator.Generator` over `build_rig` and `render`."""

    name = "keypoint"
    version = "2"

    def rig(self, face: Face, size: int = 128, device: torch.device | str = "cpu") -> KeypointRig:
        """`build_rig`."""
        return build_rig(face, size, device)

    def render(
        self,
        rigs: Sequence[KeypointRig],
        controls: Tensor,
        nuisance: Sequence[Nuisance] | None = None,
        grey: bool = True,
    ) -> Tensor:
        """`render`."""
        return render(rigs, controls, nuisance, grey)


def _crop_grid(crop: Tensor, side: int) -> Tensor:
    """Places (B, side, side, 2) of the crop's pixels on the whole picture, -1..1 axes; crop (B, 3) of `crop_maps`."""
    centres = (torch.arange(side, device=crop.device, dtype=torch.float32) + 0.5) / side * 2.0 - 1.0
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return crop[:, :1, None, None] * torch.stack([x, y], dim=-1) + crop[:, None, None, 1:]


def _still(rig: KeypointRig, nuisance: Nuisance) -> Tensor:
    """The rig's pictures (2, 3, S, S), before another background where one is wanted and the rig has a matte."""
    if rig.matte is None or nuisance.background is None:
        return rig.stills
    return with_background(rig.stills, rig.matte, nuisance.background)


class _Batch:
    """What one group of videos shares over its frames: stills after photometry and bottleneck, crops, noise streams."""

    def __init__(self, rigs: list[KeypointRig], nuisance: Sequence[Nuisance], grey: bool, device: torch.device) -> None:
        b, size = len(rigs), rigs[0].size
        self.b, self.size, self.half = b, size, (size + 1) // 2
        passes = [Bottleneck.draw(one.look) for one in nuisance]
        stills = torch.stack([_still(rig, one) for rig, one in zip(rigs, nuisance, strict=True)])
        stills = recolour(apply_photometry(stills, nuisance), passes)
        colours = torch.stack([rig.mouth for rig in rigs])[..., None, None]
        colours = recolour(apply_photometry(colours, nuisance), passes)
        if grey:
            weights = torch.tensor(LUMA, device=device).view(1, 1, 3, 1, 1)
            stills, colours = ((x * weights).sum(2, keepdim=True) for x in (stills, colours))
        self.channels = stills.shape[2]
        soft = soften(stills, passes)
        eyes = torch.stack([rig.eyes for rig in rigs])
        # One look-up at half the resolution serves the face, its closed lids and the eyes' windows.
        self.soft = torch.cat([soft.flatten(1, 2), eyes], dim=1)
        self.fine = RESIDUE * (stills[:, 0] - soft[:, 0])
        self.colours = colours[..., None]  # (b, 2, C, 1, 1, 1)
        self.rest = torch.stack([rig.rest for rig in rigs])
        self.tilt = torch.stack([rig.tilt for rig in rigs])
        self.to_image = torch.stack([rig.to_image for rig in rigs])
        self.table = torch.from_numpy(channel_table()).to(device, torch.float32)
        crop = crop_maps(nuisance, device)
        origin, back = torch.stack([rig.origin for rig in rigs]), torch.linalg.inv(self.to_image)
        # The motion's own grid in face axes, (b, 2, G * G).
        self.coarse = ((_crop_grid(crop, GRID).flatten(1, 2) - origin[:, None]) @ back).transpose(1, 2).contiguous()
        self.low, self.full = _crop_grid(crop, self.half), _crop_grid(crop, size)
        self.lips = (self.low.flatten(1, 2) - origin[:, None]) @ back
        self.noise = [FrameNoise(one, device) for one in nuisance]

    def render_into(self, controls: Tensor, out: Tensor) -> None:
        """Render controls (b, t, 33) into out (b, t, C, S, S)."""
        b, t = controls.shape[:2]
        flat = controls.reshape(b * t, -1)
        rest = self.rest.repeat_interleave(t, dim=0)
        driven = drive(flat, rest, self.table, self.tilt.repeat_interleave(t))
        size = 1.0 / (1.0 + flat[:, INDEX["tz"]].clamp(min=-0.8 * CAMERA) / CAMERA)
        places = self.coarse.repeat_interleave(t, dim=0)
        motion = dense_motion(driven, rest[..., :2], places, flat[:, INDEX["roll"]], size)
        turn = self.to_image.transpose(1, 2).repeat_interleave(t, dim=0)
        motion = torch.bmm(turn, motion).view(b * t, 2, GRID, GRID)
        low, hidden = self._soft(motion, driven, rest[..., :2], lid_closure(controls))
        frames = self._sample(self.fine, motion, self.full)
        frames.mul_(hidden.neg_().add_(1.0)).add_(low)
        out.copy_(frames.transpose(1, 2))
        for video, noise in zip(out, self.noise, strict=True):
            noise.add_(video)
        out.clamp_(0.0, 1.0)

    def _sample(self, pictures: Tensor, motion: Tensor, grid: Tensor) -> Tensor:
        """Pictures (b, C, S, S) moved by motion (b * t, 2, G, G), seen at grid (b, h, h, 2): (b, C, t, h, h)."""
        b, h = grid.shape[:2]
        if h != motion.shape[-1]:
            motion = F.interpolate(motion, size=(h, h), mode="bilinear", align_corners=False)
        where = torch.empty(b, len(motion) // b, h, h, 2, device=grid.device)
        torch.add(motion.view(b, -1, 2, h, h).permute(0, 1, 3, 4, 2), grid[:, None], out=where)
        # The frames of one video as one tall picture: its still needs no copy for each.
        seen = F.grid_sample(pictures, where.view(b, -1, h, 2), padding_mode="border", align_corners=False)
        return seen.view(b, pictures.shape[1], -1, h, h)

    def _soft(self, motion: Tensor, driven: Tensor, rest: Tensor, closure: Tensor) -> tuple[Tensor, Tensor]:
        """What passes the bottleneck, brought up to full size: picture (b, C, t, S, S) and what hides the still."""
        b, c, h = self.b, self.channels, self.half
        seen = self._sample(self.soft, motion, self.low)
        t = seen.shape[2]
        lid, shadow = lids(seen[:, 2 * c :], closure)
        picture = torch.lerp(seen[:, :c], seen[:, c : 2 * c], lid).mul_(1.0 - shadow)
        inside, teeth = (x.view(b, 1, t, h, h) for x in mouth(driven, rest, self.lips.repeat_interleave(t, dim=0)))
        dark, bright = self.colours[:, 0], self.colours[:, 1]
        picture = torch.lerp(picture, dark + teeth * (bright - dark), inside)
        hidden = torch.maximum(torch.maximum(lid, shadow), inside)
        both = torch.cat([picture, hidden], dim=1).view(-1, t, h, h)
        up = F.interpolate(both, size=(self.size, self.size), mode="bilinear", align_corners=False)
        up = up.view(b, c + 1, t, self.size, self.size)
        return up[:, :c], up[:, c:]
