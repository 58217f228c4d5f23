"""The shape and colours of a drawn head: proportions, palette, outline curves and the landmarks on them (ours)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars import facepoints as fp

Floats = NDArray[np.floating]
Rng = np.random.Generator


@dataclass(frozen=True)
class Proportions:
    """Geometry of one head in face axes: origin between the eyes, x right, y down, unit = inter-ocular distance."""

    half_width: float  # of the face at its widest
    top: float  # hairline landmark, above the eyes (negative)
    chin: float
    jaw: float  # squareness of the jaw, 2 = ellipse
    eye_half: float
    eye_upper: float
    eye_lower: float
    eye_slant: float
    brow_height: float
    brow_arch: float
    brow_thick: float
    nose_tip: float
    nose_half: float
    mouth_y: float
    mouth_half: float
    lip_upper: float
    lip_lower: float
    cupid: float
    ear: float
    hair_lift: float  # hair above the head
    hair_side: float
    hair_length: float  # where hair at the sides ends, in y
    hairline: float
    parting: float

    @classmethod
    def draw(cls, rng: Rng) -> Proportions:
        """One head."""

        def between(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        long_hair = rng.random() < 0.45
        nose_tip = between(0.52, 0.64)
        mouth_y = nose_tip + between(0.47, 0.58)
        return cls(
            half_width=between(1.04, 1.2), top=between(-0.98, -0.8), chin=mouth_y + between(0.66, 0.8),
            jaw=between(2.0, 2.7), eye_half=between(0.2, 0.24), eye_upper=between(0.075, 0.115),
            eye_lower=between(0.04, 0.06), eye_slant=between(-0.03, 0.03), brow_height=between(-0.36, -0.26),
            brow_arch=between(0.03, 0.1), brow_thick=between(0.03, 0.065), nose_tip=nose_tip,
            nose_half=between(0.24, 0.33), mouth_y=mouth_y, mouth_half=between(0.37, 0.47),
            lip_upper=between(0.07, 0.12), lip_lower=between(0.1, 0.17), cupid=between(0.01, 0.03),
            ear=between(0.1, 0.2), hair_lift=between(0.18, 0.42), hair_side=between(0.04, 0.22),
            hair_length=between(1.2, 2.6) if long_hair else between(-0.1, 0.5), hairline=between(-0.8, -0.55),
            parting=between(-0.45, 0.45),
        )  # fmt: skip


@dataclass(frozen=True)
class Palette:
    """Colours (3,) in 0..1 and light of one picture."""

    skin: Floats
    hair: Floats
    iris: Floats
    lip: Floats
    cloth: Floats
    back: Floats
    back_low: Floats
    light: tuple[float, float]
    contrast: float

    @classmethod
    def draw(cls, rng: Rng) -> Palette:
        """One set of colours: skin from very light to very dark, natural hair and eyes, any clothes and wall."""
        tone = rng.uniform(0.0, 1.0)
        fair, deep = np.array([0.93, 0.76, 0.67]), np.array([0.36, 0.23, 0.17])
        skin = (1 - tone) * fair + tone * deep + rng.normal(0, 0.015, 3)
        dark = [[0.08, 0.06, 0.05], [0.2, 0.13, 0.09], [0.36, 0.24, 0.14]]
        shades = np.array([*dark, [0.68, 0.53, 0.32], [0.45, 0.2, 0.1], [0.55, 0.54, 0.53]])
        darkest = 3 if tone > 0.55 else len(shades)
        hair = shades[rng.integers(darkest)] * rng.uniform(0.8, 1.2)
        eyes = np.array([[0.2, 0.12, 0.07], [0.3, 0.2, 0.1], [0.3, 0.42, 0.55], [0.32, 0.42, 0.26], [0.4, 0.4, 0.4]])
        iris = eyes[rng.integers(2 if tone > 0.5 else len(eyes))] * rng.uniform(0.8, 1.2)
        lip = skin * np.array([0.88, 0.62, 0.62]) + np.array([0.05, 0.0, 0.01]) + rng.normal(0, 0.015, 3)
        back = rng.uniform(0.15, 0.9) + rng.normal(0, 0.09, 3)
        angle = rng.uniform(-1.1, 1.1)
        return cls(
            skin=skin, hair=hair, iris=iris, lip=lip, cloth=rng.uniform(0.08, 0.8, 3), back=back,
            back_low=back * rng.uniform(0.7, 1.1), light=(float(np.sin(angle)), float(-0.6 * np.cos(angle))),
            contrast=float(rng.uniform(0.1, 0.28)),
        )  # fmt: skip


def oval_radius(shape: Proportions, angle: Floats) -> Floats:
    """Distance of the face outline from its centre (0, 0.35); angle 0 = right, pi/2 = down."""
    c, s = np.abs(np.cos(angle)), np.sin(angle)
    reach = np.where(s > 0, shape.chin - 0.35, 0.35 - shape.top)
    power = np.where(s > 0, shape.jaw, 2.1)
    return ((c / shape.half_width) ** power + (np.abs(s) / reach) ** power) ** (-1.0 / power)


def lid_line(shape: Proportions, side: float, x: Floats, upper: bool) -> Floats:
    """y of a lid at x (side -1 = left of the image); peaks towards the nose above and outwards below."""
    u = np.clip((x - side * 0.5) / shape.eye_half, -1, 1)
    bulge = np.clip(1 - np.abs(u + (0.12 if upper else -0.12) * side * (1 - u**2)) ** 2.2, 0, None)
    height = -shape.eye_upper if upper else shape.eye_lower
    return height * bulge + shape.eye_slant * u * side


def brow_line(shape: Proportions, t: Floats) -> Floats:
    """Middle line of the brow, t = 0 at its outer and 1 at its inner end: (|x|, y) in (..., 2)."""
    x = 0.9 - 0.68 * t
    y = shape.brow_height + 0.1 * (1 - t) ** 2 - shape.brow_arch * np.sin(np.pi * np.clip(t, 0, 1) ** 0.8)
    return np.stack([x, y], axis=-1)


def lip_lines(shape: Proportions, x: Floats) -> tuple[Floats, Floats, Floats]:
    """y of the upper edge, the line between and the lower edge of the lips at x."""
    u = np.clip(x / shape.mouth_half, -1, 1)
    arch = np.clip(1 - u**2, 0, None)
    line = shape.mouth_y + 0.015 * u**2
    upper = line - shape.lip_upper * arch**0.9 + shape.cupid * np.exp(-((u / 0.14) ** 2))
    return upper, line, line + shape.lip_lower * arch**0.8


def head_landmarks(shape: Proportions) -> Floats:
    """478 landmarks in face axes (x, y, z)."""
    points = np.zeros((fp.LANDMARKS, 3))
    # The rest of the mesh: a sunflower over the face.
    order = np.arange(fp.LANDMARKS)
    angle: Floats = order * np.pi * (3 - np.sqrt(5))
    radius = 0.95 * np.sqrt((order + 0.5) / fp.LANDMARKS) * oval_radius(shape, angle)
    points[:, 0], points[:, 1] = radius * np.cos(angle), 0.35 + radius * np.sin(angle)

    def put(indices: tuple[int, ...] | int, x: Floats | float, y: Floats | float) -> None:
        where = list(indices) if isinstance(indices, tuple) else indices
        points[where, 0], points[where, 1] = x, y

    around: Floats = -np.pi / 2 + 2 * np.pi * np.arange(len(fp.OVAL)) / len(fp.OVAL)
    reach = oval_radius(shape, around)
    put(fp.OVAL, reach * np.cos(around), 0.35 + reach * np.sin(around))
    for side, upper, lower, iris in (
        (-1.0, fp.EYE_LEFT_UPPER, fp.EYE_LEFT_LOWER, fp.IRIS_LEFT),
        (1.0, fp.EYE_RIGHT_UPPER, fp.EYE_RIGHT_LOWER, fp.IRIS_RIGHT),
    ):
        x = side * (0.5 + shape.eye_half * np.linspace(1, -1, len(upper)))
        put(upper, x, lid_line(shape, side, x, True))
        put(lower, x, lid_line(shape, side, x, False))
        put(iris, side * 0.5 + 0.095 * np.array([0, 1, 0, -1, 0]), -0.02 + 0.095 * np.array([0, 0, -1, 0, 1]))
    brow = brow_line(shape, np.linspace(0, 1, 5))
    for side, above, below in (
        (-1.0, fp.BROW_LEFT_UPPER, fp.BROW_LEFT_LOWER),
        (1.0, fp.BROW_RIGHT_UPPER, fp.BROW_RIGHT_LOWER),
    ):
        put(above, side * brow[:, 0], brow[:, 1] - shape.brow_thick)
        put(below, side * brow[:, 0], brow[:, 1] + shape.brow_thick)
    x = shape.mouth_half * np.linspace(-1, 1, len(fp.LIP_OUTER_UPPER))
    edge, _, bottom = lip_lines(shape, x)
    put(fp.LIP_OUTER_UPPER, x, edge)
    put(fp.LIP_OUTER_LOWER, x, bottom)
    inner = 0.9 * x
    put(fp.LIP_INNER_UPPER, inner, lip_lines(shape, inner)[1])
    put(fp.LIP_INNER_LOWER, inner, lip_lines(shape, inner)[1] + 0.005)
    tip = shape.nose_tip
    put(fp.NOSE_RIDGE, 0.0, np.array([-0.1, 0.05, 0.3 * tip, 0.55 * tip, 0.8 * tip, 0.9 * tip, tip, tip + 0.11]))
    put(fp.FOREHEAD, 0.0, shape.top + 0.2)
    put(fp.GLABELLA, 0.0, -0.26)
    put(fp.CHIN_BOSS, 0.0, shape.chin - 0.25)
    put(fp.BELOW_LIP, 0.0, shape.mouth_y + shape.lip_lower + 0.1)
    for side, ala, cheek, bone, fold in (
        (-1.0, fp.ALA_LEFT, fp.CHEEK_LEFT, fp.CHEEKBONE_LEFT, fp.FOLD_LEFT),
        (1.0, fp.ALA_RIGHT, fp.CHEEK_RIGHT, fp.CHEEKBONE_RIGHT, fp.FOLD_RIGHT),
    ):
        put(ala, side * shape.nose_half, tip + 0.02)
        put(cheek, side * 0.62, 0.55 * shape.mouth_y)
        put(bone, side * 0.6, 0.32)
        put(fold, side * 0.56, 0.75 * shape.mouth_y)
    # Depth of a half ellipsoid with a nose, negative towards the camera.
    rho = (points[:, 0] / 1.3) ** 2 + ((points[:, 1] - 0.4) / 1.7) ** 2
    points[:, 2] = 0.5 - np.sqrt(np.clip(1 - rho, 0, None))
    points[:, 2] -= 0.35 * np.exp(-((points[:, 0] / 0.2) ** 2) - ((points[:, 1] - tip) / 0.3) ** 2)
    return points
