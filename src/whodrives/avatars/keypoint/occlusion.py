"""What the still does not show: closed lids and the inside of the mouth, invented softly as such networks do (ours)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whodrives.avatars import facepoints as fp
from whodrives.avatars.faces import Face
from whodrives.avatars.keypoint.points import KEY, FaceAxes, Floats

EYES = ((fp.EYE_LEFT_UPPER, fp.EYE_LEFT_LOWER), (fp.EYE_RIGHT_UPPER, fp.EYE_RIGHT_LOWER))
# The edge of a closing lid runs from above the upper lid's line to below the lower one's and its lashes. It is over a
# pixel of the bottleneck wide at 128, so that it glides. All in inter-ocular distances.
LID_ABOVE, LID_BELOW, LID_EDGE = 0.07, 0.06, 0.09
LASH = 0.3
# Softness of the lips' edges; how far teeth hang under the upper lip; the opening at which they show fully.
LIP_EDGE, TEETH, TEETH_FULL = 0.06, 0.11, 0.14


def face_grid(axes: FaceAxes, size: int) -> Floats:
    """Centres of the pixels of a picture in face axes, (S, S, 2)."""
    centres = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    x, y = np.meshgrid(centres, centres)
    return axes.from_image(np.stack([x, y], axis=-1))


def _ramp(x: Floats) -> Floats:
    return np.clip(x, 0.0, 1.0)


def eye_maps(face: Face, size: int) -> NDArray[np.float32]:
    """Where the eyes of the still are, float32 (4, S, S): window of the left eye, of the right eye (0..1, soft), depth
    below the line of the upper lid and opening between the lids, both in inter-ocular distances."""
    axes = FaceAxes.of(face)
    grid = face_grid(axes, size)
    x, y = grid[..., 0], grid[..., 1]
    marks = axes.from_image(face.landmarks[:, :2].astype(np.float64) / face.size * 2.0 - 1.0)
    maps = np.zeros((4, size, size))
    for number, (upper, lower) in enumerate(EYES):
        top, bottom = marks[list(upper)], marks[list(lower)]
        middle, half = (top[0, 0] + top[-1, 0]) / 2, max(abs(top[-1, 0] - top[0, 0]) / 2, 0.05)
        u = (x - middle) / half
        # Smooth lines through the lids, so that the closing edge has no corners; past the eye's own they go level.
        level = np.clip(u, -1.0, 1.0)
        high, low = (
            np.polyval(np.polyfit((line[:, 0] - middle) / half, line[:, 1], 4), level) for line in (top, bottom)
        )
        # Narrowed eyes need a lid as well.
        opening = np.maximum(low - high, 0.04)
        window = _ramp((1.4 - np.abs(u)) / 0.35)
        window *= _ramp((y - high + LID_ABOVE) / 0.05) * _ramp((low - y + LID_BELOW + 0.08) / 0.08)
        maps[number] = window
        own = x < 0 if number == 0 else x >= 0
        maps[2] = np.where(own, np.clip(y - high, -0.5, 0.5), maps[2])
        maps[3] = np.where(own, opening, maps[3])
    return maps.astype(np.float32)


def close_eyes(picture: NDArray[np.float32], maps: NDArray[np.float32], unit: float) -> NDArray[np.float32]:
    """The picture (3, S, S) with skin over both eyes: a blurred average of the skin around them, so no crease, no lash.

    unit : inter-ocular distance in pixels.
    """
    size = picture.shape[-1]
    eye = np.clip(maps[0] + maps[1], 0.0, 1.0)
    steps = np.arange(size, dtype=np.float32)
    fill, weight = np.zeros_like(picture), np.full((1, size, size), 1e-9, dtype=np.float32)
    # The narrow kernel rules at the rim; the wide one reaches the middle.
    for sigma, share in ((0.07, 1.0), (0.16, 1e-3)):
        blur = np.exp(-0.5 * ((steps[:, None] - steps[None, :]) / (sigma * unit)) ** 2)
        # Lit skin counts more: brow and crease are no colour for a lid.
        skin = (1.0 - eye)[None] ** 2 * (picture.mean(axis=0, keepdims=True) + 0.05) ** 3
        fill += share * (blur @ (picture * skin) @ blur.T)
        weight += share * (blur @ skin @ blur.T)
    return (picture + eye * (fill / weight - picture)).astype(np.float32)


def mouth_colours(face: Face, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours (2, 3) of the dark inside of the mouth and of the teeth, in the light of the face; RGB 0..1."""
    size = picture.shape[-1]

    def mean(indices: tuple[int, ...]) -> Floats:
        at = np.clip(face.landmarks[list(indices), :2] / face.size * size, 0, size - 1).astype(int)
        return picture[:, at[:, 1], at[:, 0]].mean(axis=1)

    skin = mean((fp.CHEEK_LEFT, fp.CHEEK_RIGHT, fp.CHIN_BOSS, fp.GLABELLA))
    dark = 0.17 * skin + np.array([0.08, 0.01, 0.01])
    bright = float(skin @ np.array([0.299, 0.587, 0.114]))
    teeth = (0.40 + 0.60 * bright) * np.array([1.05, 0.98, 0.85])
    return np.stack([dark, teeth]).clip(0.0, 0.95).astype(np.float32)


def lids(maps: Tensor, closure: Tensor) -> tuple[Tensor, Tensor]:
    """Share of closed lid and of lash shadow, both 0..1; nothing at all while closure is 0.

    maps (b, 4, t, H, H): `eye_maps` as sampled in every frame; closure (b, t, 2). Both results (b, 1, t, H, H).
    """
    depth, opening = maps[:, 2], maps[:, 3]
    skin, shadow = torch.zeros_like(depth), torch.zeros_like(depth)
    for number in (0, 1):
        closed = closure[..., number, None, None]
        # How far the edge has passed this place.
        past = closed * (opening + LID_ABOVE + LID_BELOW) - (depth + LID_ABOVE)
        skin += maps[:, number] * past.div(LID_EDGE).clamp(0.0, 1.0)
        line = (1.0 - (past - 0.05).abs() / 0.07).clamp_(0.0, 1.0)
        shadow += maps[:, number] * line * (4.0 * closed).clamp(0.0, 1.0)
    return skin[:, None].clamp_(0.0, 1.0), shadow[:, None].clamp_(0.0, 1.0).mul_(LASH)


def mouth(driven: Tensor, rest: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """How much of the mouth's inside shows, and how much of that is teeth: both (n, P) in 0..1.

    driven, rest (n, K, 2), places (n, P, 2), all in face axes. The inside lies between two parabolas through the inner
    lips, less the gap that the still has itself: a still that smiles keeps its own teeth.
    """

    def frame(points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        left, right = points[:, KEY["corner_l"]], points[:, KEY["corner_r"]]
        half = (right - left).norm(dim=-1, keepdim=True).clamp(min=1e-3) / 2
        along = (right - left) / (2 * half)
        down = torch.stack([-along[:, 1], along[:, 0]], dim=-1)
        middle = (left + right) / 2
        high, low = (
            ((points[:, KEY[name]] - middle) * down).sum(-1, keepdim=True) for name in ("lip_up_in", "lip_low_in")
        )
        return middle, torch.stack([along, down], dim=-1), half, high, low

    middle, turn, half, high, low = frame(driven)
    *_, high_rest, low_rest = frame(rest)
    # What the still shows between the lips, if only the lips' own rims, stays with them, half above and half below.
    own = (low_rest - high_rest) / 2
    gap = low - high - 2 * own
    opened = (gap / TEETH_FULL).clamp(0.0, 1.0)
    # Half of the soft edge lies on the lips, but none of it while they touch.
    reach = 0.6 * (gap / 0.07).clamp(0.0, 1.0)
    high, low = high + own, low - own
    u, v = torch.bmm(places - middle[:, None], turn).unbind(-1)
    arch = (1.0 - (u / (0.92 * half)).square()).clamp_(min=-0.5)
    above, below = v - high * arch, low * arch - v
    inside = (above / LIP_EDGE + reach).clamp_(0.0, 1.0).mul_((below / LIP_EDGE + reach).clamp_(0.0, 1.0))
    inside.mul_((arch * 4.0).clamp_(0.0, 1.0))
    teeth = (above / 0.04).clamp_(0.0, 1.0).mul_(((TEETH - above) / 0.06).clamp_(0.0, 1.0))
    # Lips just parting show a dark line; teeth come with the gap.
    return inside, teeth.mul_(arch.clamp(min=0.0).sqrt()).mul_(0.8 * opened)
