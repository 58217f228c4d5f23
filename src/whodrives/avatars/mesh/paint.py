"""The texture of a photo's head: the photo itself, and beside it what the photo hides of eyes and mouth (ours).

One picture (an atlas): on top the still with its border repeated outwards; below it patches on the still's own pixel
grid, so that what shows at rest is the still to the pixel: eyeballs with the whole iris (1, 2), whites of the eyes
without iris (3, 4), cavity of the mouth (5), upper and lower teeth (6, 7). Patch 0 is the still.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch.nn import functional as F

from whodrives.avatars import facepoints as fp
from whodrives.avatars.faces import Face
from whodrives.avatars.mesh.interior import BALL
from whodrives.avatars.mesh.layout import BEYOND, FaceAxes, Layout, Slit, _inside

Floats = NDArray[np.float64]

# Half sizes of the patches in inter-ocular distances, and pixels kept clear between them.
EYE_PATCH, GUTTER = (0.4, 0.36), 3
# What nothing in the photo tells: linear in the brightness of the skin, for a skin luma of 0.62.
DARK, TONGUE, IVORY, GUM = (0.11, 0.035, 0.035), (0.34, 0.14, 0.13), (0.72, 0.67, 0.58), (0.48, 0.24, 0.23)
TOOTH = 0.125
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Atlas:
    """`picture` float32 (3, H, W) in 0..1; `corners` int (8, 2) where pixel (0, 0) of the still lies on the atlas for
    each patch; `block` (height, width) of the still with its border, at the top left; `border` its width in pixels."""

    picture: NDArray[np.float32]
    corners: NDArray[np.int64]
    block: tuple[int, int]
    border: int

    def places(self, pixels: Floats, patch: NDArray[np.int64]) -> Floats:
        """Texture places (V, 2) in 0..1 of still pixels (V, 2) on patches (V,)."""
        height, width = self.picture.shape[1:]
        return (pixels + self.corners[patch]) / [width, height]


def resize(image: NDArray[np.uint8], side: int) -> torch.Tensor:
    """Picture (H, W, C) or (H, W) as float32 (C, side, side) in 0..1."""
    tensor = torch.from_numpy(np.array(np.atleast_3d(image))).permute(2, 0, 1)[None].float() / 255
    if tensor.shape[-1] == side:
        return tensor[0]
    mode = "bilinear" if side < tensor.shape[-1] else "bicubic"
    return F.interpolate(tensor, size=(side, side), mode=mode, antialias=mode == "bilinear")[0].clamp(0, 1)


def paint_atlas(face: Face, axes: FaceAxes, layout: Layout, balls: Floats, side: int) -> Atlas:
    """Paint the atlas of a face for a still of `side` pixels.

    Parameters
    ----------
    axes : of the face at its own size. layout : of its skin. balls : (2, 2) places of the eyeballs' centres.
    """
    border = int(np.ceil(BEYOND * side)) + 4
    still = resize(face.image, side)
    block = F.pad(still[None], (border,) * 4, mode="replicate")[0].numpy()
    scaled = FaceAxes(
        axes.x * side / axes.size, axes.y * side / axes.size, axes.unit * side / axes.size, axes.tilt, side
    )
    irises = [axes.to_face(face.landmarks[list(i), :2]) for i in (fp.IRIS_LEFT, fp.IRIS_RIGHT)]
    brightness = float(np.median(_skin_luma(still.numpy(), scaled)) / 0.62)
    mouth = layout.slits[2]
    reach = np.array([mouth.half_width + 0.3, 0.62])
    patches = []
    for with_iris in (True, False):
        for number in range(2):
            window = _Window.about(scaled, balls[number], np.array(EYE_PATCH), block, border)
            patches.append((window, _eye(window, layout.slits[number], irises[number], balls[number], with_iris)))
    window = _Window.about(scaled, mouth.centre, reach, block, border)
    patches += [(window, _mouth(window, mouth, kind, brightness)) for kind in range(3)]
    return _assemble(block, border, patches)


@dataclass(frozen=True)
class _Window:
    """A piece of the still: `corner` (x, y) of its first pixel, `still` (3, h, w), `places` (h, w, 2) face axes,
    `pixel` the size of a pixel in face axes."""

    corner: tuple[int, int]
    still: Floats
    places: Floats
    pixel: float

    @classmethod
    def about(cls, axes: FaceAxes, centre: Floats, reach: Floats, block: NDArray[np.float32], border: int) -> _Window:
        x, y = np.floor(axes.to_pixels(centre) - reach * axes.unit).astype(int)
        w, h = np.ceil(2 * reach * axes.unit).astype(int)
        rows = np.clip(np.arange(y, y + h) + border, 0, block.shape[1] - 1)
        columns = np.clip(np.arange(x, x + w) + border, 0, block.shape[2] - 1)
        px, py = np.meshgrid(np.arange(x, x + w) + 0.5, np.arange(y, y + h) + 0.5)
        places = axes.to_face(np.stack([px, py], axis=-1))
        return cls((int(x), int(y)), block[:, rows[:, None], columns].astype(np.float64), places, 1 / axes.unit)

    def opening(self, slit: Slit) -> Floats:
        """Signed distance (h, w) in pixels into a slit, negative outside; far outside when it is shut."""
        inside = _inside(self.places.reshape(-1, 2), slit.polygon()).reshape(self.places.shape[:2])
        if not inside.any():
            return np.full(inside.shape, -99.0)
        return np.asarray(distance_transform_edt(inside) - distance_transform_edt(~inside))


def _skin_luma(still: NDArray[np.float32], axes: FaceAxes) -> Floats:
    cheeks = np.array([[x, y] for x in (-0.5, -0.4, 0.4, 0.5) for y in (0.4, 0.5, 0.6, 0.7)])
    px = np.clip(axes.to_pixels(cheeks).astype(int), 0, still.shape[1] - 1)
    return np.asarray(np.tensordot(LUMA, still[:, px[:, 1], px[:, 0]], axes=1))


def _step(x: Floats, low: float, high: float) -> Floats:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _eye(window: _Window, eye: Slit, iris: Floats, ball: Floats, with_iris: bool) -> Floats:
    """Picture (3, h, w) of an eyeball: the still where it shows, else iris rings and white of its own colours."""
    depth = window.opening(eye)
    middle = iris[0]
    radius = float(np.clip(np.linalg.norm(iris[1:] - middle, axis=1).mean(), 0.075, 0.12))
    ring = np.linalg.norm(window.places - middle, axis=-1) / radius
    luma = np.tensordot(LUMA, window.still, axes=1)
    known = depth > 0.7
    white = known & (ring > 1.2)
    bright = white & (luma >= np.quantile(luma[white], 0.5)) if white.sum() >= 6 else np.zeros_like(white)
    colour = window.still[:, bright].mean(axis=1) if bright.any() else np.array([0.6, 0.57, 0.55])
    # The ball curves away from the light towards the lids.
    edge = np.linalg.norm(window.places - ball, axis=-1) / BALL
    fill = colour[:, None, None] * (1.0 - 0.18 * _step(edge, 0.3, 1.0) - 0.25 * _step(edge, 1.0, 1.6))
    if with_iris:
        at = np.linspace(0.05, 0.95, 7)
        seen = [known & (np.abs(ring - r) < 0.1) for r in at]
        have = np.array([s.sum() >= 2 for s in seen])
        if have.any():
            profile = np.array([window.still[:, s].mean(axis=1) for s, ok in zip(seen, have, strict=True) if ok])
        else:
            have, profile = np.ones(7, bool), np.repeat([[0.05], [0.18]], [2, 5], axis=0) * np.ones(3)
        rings = np.stack([np.interp(ring, at[have], profile[:, c]) for c in range(3)])
        fill = fill + _step(-ring, -1.12, -0.92) * (rings - fill)
    # Just outside the opening the still goes on, for the pixels that a lid's edge cuts.
    keep = _step(depth, -2.2, -0.6)
    if not with_iris:
        keep = keep * _step(ring, 1.05, 1.3)
    return np.asarray(fill + keep * (window.still - fill))


def _mouth(window: _Window, mouth: Slit, kind: int, brightness: float) -> Floats:
    """Picture (3, h, w) of the cavity (0), upper (1) or lower teeth (2); the still where the mouth stands open."""
    x = window.places[..., 0] - mouth.centre[0]
    y = window.places[..., 1] - mouth.line(window.places[..., 0])
    light = float(np.clip(brightness, 0.45, 1.15))

    def mix(a: tuple[float, ...] | Floats, b: tuple[float, ...] | Floats, share: Floats) -> Floats:
        one, two = (np.asarray(v, dtype=np.float64).reshape(3, *np.shape(v)[1:] or (1, 1)) for v in (a, b))
        return np.asarray(one + share * (two - one))

    if kind == 0:
        picture = mix(DARK, TONGUE, _step(y, -0.02, 0.22) * _step(-np.abs(x), -0.42, -0.1))
    else:
        # Teeth narrow towards the sides, where less light reaches them.
        place = np.abs(x) * (1 + 0.5 * np.abs(x)) / TOOTH
        near = np.abs(place - np.round(place)) * TOOTH
        soft = max(0.016, 0.8 * window.pixel)
        gaps = 0.28 * np.exp(-((near / soft) ** 2))
        ivory = mix(IVORY, DARK, np.clip(gaps + _step(np.abs(x), 0.1, 0.29), 0, 1))
        root = _step(-y, 0.08, 0.14) if kind == 1 else _step(y, 0.11, 0.17)
        picture = mix(ivory, GUM, root)
        if kind == 2:
            picture = picture * 0.68
    picture = np.clip(picture * light, 0, 0.92) * np.ones_like(window.still)
    keep = _step(window.opening(mouth), -2.0, -0.5)
    return np.asarray(picture + keep * (window.still - picture))


def _assemble(block: NDArray[np.float32], border: int, patches: list[tuple[_Window, Floats]]) -> Atlas:
    height, width = block.shape[1:]
    corners = [(border, border)]
    spots: list[tuple[int, int, Floats]] = []
    x, y, row = 0, height, 0
    for window, picture in patches:
        padded = np.pad(picture, ((0, 0), (GUTTER, GUTTER), (GUTTER, GUTTER)), mode="edge")
        h, w = padded.shape[1:]
        if x + w > width and x > 0:
            x, y, row = 0, y + row, 0
        spots.append((x, y, padded))
        corners.append((x + GUTTER - window.corner[0], y + GUTTER - window.corner[1]))
        x, row = x + w, max(row, h)
    extent = max([width, *(x + p.shape[2] for x, _, p in spots)])
    atlas = np.zeros((3, y + row, extent), np.float32)
    atlas[:, :height, :width] = block
    for x, y, picture in spots:
        atlas[:, y : y + picture.shape[1], x : x + picture.shape[2]] = picture
    return Atlas(atlas, np.array(corners, dtype=np.int64), (height, width), border)
