"""The texture of a head: skin, lips, brows, lashes, hair, eyes, mouth and clothes, painted by place (ours)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.cgheads import atlas
from whodrives.avatars.cgheads.cache import HeadKit
from whodrives.avatars.cgheads.eyes import BALL, IRIS, RINGS
from whodrives.avatars.cgheads.hair import coverage
from whodrives.avatars.cgheads.look import Look
from whodrives.avatars.cgheads.places import BROW_LOWER_Y, BROW_UPPER_Y, BROW_X

Floats = NDArray[np.float64]
Rng = np.random.Generator


def noise(rng: Rng, size: int, cells: int) -> Floats:
    """Smooth noise (size, size), mean 0 and about unit spread, with `cells` bumps across."""
    grid = rng.normal(size=(cells + 3, cells + 3))
    at = np.linspace(0, cells, size, endpoint=False) + 1
    low = np.floor(at).astype(int)
    t = at - low
    # Cubic B-spline weights: smooth, and never overshooting.
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    rows = sum(weights[k][:, None] * grid[low + k - 1] for k in range(4))
    field = sum(weights[k][None] * rows[:, low + k - 1] for k in range(4))
    return np.asarray(field / 0.6)


def blend(under: Floats, over: Floats, share: Floats) -> Floats:
    """`over` (3,) or (..., 3) laid on `under` with opacity `share` (...)."""
    opacity = np.clip(share, 0, 1)[..., None]
    return under * (1 - opacity) + over * opacity


def spot(place: Floats, x: float, y: float, wide: float, high: float) -> Floats:
    """A soft spot on both sides of the face."""
    return np.exp(-(((np.abs(place[..., 0]) - x) / wide) ** 2) - ((place[..., 1] - y) / high) ** 2)


def paint(kit: HeadKit, look: Look) -> NDArray[np.uint8]:
    """The atlas of one head, uint8 (S, S, 3)."""
    rng = np.random.default_rng([look.seed, 0x9A17])
    place = kit.place.astype(np.float64)
    masks = kit.masks.astype(np.float64) / 255
    size = place.shape[0]
    front = np.clip((0.75 - place[..., 2]) / 0.3, 0, 1)
    grain, mottle, broad = noise(rng, size, size // 2), noise(rng, size, size // 12), noise(rng, size, size // 40)
    rgb = _skin(look, place, masks, front, rng, (grain, mottle, broad))
    rgb = _beard(rgb, look, place, masks, front, grain)
    rgb = _lips(rgb, look, masks, mottle)
    rgb = _brows(rgb, look, place, front, rng)
    rgb = _lashes(rgb, look, place, masks)
    strands = _strands(place, rng)
    hair = look.hair * np.exp(0.28 * strands + 0.1 * mottle)[..., None]
    not_ear = 1 - masks[..., 2]
    rgb = blend(rgb, np.clip(hair, 0, 1), look.cover * coverage(place, look, 0.16) * not_ear)
    rgb = _clothes(rgb, look, place, broad)
    out = np.clip(rgb, 0, 1)
    _patches(out, look, rng)
    return np.asarray(np.rint(out * 255), dtype=np.uint8)


def _skin(
    look: Look, place: Floats, masks: Floats, front: Floats, rng: Rng, fields: tuple[Floats, Floats, Floats]
) -> Floats:
    grain, mottle, broad = fields
    # Neck and scalp have few texels, where noise would show as streaks.
    face = np.clip((1.9 - place[..., 1]) / 0.3, 0, 1)
    grain, mottle = grain * face, mottle * (0.3 + 0.7 * face)
    rgb = look.skin * np.exp(0.018 * grain + 0.022 * mottle + 0.02 * broad)[..., None]
    red = np.array([1.06, 0.86, 0.85])
    flush = spot(place, 0.62, 0.62, 0.34, 0.26) + 0.8 * spot(place, 0.0, 0.7, 0.24, 0.2) + 0.7 * masks[..., 2]
    flush = flush + 0.35 * spot(place, 0.0, 1.65, 0.4, 0.25)
    rgb = rgb * (1 + (red - 1) * np.clip(0.9 * look.ruddy * flush * (1 + 0.4 * mottle), 0, 1.4)[..., None])
    # Under the eyes and in the sockets the skin is thin.
    thin = 0.7 * spot(place, 0.5, 0.22, 0.26, 0.09) + 0.6 * spot(place, 0.5, -0.1, 0.3, 0.08)
    rgb = rgb * (1 - (0.1 + 0.1 * look.wrinkles) * np.clip(thin * front, 0, 1)[..., None] * np.array([0.8, 1.0, 0.85]))
    hollow = masks[..., 3] * np.clip((2.1 - place[..., 1]) / 0.5, 0, 1)
    rgb = rgb * (1 - (0.3 + 0.25 * look.wrinkles) * hollow[..., None] * np.array([0.85, 1.0, 1.0]))
    # Nostrils.
    dark = np.exp(-(((np.abs(place[..., 0]) - 0.13) / 0.055) ** 2) - ((place[..., 1] - 0.85) / 0.03) ** 2)
    rgb = rgb * (1 - 0.5 * np.clip(dark * np.clip((place[..., 2] + 0.62) / 0.06, 0, 1) * front, 0, 1))[..., None]
    lines = np.sin(place[..., 1] * 42 + 2.0 * broad + 3 * np.abs(place[..., 0])) ** 8
    brow = spot(place, 0.0, -0.72, 0.55, 0.22) * front
    crow = spot(place, 0.86, 0.03, 0.09, 0.16) * front
    rgb = rgb * (1 - 0.14 * look.wrinkles * np.clip(lines * (brow + crow), 0, 1))[..., None]
    if look.freckles > 0:
        dots = np.clip((noise(rng, place.shape[0], place.shape[0] // 5) - 1.3) / 0.5, 0, 1)
        where = np.clip(spot(place, 0.45, 0.45, 0.5, 0.3) + 0.4 * spot(place, 0.0, -0.6, 0.7, 0.3), 0, 1)
        rgb = blend(rgb, look.skin * np.array([0.72, 0.56, 0.46]), 0.7 * look.freckles * dots * where * front)
    for _ in range(int(rng.integers(0, 5))):
        x, y, wide = rng.uniform(-0.95, 0.95), rng.uniform(-0.9, 1.7), rng.uniform(0.015, 0.03)
        mole = np.exp(-((place[..., 0] - x) ** 2 + (place[..., 1] - y) ** 2) / wide**2)
        rgb = blend(rgb, look.skin * 0.4, 0.7 * mole * front)
    return rgb


def _beard(rgb: Floats, look: Look, place: Floats, masks: Floats, front: Floats, grain: Floats) -> Floats:
    if look.stubble <= 0:
        return rgb
    x, y = np.abs(place[..., 0]), place[..., 1]
    jaw = np.clip((y - (1.35 - 0.75 * np.clip((x - 0.5) / 0.45, 0, 1))) / 0.14, 0, 1)
    moustache = np.exp(-(((y - 1.0) / 0.085) ** 2)) * np.clip((0.5 - x) / 0.1, 0, 1)
    area = np.clip(np.maximum(jaw, moustache), 0, 1) * np.clip((2.05 - y) / 0.2, 0, 1)
    area = area * np.clip((1.15 - place[..., 2]) / 0.25, 0, 1) * (1 - masks[..., 1]) * (1 - masks[..., 2])
    full = look.stubble > 0.6
    colour = 0.75 * look.hair + 0.25 * look.brow if full else 0.55 * look.skin + 0.25 * look.brow
    share = (0.85 if full else 0.3 + look.stubble) * area * (1 + 0.18 * grain)
    return blend(rgb, colour * np.exp(0.15 * grain)[..., None], share)


def _lips(rgb: Floats, look: Look, masks: Floats, mottle: Floats) -> Floats:
    rgb = blend(rgb, look.lip * np.exp(0.04 * mottle)[..., None], 0.9 * masks[..., 1])
    seam = np.clip((masks[..., 5] - 0.72) / 0.24, 0, 1)
    return blend(rgb, look.lip * 0.3, 0.75 * seam)


def _brows(rgb: Floats, look: Look, place: Floats, front: Floats, rng: Rng) -> Floats:
    x, y = np.abs(place[..., 0]), place[..., 1] - look.brow_lift
    order = np.argsort(BROW_X)
    at = np.array(BROW_X)[order]
    upper = np.interp(x, at, np.array(BROW_UPPER_Y)[order])
    lower = np.interp(x, at, np.array(BROW_LOWER_Y)[order])
    middle, half = (upper + lower) / 2, look.brow_thick * (lower - upper) / 2
    ends = np.clip((x - 0.2) / 0.1, 0, 1) * np.clip((1.0 - x) / 0.16, 0, 1)
    body = np.exp(-((np.abs(y - middle) / np.maximum(0.9 * half, 1e-3)) ** 3)) * ends
    slant = np.sin(95 * (x + 0.9 * (y - middle)) + 3 * noise(rng, place.shape[0], 60))
    return blend(rgb, look.brow, look.brow_dark * body * front * (0.82 + 0.18 * slant))


def _lashes(rgb: Floats, look: Look, place: Floats, masks: Floats) -> Floats:
    close = masks[..., 4]
    upper = place[..., 1] < 0.02
    line = np.clip((close - np.where(upper, 0.7, 0.8)) / 0.15, 0, 1) * np.where(upper, 0.9, 0.3)
    rgb = blend(rgb, look.skin * np.array([0.92, 0.68, 0.66]), 0.5 * np.clip((close - 0.9) / 0.1, 0, 1) * ~upper)
    return blend(rgb, look.brow * 0.5, line)


def _strands(place: Floats, rng: Rng) -> Floats:
    """Streaks that run from the crown outwards, mean 0."""
    crown = place - np.array([0.1, -2.0, 1.5])
    around = np.arctan2(crown[..., 0], -crown[..., 2]) + 0.25 * np.sin(2.0 * place[..., 1])
    table = np.convolve(rng.normal(size=700), [0.25, 0.5, 0.25], "same") + 0.5 * np.repeat(rng.normal(size=100), 7)
    return np.asarray(np.interp(np.mod(around / (2 * np.pi), 1.0), np.linspace(0, 1, 700), table))


def _clothes(rgb: Floats, look: Look, place: Floats, broad: Floats) -> Floats:
    x, y = np.abs(place[..., 0]), place[..., 1]
    edge = look.neckline - 0.6 * np.clip((place[..., 2] - 0.3) / 1.3, 0, 1) - 0.1 * np.clip(x, 0, 1)
    cloth = look.cloth * np.exp(0.04 * broad)[..., None]
    if look.curl > 0.75:
        cloth = blend(cloth, look.stripe, np.clip(np.sin(place[..., 1] * 14) * 4, 0, 1))
    return blend(rgb, cloth, (y - edge) / 0.12)


def _patches(out: Floats, look: Look, rng: Rng) -> None:
    """Eyes, mouth, teeth, tongue and hanging hair, in place."""
    size = out.shape[0]

    def area(box: tuple[float, float, float, float]) -> tuple[slice, slice, Floats, Floats]:
        left, top, right, bottom = (round(edge * size) for edge in box)
        y, x = np.mgrid[top:bottom, left:right]
        across = (x + 0.5 - left) / (right - left)
        return slice(top, bottom), slice(left, right), across, (y + 0.5 - top) / (bottom - top)

    rows, columns, u, v = area(atlas.EYE)
    polar = RINGS[-1] * 2 * np.hypot(u - 0.5, v - 0.5)
    turn = np.arctan2(v - 0.5, u - 0.5)
    edge = float(np.arcsin(IRIS / BALL))
    white = np.array([0.86, 0.84, 0.82]) * (1 - 0.12 * np.clip(polar - edge, 0, 1))[..., None]
    white = blend(white, np.array([0.72, 0.45, 0.42]), 0.35 * np.clip((polar - 0.75) / 0.5, 0, 1))
    rays = np.interp(np.mod(turn / (2 * np.pi), 1), np.linspace(0, 1, 60), rng.normal(size=60))
    iris = look.iris * (1 + 0.18 * rays + 0.5 * np.clip(1 - np.abs(polar / edge - 0.55) / 0.3, 0, 1))[..., None]
    iris = iris * (1 - 0.65 * np.clip((polar / edge - 0.8) / 0.2, 0, 1))[..., None]
    ball = blend(white, np.clip(iris, 0, 1), (edge - polar) / 0.04 + 0.5)
    out[rows, columns] = blend(ball, np.array([0.015, 0.015, 0.02]), (0.42 * edge - polar) / 0.03 + 0.5)
    rows, columns, u, v = area(atlas.MOUTH)
    out[rows, columns] = np.array([0.24, 0.08, 0.08]) * (1.0 - 0.85 * np.clip(v * 1.6, 0, 1))[..., None]
    rows, columns, u, v = area(atlas.TEETH)
    tooth = np.array([0.82, 0.78, 0.7]) * (0.55 + 0.45 * np.sin(np.pi * u))[..., None]
    gaps = np.clip(np.abs(np.sin(u * np.pi * 10)) * 6, 0.55, 1)
    out[rows, columns] = blend(tooth * gaps[..., None], np.array([0.55, 0.27, 0.27]), (0.35 - v) / 0.1)
    rows, columns, u, v = area(atlas.TONGUE)
    out[rows, columns] = np.array([0.5, 0.22, 0.22]) * (1.0 - 0.8 * v)[..., None]
    rows, columns, u, v = area(atlas.HAIR)
    streaks = np.interp(u + 0.01 * np.sin(9 * v), np.linspace(0, 1, 260), rng.normal(size=260))
    shade = 0.28 * streaks - 0.25 * np.exp(-(((u - 0.5) / 0.28) ** 2))
    out[rows, columns] = np.clip(look.hair * np.exp(shade)[..., None], 0, 1)
