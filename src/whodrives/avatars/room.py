"""Draw what is behind people at their webcams: walls, windows, shelves, lamps, out of focus or not (ours)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rng = np.random.Generator


def draw_room(seed: int, side: int) -> Floats:
    """The room of `seed`, float32 (3, side, side) RGB in 0..1; the same room at every size."""
    rng = np.random.default_rng([seed, 0x4003])
    room = _Room(side, soft=float(np.exp(rng.uniform(np.log(0.004), np.log(0.05)))))
    _wall(room, rng)
    things = [_window, _shelf, _frame, _curtain, _door, _panel]
    # A third of the rooms is a bare wall; furniture first, lights over it.
    count = 0 if rng.random() < 0.33 else int(rng.integers(1, 4))
    for number in rng.permutation(len(things))[:count]:
        things[number](room, rng)
    small: list[Callable[[_Room, Rng], None]] = [_lamp, _plant, _bokeh]
    for thing in small:
        if count and rng.random() < 0.3:
            thing(room, rng)
    _light(room, rng)
    return room.rgb.clip(0.0, 1.0)


class _Room:
    """A picture (3, S, S) with places 0..1; `soft` is the width of edges as a share of the side (out of focus)."""

    def __init__(self, side: int, soft: float) -> None:
        self.side = side
        self.at = ((np.arange(side) + 0.5) / side).astype(np.float32)
        self.soft = max(soft, 1.2 / side)
        self.rgb = np.zeros((3, side, side), dtype=np.float32)

    def band(self, low: float, high: float) -> Floats:
        """1 between two places along an axis, soft at both ends, (S,)."""
        inside = np.minimum(self.at - low, high - self.at) / self.soft + 0.5
        return inside.clip(0.0, 1.0).astype(np.float32)

    def blend(self, mask: NDArray[np.floating], colour: NDArray[np.floating]) -> None:
        """Lay a colour, (3,) or (3, S) across or (3, S, S), over the picture where the mask (S, S) says."""
        colour, mask = np.asarray(colour, dtype=np.float32), np.asarray(mask, dtype=np.float32)
        shape = {1: (3, 1, 1), 2: (3, 1, self.side), 3: self.rgb.shape}[colour.ndim]
        self.rgb += mask * (colour.reshape(shape) - self.rgb)

    def box(
        self, x: tuple[float, float], y: tuple[float, float], colour: NDArray[np.floating], strength: float = 1.0
    ) -> None:
        """A rectangle."""
        self.blend(np.float32(strength) * np.outer(self.band(*y), self.band(*x)), colour)

    def disc(self, x: float, y: float, radius: float, colour: NDArray[np.floating], strength: float = 1.0) -> None:
        """A soft disc."""
        apart = np.hypot(self.at[None] - np.float32(x), self.at[:, None] - np.float32(y))
        mask = ((radius - apart) / self.soft + 0.5).clip(0.0, 1.0).astype(np.float32)
        self.blend(np.float32(strength) * mask, colour)

    def glow(self, x: float, y: float, wide: float, high: float, amount: float) -> None:
        """Light (or shadow, where negative) around a place, as a share of what is there."""
        across = np.exp(-0.5 * ((self.at - x) / wide) ** 2)
        along = np.exp(-0.5 * ((self.at - y) / high) ** 2)
        self.rgb *= 1.0 + np.float32(amount) * np.outer(along, across).astype(np.float32)

    def grain(self, rng: Rng, cells: int, amount: float) -> None:
        """Smooth uneven light of `cells` cells across, the same at every size."""
        values = rng.standard_normal((cells, cells)).astype(np.float32)
        apart = (self.at[:, None] * cells - 0.5 - np.arange(cells, dtype=np.float32)) / 0.7
        weights = np.exp(-0.5 * apart**2).astype(np.float32)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        # By torch, whose threads a worker process holds to one: numpy's BLAS would start its own and wait for them.
        spread = torch.from_numpy(weights)
        self.rgb *= 1.0 + np.float32(amount) * (spread @ torch.from_numpy(values) @ spread.T).numpy()


def _paint(rng: Rng, low: float, high: float, tint: float = 0.05) -> Floats:
    """A colour of some brightness, near grey, rather warm than cold."""
    level = rng.uniform(low, high)
    warm = rng.normal(0.02, tint)
    return (level * (1.0 + np.array([warm, rng.normal(0.0, 0.4 * tint), -warm]))).astype(np.float32)


def _wall(room: _Room, rng: Rng) -> None:
    lively = rng.random() < 0.25
    first = _paint(rng, 0.25, 0.85, 0.3 if lively else 0.07)
    second = first * np.float32(rng.uniform(0.75, 1.15))
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * (room.at[None] - 0.5) + np.sin(angle) * (room.at[:, None] - 0.5) + 0.5
    along = along.clip(0, 1).astype(np.float32)
    room.rgb[:] = first[:, None, None] * (1 - along) + second[:, None, None] * along
    if rng.random() < 0.3:  # a corner of the room: one wall darker
        edge = rng.uniform(0.05, 0.95)
        room.box((-1, edge) if rng.random() < 0.5 else (edge, 2), (-1, 2), first * np.float32(rng.uniform(0.7, 0.95)))
    if rng.random() < 0.3:  # tiles, bricks or paper with a pattern
        pitch = rng.uniform(0.03, 0.1)
        lines = (np.cos(2 * np.pi * room.at / pitch) > 0.9).astype(np.float32)
        fade = np.float32(rng.uniform(0.03, 0.1) * np.exp(-room.soft / pitch))
        room.rgb *= 1.0 - fade * (lines[None] if rng.random() < 0.5 else np.maximum(lines[None], lines[:, None]))


def _beside(rng: Rng, wide: float) -> float:
    """Left edge of a thing that shows beside the head, some of it perhaps outside the picture."""
    left = rng.uniform(-0.4 * wide, 0.08)
    return float(left if rng.random() < 0.5 else 1.0 - wide - left)


def _window(room: _Room, rng: Rng) -> None:
    wide, high = rng.uniform(0.25, 0.5), rng.uniform(0.35, 0.8)
    x, y = _beside(rng, wide), rng.uniform(-0.15, 0.15)
    day = rng.uniform(0.75, 1.0) if rng.random() < 0.75 else rng.uniform(0.05, 0.2)
    sky = (day * np.array([0.93, 0.98, 1.05])).astype(np.float32)
    room.box((x - 0.02, x + wide + 0.02), (y - 0.02, y + high + 0.02), _paint(rng, 0.5, 0.95, 0.03))
    room.box((x, x + wide), (y, y + high), sky)
    if rng.random() < 0.5:  # something green or grey outside
        room.box((x, x + wide), (y + rng.uniform(0.4, 0.8) * high, y + high), sky * _paint(rng, 0.4, 0.8, 0.1))
    if rng.random() < 0.4:  # blinds
        slats = 0.5 + 0.5 * np.cos(2 * np.pi * room.at / rng.uniform(0.025, 0.05))
        room.blend(np.outer(slats * room.band(y, y + high), room.band(x, x + wide)) * 0.6, _paint(rng, 0.5, 0.9, 0.03))
    else:
        bars = _paint(rng, 0.4, 0.9, 0.03)
        room.box((x + wide / 2 - 0.008, x + wide / 2 + 0.008), (y, y + high), bars)
        room.box((x, x + wide), (y + high / 2 - 0.006, y + high / 2 + 0.006), bars, 0.8)
    if day > 0.5:
        room.glow(x + wide / 2, y + high / 2, 0.8 * wide, 0.7 * high, rng.uniform(0.05, 0.3))


def _shelf(room: _Room, rng: Rng) -> None:
    wide = rng.uniform(0.3, 0.9)
    x, y, high = _beside(rng, wide), rng.uniform(-0.1, 0.15), rng.uniform(0.5, 1.1)
    wood = _paint(rng, 0.12, 0.8, 0.15)
    room.box((x, x + wide), (y, y + high), 0.55 * wood)
    rows = int(rng.integers(2, 6))
    step = high / rows
    for row in range(rows):
        top = y + row * step
        edges = x + np.cumsum(rng.uniform(0.012, 0.05, 80))
        books = np.stack([_paint(rng, 0.1, 0.8, 0.25) for _ in range(81)], axis=1)
        books[:, rng.random(81) < 0.2] = 0.5 * wood[:, None]  # gaps
        spines = books[:, np.searchsorted(edges, room.at)]
        filled = room.band(x + 0.02, x + wide * rng.uniform(0.4, 0.98))
        room.blend(np.outer(room.band(top + rng.uniform(0.2, 0.4) * step, top + step - 0.012), filled), spines)
        room.box((x, x + wide), (top + step - 0.015, top + step), wood)
    for end in (x, x + wide - 0.02):
        room.box((end, end + 0.02), (y, y + high), wood)


def _frame(room: _Room, rng: Rng) -> None:
    for _ in range(int(rng.integers(1, 4))):
        wide, high = rng.uniform(0.1, 0.28), rng.uniform(0.12, 0.3)
        x, y = _beside(rng, wide), rng.uniform(-0.05, 0.4)
        room.box((x, x + wide), (y, y + high), _paint(rng, 0.05, 0.9))
        edge = 0.08 * wide
        room.box((x + edge, x + wide - edge), (y + edge, y + high - edge), _paint(rng, 0.6, 0.95, 0.03))
        inner = 3 * edge
        room.box((x + inner, x + wide - inner), (y + inner, y + high - inner), _paint(rng, 0.1, 0.8, 0.3))
        low = y + high * rng.uniform(0.4, 0.7)
        room.box((x + inner, x + wide - inner), (low, y + high - inner), _paint(rng, 0.1, 0.8, 0.3))


def _curtain(room: _Room, rng: Rng) -> None:
    wide = rng.uniform(0.12, 0.35)
    x = rng.uniform(-0.1, 0.05) if rng.random() < 0.5 else rng.uniform(0.95, 1.05) - wide
    colour = _paint(rng, 0.2, 0.9, 0.15)
    folds = 1 + rng.uniform(0.08, 0.25) * np.sin(2 * np.pi * room.at / rng.uniform(0.03, 0.08) + 4 * room.at)
    room.blend(np.outer(np.ones_like(room.at), room.band(x, x + wide)), colour[:, None] * folds)


def _door(room: _Room, rng: Rng) -> None:
    wide = rng.uniform(0.25, 0.4)
    x, y = _beside(rng, wide), rng.uniform(-0.1, 0.1)
    colour = _paint(rng, 0.25, 0.9, 0.1)
    room.box((x - 0.03, x + wide + 0.03), (y - 0.03, 2), 0.85 * colour)
    room.box((x, x + wide), (y, 2), colour)
    for low in (0.06, 0.5):
        room.box((x + 0.2 * wide, x + 0.8 * wide), (y + low, y + low + 0.36), 0.92 * colour)


def _panel(room: _Room, rng: Rng) -> None:
    """A sofa, a board or the lower part of a wall in another colour."""
    top = rng.uniform(0.45, 0.85)
    room.box((-1, 2), (top, 2), _paint(rng, 0.1, 0.8, 0.15))
    room.box((-1, 2), (top - 0.012, top), _paint(rng, 0.3, 0.9, 0.05), 0.7)


def _lamp(room: _Room, rng: Rng) -> None:
    x, y = float(rng.choice([rng.uniform(0.03, 0.25), rng.uniform(0.75, 0.97)])), rng.uniform(0.05, 0.5)
    room.glow(x, y, 0.22, 0.22, rng.uniform(0.2, 0.7))
    room.box((x - 0.008, x + 0.008), (y, y + 0.5), _paint(rng, 0.1, 0.5))
    room.box((x - 0.06, x + 0.06), (y - 0.06, y + 0.05), np.array([1.0, 0.92, 0.75]) * rng.uniform(0.8, 1.0))


def _plant(room: _Room, rng: Rng) -> None:
    x, y = float(rng.choice([rng.uniform(0.0, 0.2), rng.uniform(0.8, 1.0)])), rng.uniform(0.3, 0.8)
    room.box((x - 0.05, x + 0.05), (y + 0.1, y + 0.22), _paint(rng, 0.3, 0.8, 0.15))
    green = np.array([0.24, 0.38, 0.18])
    for _ in range(int(rng.integers(6, 16))):
        place = x + rng.normal(0, 0.06), y + rng.normal(0, 0.08)
        room.disc(*place, rng.uniform(0.015, 0.05), green * rng.uniform(0.4, 1.3), 0.85)


def _bokeh(room: _Room, rng: Rng) -> None:
    for _ in range(int(rng.integers(3, 12))):
        colour = np.array([1.0, rng.uniform(0.7, 1.0), rng.uniform(0.4, 0.9)])
        room.disc(rng.uniform(0, 1), rng.uniform(0, 0.7), rng.uniform(0.01, 0.04), colour, rng.uniform(0.2, 0.7))


def _light(room: _Room, rng: Rng) -> None:
    """Uneven light over everything, and the level of the whole room."""
    room.glow(rng.uniform(-0.2, 1.2), rng.uniform(-0.3, 0.8), rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.8),
              rng.uniform(-0.25, 0.35))  # fmt: skip
    room.grain(rng, 4, rng.uniform(0.0, 0.05))
    room.grain(rng, 40, rng.uniform(0.0, 0.02))
    room.rgb *= np.float32(np.exp(rng.uniform(-0.5, 0.15)))
