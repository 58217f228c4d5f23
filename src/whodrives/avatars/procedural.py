"""Drawn faces: a different head for every seed, with landmarks, so that nothing needs a photograph (ours)."""

from __future__ import annotations

import numpy as np

from whodrives.avatars.faces import Face
from whodrives.avatars.headpaint import Canvas, paint_head
from whodrives.avatars.headshape import Palette, Proportions, head_landmarks
from whodrives.errors import InputError


def procedural_face(seed: int, size: int = 256) -> Face:
    """Draw the head of `seed`.

    Parameters
    ----------
    seed : whole number >= 0; equal seeds give equal faces, different seeds different proportions, colours and light.
    size : side of the picture in pixels, 64 or more.

    Returns
    -------
    Face named ``procedural-<seed>``, with its matte. Every landmark that the rig uses lies where the drawing has it;
    the other indices of the mesh are spread over the inside of the face oval and mean nothing.

    Raises
    ------
    InputError
        A negative seed or a size under 64.
    """
    if seed < 0 or size < 64:
        raise InputError(f"procedural face: seed must be >= 0 and size >= 64, got seed {seed}, size {size}")
    rng = np.random.default_rng([seed, 0xFACE])
    shape, palette = Proportions.draw(rng), Palette.draw(rng)
    unit = size * rng.uniform(0.185, 0.21)
    middle = np.array([size * rng.uniform(0.485, 0.515), size * rng.uniform(0.41, 0.44)])
    tilt = rng.normal(0, 0.02)
    points = head_landmarks(shape)
    canvas = Canvas.blank(2 * size, 2 * unit, 2 * middle, tilt, rng)
    paint_head(canvas, shape, palette)
    picture = canvas.rgb.reshape(size, 2, size, 2, 3).mean(axis=(1, 3))
    cover = canvas.cover.reshape(size, 2, size, 2).mean(axis=(1, 3))
    image, matte = (np.clip(np.rint(layer * 255), 0, 255).astype(np.uint8) for layer in (picture, cover))
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    landmarks = np.concatenate([points[:, :2] @ turn * unit + middle, points[:, 2:] * unit], axis=1)
    points = landmarks.astype(np.float32)
    return Face(f"procedural-{seed}", image, points, "Apache-2.0", "drawn by whodrives", matte)
