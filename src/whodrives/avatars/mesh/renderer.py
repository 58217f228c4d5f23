"""Render a head driven by the motion channels: pose, projection, rasterising, light, nuisance (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from whodrives.avatars.faces import Face
from whodrives.avatars.generator import check_render
from whodrives.avatars.mesh.camera import POSE, gaze_rotations, project, rotations, turn_head
from whodrives.avatars.mesh.lighting import change_of_light, draw_light, lambert
from whodrives.avatars.mesh.rig import MeshRig, build_rig
from whodrives.avatars.mesh.scene import draw, draw_layers
from whodrives.avatars.mesh.still import WALL
from whodrives.avatars.nuisance import LUMA, FrameNoise, Nuisance, apply_photometry, crop_maps
from whodrives.avatars.tracks import INDEX

# Pixels drawn at once: on a CPU as many as its cache holds.
CPU_PIXELS, GPU_PIXELS = 4 * 256**2, 256 * 256**2
# Lids meet at this intensity of AU45 and go no farther.
SHUT = 2.5


def render(
    rigs: Sequence[MeshRig],
    controls: Tensor,
    nuisance: Sequence[Nuisance] | None = None,
    grey: bool = True,
) -> Tensor:
    """Render B videos of T frames, video b showing rig b driven by controls b.

    Parameters
    ----------
    rigs : B rigs of one size S (repeats allowed).
    controls : float (B, T, 33) in the order and units of `tracks.CHANNELS`; its device does the work. Gaze is taken as
        eye-in-head; either eye is shut at AU45 +- AU45_lr = 2.5.
    nuisance : B draws, or None for none. Its look also draws the light on the head.
    grey : one luma channel (0.299 R + 0.587 G + 0.114 B), else RGB.

    Returns
    -------
    float32 (B, T, 1 or 3, S, S) in 0..1, clamped.

    Raises
    ------
    InputError
        Shapes disagree or a control is not finite.
    """
    draws: list[Nuisance | None] = [None] * len(rigs) if nuisance is None else list(nuisance)
    check_render(rigs, controls, draws)
    device, size = controls.device, rigs[0].size
    controls = controls.to(torch.float32)
    b, t = controls.shape[:2]
    out = torch.empty(b, t, 1 if grey else 3, size, size, device=device)
    budget = CPU_PIXELS if device.type == "cpu" else GPU_PIXELS
    steps = max(1, budget // (rigs[0].finer * size) ** 2)
    with torch.no_grad():
        # One video at a time: its frames cannot depend on the others.
        for rig, values, one, frames in zip(rigs, controls, draws, out, strict=True):
            video = _Video(rig.to(device), one, grey)
            for start in range(0, t, steps):
                video.render_into(values[start : start + steps], frames[start : start + steps])
    return out


class MeshGenerator:
    """`generator.Generator` over `build_rig` and `render`."""

    name = "mesh"
    version = "1"

    def rig(self, face: Face, size: int = 128, device: torch.device | str = "cpu") -> MeshRig:
        """`build_rig`."""
        return build_rig(face, size, device)

    def render(
        self,
        rigs: Sequence[MeshRig],
        controls: Tensor,
        nuisance: Sequence[Nuisance] | None = None,
        grey: bool = True,
    ) -> Tensor:
        """`render`."""
        return render(rigs, controls, nuisance, grey)


def move_vertices(rig: MeshRig, controls: Tensor) -> Tensor:
    """Vertices (T, V, 3) in camera axes under controls (T, 33)."""
    controls = _shut_lids(controls)
    points = rig.vertices + (controls @ rig.basis).unflatten(-1, (-1, 3))
    turn = gaze_rotations(controls)
    for number in range(2):
        of_ball = (rig.eye_of == number).nonzero()[:, 0]
        if len(of_ball):
            centre = rig.eyes[number, :3]
            points[:, of_ball] = (points[:, of_ball] - centre) @ turn.transpose(1, 2) + centre
    return turn_head(points, controls, rig.pivot, rig.follow)


def _shut_lids(controls: Tensor) -> Tensor:
    """Controls whose eyes close no farther than shut."""
    both, more = controls[:, INDEX["AU45"]], controls[:, INDEX["AU45_lr"]]
    right, left = (both - more).clamp(max=SHUT), (both + more).clamp(max=SHUT)
    controls = controls.clone()
    controls[:, INDEX["AU45"]], controls[:, INDEX["AU45_lr"]] = (left + right) / 2, (left - right) / 2
    return controls


class _Video:
    """What one video shares over its frames: texture and background under its photometry, crop, light, noise."""

    def __init__(self, rig: MeshRig, nuisance: Nuisance | None, grey: bool) -> None:
        self.rig = rig
        device, side = rig.device, rig.finer * rig.size
        light = draw_light(None if nuisance is None else nuisance.look)
        self.light = torch.tensor(light, device=device)
        nuisance = Nuisance.none() if nuisance is None else nuisance
        self.crop = crop_maps([nuisance], device)[0].cpu() if nuisance != Nuisance.none() else None
        texture = rig.texture
        wall = torch.tensor(WALL, device=device).view(3, 1, 1).expand(3, side, side)
        if nuisance.background is not None:
            if rig.photo and rig.matte is not None:
                rows, columns = rig.still
                texture = texture.clone()
                part = texture[None, :, :rows, :columns]
                texture[:, :rows, :columns] = _with_background(part, rig.matte, nuisance.background)[0]
            elif not rig.photo:
                nothing = torch.zeros(side, side, device=device)
                wall = _with_background(wall[None].contiguous(), nothing, nuisance.background)[0]
        self.texture = _photometry(texture, nuisance, float(side), grey)
        self.background = _photometry(wall, nuisance, float(side), grey)
        self.noise = FrameNoise(nuisance, device)

    def render_into(self, controls: Tensor, out: Tensor) -> None:
        """Render controls (t, 33) into out (t, C, S, S)."""
        rig = self.rig
        points = move_vertices(rig, controls)
        places, inverse = project(points, rig.framing, self.crop)
        rest = (places, inverse, self._shade(controls), self.texture, self.background)
        if rig.interior is None or rig.slits is None:
            pictures = draw(rig.surface, *rest)[0]
        else:
            pictures = draw_layers(rig.surface, rig.interior, rig.slits, *rest)
        out.copy_(F.avg_pool2d(pictures, rig.finer) if rig.finer > 1 else pictures)
        self.noise.add_(out)
        out.clamp_(0.0, 1.0)

    def _shade(self, controls: Tensor) -> Tensor:
        rig = self.rig
        normals = rig.normals @ rotations(controls[:, POSE]).transpose(1, 2)
        if not rig.photo:
            return lambert(normals, self.light)
        return 1.0 + rig.follow * (change_of_light(normals, rig.normals, self.light) - 1.0)


def _with_background(pictures: Tensor, matte: Tensor, seed: int) -> Tensor:
    from whodrives.avatars.background import with_background

    return with_background(pictures, matte, seed)


def _photometry(picture: Tensor, nuisance: Nuisance, side: float, grey: bool) -> Tensor:
    """A picture (3, H, W) under the nuisance of a video; `side` = its pixels per side of the frame."""
    # The blur is a share of the frame, and the texture is larger than it.
    nuisance = replace(nuisance, blur=nuisance.blur * side / picture.shape[-1])
    picture = apply_photometry(picture[None, None], [nuisance])[0, 0]
    if grey:
        picture = (picture * torch.tensor(LUMA, device=picture.device).view(3, 1, 1)).sum(0, keepdim=True)
    return picture.contiguous()
