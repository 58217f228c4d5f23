"""Cut a person out of a picture taken in front of an even green or blue screen (ours)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label
from scipy.spatial import ConvexHull, QhullError

Floats = NDArray[np.floating]

# A screen's own channel must stand out by this share of its brightness; walls and skin do not.
SATURATION = 0.22
# Share of the border above the shoulders that must show the screen.
BORDER_SHARE = 0.75
# Share of the face that may look like the screen before the picture is refused.
FACE_SHARE = 0.1


def chroma_matte(image: NDArray[np.uint8], landmarks: NDArray[np.floating] | None = None) -> NDArray[np.uint8] | None:
    """Soft matte of a person in front of an even screen.

    Where the upper border shows one strong green or blue, lit evenly or not, every pixel's share of screen is how far
    its screen channel stands out from the others, against how far it does on the screen nearby.

    Parameters
    ----------
    image : uint8 (H, W, 3) RGB. landmarks : (K, 2 or 3) points of the face in pixels; their convex hull is never cut.

    Returns
    -------
    uint8 (H, W), 255 where the picture shows the person, 0 where it shows the screen; None where there is no such
    screen (also where the face itself has its colour).
    """
    height, width = image.shape[:2]
    if min(height, width) < 16:
        return None
    picture = image.astype(np.float32) / 255.0
    border = _upper_border(height, width)
    colour = np.median(picture[border], axis=0)
    channel = int(colour.argmax())
    if channel == 0:  # red is the colour of skin
        return None
    excess = picture[..., channel] - np.delete(picture, channel, axis=2).max(axis=2)
    # Against the pixel's own brightness: the same on the screen's lit and shaded parts.
    purity = excess / np.maximum(picture[..., channel], 0.06)
    pure = float(np.median(purity[border]))
    if pure < SATURATION or colour[channel] < 0.1:
        return None
    screen = purity > 0.7 * pure
    if screen[border].mean() < BORDER_SHARE:
        return None
    face = None if landmarks is None else _hull(np.asarray(landmarks, dtype=np.float64)[:, :2], height, width)
    if face is not None and face.any() and screen[face].mean() > FACE_SHARE:
        return None
    # What touches the border is the screen; the same colour elsewhere may be a gap in the hair.
    parts, _ = label(screen)
    outside = np.isin(parts, np.unique(parts[border & screen])) & screen
    local = _spread(excess, outside)
    share = np.clip((excess / np.maximum(local, 0.02) - 0.05) / 0.9, 0.0, 1.0)
    # Deep shadow on the screen: darker than the screen nearby, but as pure.
    shaded = np.clip((purity / pure - 0.75) / 0.15, 0.0, 1.0) * (picture[..., channel] > 0.1)
    share = np.maximum(share, shaded * gaussian_filter(outside.astype(np.float32), 1.0))
    if face is not None:
        share[face] = 0.0
    matte = 1.0 - share
    if not 0.05 < matte.mean() < 0.95:
        return None
    return np.rint(matte * 255).astype(np.uint8)


def _upper_border(height: int, width: int) -> NDArray[np.bool_]:
    """Top corners and the upper half of both sides: where a portrait shows what is behind the person."""
    deep = max(2, round(0.03 * min(height, width)))
    border = np.zeros((height, width), dtype=bool)
    border[: height // 2, :deep] = border[: height // 2, -deep:] = True
    border[:deep, : width // 3] = border[:deep, -(width // 3) :] = True
    return border


def _spread(values: Floats, where: NDArray[np.bool_]) -> Floats:
    """`values` at the places in `where`, carried smoothly to all others."""
    out = np.full(values.shape, float(values[where].mean()))
    weight = where.astype(np.float64)
    # From coarse to fine: near the screen its own light counts, far from it the mean.
    for sigma in (0.12, 0.04, 0.015):
        reach = sigma * max(values.shape)
        total = gaussian_filter(weight, reach, mode="nearest")
        near = gaussian_filter(np.where(where, values, 0.0), reach, mode="nearest") / np.maximum(total, 1e-6)
        sure = np.clip(total / 0.1, 0.0, 1.0)
        out += sure * (near - out)
    return out


def _hull(points: Floats, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels inside the convex hull of points (K, 2)."""
    try:
        sides = ConvexHull(points).equations
    except QhullError:
        return np.zeros((height, width), dtype=bool)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    inside = np.ones((height, width), dtype=bool)
    for a, b, c in sides:
        inside &= a * x + b * y + c <= 1.0  # a pixel beyond: all that hold a point
    return inside
