"""Paint a drawn head: soft-edged layers from the wall behind to the hair in front (ours)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from whodrives.avatars.headshape import Palette, Proportions, brow_line, lid_line, lip_lines, oval_radius

Floats = NDArray[np.floating]
Rng = np.random.Generator


class Canvas:
    """A picture to paint on, with face axes (x, y) for every pixel. Masks are distances in units, positive inside.

    `rgb` (H, W, 3) is the picture, `cover` (H, W) how much of it was filled: 0 where the wall still shows, 1 where not.
    """

    def __init__(self, rgb: Floats, cover: Floats, x: Floats, y: Floats, unit: float, rng: Rng) -> None:
        self.rgb, self.cover, self.x, self.y, self.unit, self.rng = rgb, cover, x, y, unit, rng

    @classmethod
    def blank(cls, side: int, unit: float, middle: Floats, tilt: float, rng: Rng) -> Canvas:
        """An empty square picture."""
        py, px = np.mgrid[0:side, 0:side].astype(np.float32) + np.float32(0.5)
        dx, dy = (px - np.float32(middle[0])) / np.float32(unit), (py - np.float32(middle[1])) / np.float32(unit)
        c, s = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
        rgb = np.zeros((side, side, 3), dtype=np.float32)
        return cls(rgb, np.zeros_like(px), dx * c + dy * s, dy * c - dx * s, unit, rng)

    def part(self, x: tuple[float, float], y: tuple[float, float]) -> Canvas:
        """The rectangle of pixels around a range of x and y; painting it paints this picture."""
        inside = (self.x > x[0]) & (self.x < x[1]) & (self.y > y[0]) & (self.y < y[1])
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return Canvas(self.rgb[box], self.cover[box], self.x[box], self.y[box], self.unit, self.rng)

    def fill(self, distance: Floats, colour: Floats, soft: float = 0.0, strength: float = 1.0) -> None:
        """Blend `colour` ((3,) or (H, W, 3)) in where `distance` > 0, anti-aliased or `soft` units wide."""
        width = max(soft, 1.5 / self.unit)
        alpha = (strength * np.clip(distance / width + 0.5, 0, 1))[..., None].astype(np.float32)
        self.rgb += alpha * (np.asarray(colour, dtype=np.float32) - self.rgb)
        self.cover += alpha[..., 0] * (1.0 - self.cover)

    def shade(self, amount: Floats) -> None:
        """Multiply by 1 + amount."""
        self.rgb *= 1.0 + amount[..., None].astype(np.float32)

    def texture(self, scale: float, stretch: float = 1.0) -> Floats:
        """Smooth noise (H, W) of unit spread; `scale` in units, `stretch` makes it longer in y."""
        sigma = scale * self.unit
        coarse = max(1, int(sigma / 2))
        height, width = self.x.shape
        cells = (height // coarse + 3, width // coarse + 3)
        noise = gaussian_filter(self.rng.standard_normal(cells), (sigma * stretch / coarse, sigma / coarse))
        noise = ((noise - noise.mean()) / (noise.std() + 1e-9)).astype(np.float32)
        # Drawn coarse and interpolated: the filter is the slow part.
        down = np.arange(height, dtype=np.float32) / coarse
        across = np.arange(width, dtype=np.float32) / coarse
        low, part = down.astype(int), (down % 1)[:, None]
        rows = noise[low] * (1 - part) + noise[low + 1] * part
        low, part = across.astype(int), across % 1
        return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def _bump(x: Floats, y: Floats, at: tuple[float, float], wide: float, high: float) -> Floats:
    return np.exp(-0.5 * (((x - at[0]) / wide) ** 2 + ((y - at[1]) / high) ** 2))


def paint_head(canvas: Canvas, shape: Proportions, palette: Palette) -> None:
    """Paint wall, hair, body, face and features on an empty canvas, in place; values end near 0..1."""
    x, y = canvas.x, canvas.y
    down = np.clip((y + 2) / 5, 0, 1)[..., None]
    canvas.rgb[:] = (1 - down) * palette.back + down * palette.back_low
    canvas.shade(0.03 * canvas.texture(0.9))
    strands = 1 + 0.16 * canvas.texture(0.025, 6.0) + 0.08 * canvas.texture(0.3)
    hair = np.clip(palette.hair, 0.03, 1) * strands[..., None]
    angle = np.arctan2(y - 0.35, x)
    radius = np.hypot(x, y - 0.35)
    outline = oval_radius(shape, angle)
    face = outline - radius

    _paint_body(canvas, shape, palette, hair)
    skin = np.clip(palette.skin, 0.08, 0.97) * np.ones_like(canvas.rgb)
    for side in (-1.0, 1.0):
        ear_x = side * (shape.half_width + 0.3 * shape.ear)
        ear = 1 - np.hypot((x - ear_x) / shape.ear, (y - 0.28) / 0.33)
        canvas.fill(0.15 * ear, 0.86 * palette.skin)
        canvas.fill(0.1 * (ear - 0.35), 0.66 * palette.skin, soft=0.08)
    # Light: from one side, less towards the outline; cheeks redder, sockets and the sides of the nose darker.
    turned = np.clip(radius / outline, 0, 1)
    nx, ny = np.cos(angle) * turned, np.sin(angle) * turned
    light = 1 + palette.contrast * (nx * palette.light[0] + ny * palette.light[1]) - 0.2 * turned**4
    light += 0.012 * canvas.texture(0.12) + 0.012 * canvas.texture(0.03)
    skin = skin * light[..., None]
    canvas.fill(face, skin)
    inside = np.clip(face * 20, 0, 1)
    for side in (-1.0, 1.0):
        blush = 0.07 * _bump(x, y, (side * 0.62, 0.55 * shape.mouth_y), 0.25, 0.2) * inside
        canvas.rgb += blush[..., None] * np.array([0.4, -0.5, -0.4]) * palette.skin.mean()
        canvas.shade(-0.13 * _bump(x, y, (side * 0.45, -0.12), 0.24, 0.1) * inside)
        canvas.shade(-0.06 * _bump(x, y, (side * 0.48, 0.17), 0.2, 0.05) * inside)
        fold = np.abs(x - side * (shape.nose_half + 0.1 + 0.35 * (y - shape.nose_tip)))
        reach = _bump(x, y, (side * 0.45, shape.nose_tip + 0.25), 0.3, 0.17)
        canvas.shade(-0.10 * np.exp(-0.5 * (fold / 0.04) ** 2) * reach)
    _paint_nose(canvas.part((-0.7, 0.7), (-0.3, shape.nose_tip + 0.35)), shape, palette)
    _paint_lips(canvas.part((-0.7, 0.7), (shape.nose_tip, shape.chin)), shape, palette)
    for side in (-1.0, 1.0):
        _paint_eye(canvas.part((side * 0.55 - 0.5, side * 0.55 + 0.5), (-0.6, 0.2)), shape, palette, side)
    _paint_hair_front(canvas, shape, hair, face)


def _paint_body(canvas: Canvas, shape: Proportions, palette: Palette, hair: Floats) -> None:
    x, y = canvas.x, canvas.y
    high = 0.35 - shape.top + shape.hair_lift
    back = 1 - np.hypot(x / (shape.half_width + shape.hair_side), (y - 0.25) / high)
    fall = np.minimum(shape.half_width + shape.hair_side + 0.04 * np.sin(4 * y) - np.abs(x), shape.hair_length - y)
    canvas.fill(np.maximum(back, np.minimum(fall, y - 0.2)), 0.75 * hair)
    neck = 0.66 + 0.5 * np.clip(y - shape.chin - 0.1, 0, None) ** 2 - np.abs(x)
    canvas.fill(np.minimum(neck, y - 0.8), 0.9 * palette.skin * np.ones_like(canvas.rgb))
    canvas.shade(-0.32 * _bump(x, y, (0.0, shape.chin + 0.05), 0.8, 0.3) * np.clip(neck * 20, 0, 1))
    slope = shape.chin + 0.45 + 0.22 * np.abs(x) ** 1.4 - 0.25 * np.exp(-((np.abs(x) - 0.75) ** 2) / 0.04)
    cloth = palette.cloth * (1 + 0.07 * canvas.texture(0.25, 2.0) + 0.03 * canvas.texture(0.03))[..., None]
    canvas.fill(np.minimum(y - slope, y - shape.chin - 0.55 + 0.9 * np.clip(np.abs(x) - 0.45, 0, None)), cloth)


def _paint_nose(canvas: Canvas, shape: Proportions, palette: Palette) -> None:
    x, y, tip = canvas.x, canvas.y, shape.nose_tip
    along = np.clip((y + 0.2) / (tip + 0.2), 0, 1) * np.clip((tip + 0.16 - y) / 0.12, 0, 1)
    width = 0.08 + 0.1 * np.clip(y / tip, 0, 1)
    lit = 0.07 + 0.3 * palette.contrast
    for side in (-1.0, 1.0):
        flank = np.exp(-0.5 * ((x - side * (width + 0.03)) / 0.05) ** 2) * along
        canvas.shade(flank * (lit * side * palette.light[0] - 0.05))
        canvas.shade(-0.2 * _bump(x, y, (side * shape.nose_half, tip + 0.02), 0.035, 0.07))
        canvas.shade(-0.55 * _bump(x, y, (side * 0.46 * shape.nose_half, tip + 0.1), 0.055, 0.025))
    canvas.shade(0.1 * np.exp(-0.5 * (x / 0.045) ** 2) * along)
    canvas.shade(0.08 * _bump(x, y, (0.0, tip - 0.02), 0.08, 0.06))
    canvas.shade(-0.18 * _bump(x, y, (0.0, tip + 0.13), 0.2, 0.035))


def _paint_lips(canvas: Canvas, shape: Proportions, palette: Palette) -> None:
    x, y = canvas.x, canvas.y
    upper, line, lower = lip_lines(shape, x)
    inside = shape.mouth_half - np.abs(x)
    lip = np.clip(palette.lip, 0.06, 0.95) * (1 + 0.03 * canvas.texture(0.03, 2.0))[..., None]
    canvas.fill(np.minimum(np.minimum(y - upper, line - y), inside), 0.85 * lip, soft=0.02)
    canvas.fill(np.minimum(np.minimum(y - line, lower - y), inside), lip, soft=0.02)
    canvas.shade(0.12 * _bump(x, y, (0.0, shape.mouth_y + 0.55 * shape.lip_lower), 0.18, 0.03))
    seam = 0.012 + 0.006 * np.clip(1 - (x / shape.mouth_half) ** 2, 0, 1)
    canvas.fill(np.minimum(seam - np.abs(y - line), inside), 0.4 * palette.lip * np.ones_like(canvas.rgb), soft=0.015)
    canvas.shade(-0.14 * _bump(x, y, (0.0, shape.mouth_y + shape.lip_lower + 0.07), 0.22, 0.04))
    canvas.shade(-0.08 * _bump(x, y, (0.0, (shape.nose_tip + 0.15 + shape.mouth_y) / 2), 0.03, 0.08))


def _paint_eye(canvas: Canvas, shape: Proportions, palette: Palette, side: float) -> None:
    x, y = canvas.x, canvas.y
    glint = 0.03 * palette.light[0]
    dark = np.clip(palette.hair * 0.5, 0.02, 0.25)
    cx = side * 0.5
    upper, lower = lid_line(shape, side, x, True), lid_line(shape, side, x, False)
    across = shape.eye_half - np.abs(x - cx)
    opening = np.minimum(np.minimum(y - upper, lower - y), across)
    white = np.array([0.9, 0.88, 0.86]) * (1 - 0.3 * np.clip(1 - (y - upper) / 0.06, 0, 1))[..., None]
    canvas.fill(opening, white * (0.75 + 0.25 * palette.skin.mean()))
    radius = np.hypot(x - cx, y + 0.02)
    iris = palette.iris * (1 + 0.5 * np.clip(radius / 0.095, 0, 1) ** 2 * (y > -0.02))[..., None]
    canvas.fill(np.minimum(0.095 - radius, opening), iris)
    canvas.fill(np.minimum(0.012 - np.abs(radius - 0.09), opening), 0.4 * palette.iris, soft=0.02, strength=0.7)
    canvas.fill(np.minimum(0.042 - radius, opening), np.array([0.03, 0.03, 0.03]))
    spot = np.hypot(x - cx - glint, y + 0.055)
    canvas.fill(np.minimum(0.02 - spot, opening), np.array([0.97, 0.97, 0.97]))
    lash = np.minimum(0.017 - np.abs(y - upper + 0.008), across + 0.01)
    canvas.fill(lash, dark, soft=0.02, strength=0.85)
    canvas.fill(np.minimum(0.008 - np.abs(y - lower), across), 0.6 * palette.skin, soft=0.02, strength=0.6)
    crease = np.minimum(0.008 - np.abs(y - upper + 0.06), across - 0.02)
    canvas.fill(crease, 0.66 * palette.skin, soft=0.03, strength=0.55)
    # Brow: thin outside, thick inside, with a few hairs' worth of texture.
    t = np.clip((0.9 - side * x) / 0.68, 0, 1)
    middle = brow_line(shape, t)[..., 1]
    thick = shape.brow_thick * (0.35 + 0.65 * np.clip(1.4 * t, 0, 1)) * np.clip((1.04 - t) / 0.12, 0, 1)
    ends = np.minimum(side * x - 0.2, 0.92 - side * x)
    hairs = np.clip(palette.hair, 0.04, 0.5)[None, None] * (0.85 + 0.2 * canvas.texture(0.02)[..., None])
    canvas.fill(np.minimum(thick - np.abs(y - middle), ends), hairs, soft=0.045, strength=0.85)


def _paint_hair_front(canvas: Canvas, shape: Proportions, hair: Floats, face: Floats) -> None:
    x, y = canvas.x, canvas.y
    high = 0.35 - shape.top + shape.hair_lift
    head = 1 - np.hypot(x / (shape.half_width + shape.hair_side), (y - 0.25) / high)
    # Hairline: an arch that is highest at the parting and comes down at the temples.
    u = (x - 0.5 * shape.parting) / shape.half_width
    line = shape.hairline + 0.95 * np.clip(np.abs(u), 0, None) ** 2.4 + 0.03 * canvas.texture(0.08)
    cover = np.minimum(line - y, head)
    canvas.shade(-0.12 * np.clip(1 - np.abs(line - y - 0.0) / 0.12, 0, 1) * np.clip(face * 12, 0, 1))
    shine = 1 + 0.25 * _bump(x, y, (0.3 * shape.parting, shape.top - 0.05), 0.6, 0.12)[..., None]
    canvas.fill(cover, hair * shine, soft=0.03)
    sides = np.minimum(np.abs(x) - shape.half_width + 0.1, shape.hair_length - y)
    # Level with the widest place of the head the hair falls straight down; above, it follows the skull.
    edge = np.where(y < 0.25, head, shape.half_width + shape.hair_side - np.abs(x))
    canvas.fill(np.minimum(np.minimum(sides, y + 0.6), edge), 0.92 * hair, soft=0.05)
