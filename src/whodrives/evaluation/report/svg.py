"""Drawing by hand: axes, lines, bands and bars as SVG text.

Colours are CSS variables with a fallback, so that a page can change them for a dark background; text and axes take the
page's own colour. Series differ in dash and mark too, not by colour alone.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.evaluation.report.plain import plain

# After Okabe and Ito's palette, darkened to 3:1 or more on white.
COLOURS = ("#0072b2", "#d55e00", "#00805c", "#b04f86", "#8a6d00", "#555555")
DASHES = ("", "7 4", "2 3", "9 3 2 3", "12 4", "4 2 1 2")


def escaped(text: str) -> str:
    """Text for SVG and HTML, in elements and attributes alike."""
    return html.escape(plain(text), quote=True)


def colour(number: int) -> str:
    """CSS value of a series colour; they repeat after six."""
    return f"var(--c{number % len(COLOURS)},{COLOURS[number % len(COLOURS)]})"


def dash(number: int) -> str:
    """Attribute of a series' dash, empty for an unbroken line."""
    pattern = DASHES[number % len(DASHES)]
    return f' stroke-dasharray="{pattern}"' if pattern else ""


@dataclass(frozen=True)
class Axis:
    """low, high : ends in drawn units (probits, logarithms, plain). ticks : (place in drawn units, label)."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Frame:
    """A drawing with two axes. width, height : of all, px. left, top, right, bottom : margins around the area, px."""

    name: str
    width: float
    height: float
    x: Axis
    y: Axis
    left: float = 62
    top: float = 34
    right: float = 18
    bottom: float = 48

    def across(self, values: ArrayLike) -> NDArray[np.float64]:
        """Drawn units -> px from the left."""
        share = (np.asarray(values, np.float64) - self.x.low) / (self.x.high - self.x.low)
        return self.left + share * (self.width - self.left - self.right)

    def down(self, values: ArrayLike) -> NDArray[np.float64]:
        """Drawn units -> px from the top."""
        share = (np.asarray(values, np.float64) - self.y.low) / (self.y.high - self.y.low)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)


def nice_ticks(low: float, high: float, most: int = 6) -> tuple[tuple[float, str], ...]:
    """Round places within low..high, 1, 2 or 5 times a power of ten apart, at most `most` + 1 of them."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(low / step - 1e-9)
    places = [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return tuple((place, f"{place + 0.0:.{digits}f}") for place in places)


def log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Ticks of a log10 axis between the values low and high (both above 0), placed at their logarithms."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 3 else (1,)
    values = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    kept = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)] or [low, high]
    return tuple((math.log10(value), f"{value:,.6g}") for value in kept)


def text(x: float, y: float, words: str, anchor: str = "start", size: int = 12, extra: str = "") -> str:
    """One line of text in the page's colour. extra : further attributes, written by us and not by users."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="currentColor"{extra}>'
        f"{escaped(words)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, extra: str = 'stroke="currentColor"') -> str:
    """A straight line, px."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {extra}/>'


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist()))


def curve(frame: Frame, x: ArrayLike, y: ArrayLike, number: int, clip: bool = True) -> str:
    """A line through points in drawn units, in the colour and dash of series `number`."""
    inside = f' clip-path="url(#{frame.name}-area)"' if clip else ""
    return (
        f'<polyline points="{_points(frame.across(x), frame.down(y))}" fill="none" stroke-width="2"{dash(number)}'
        f'{inside} style="stroke:{colour(number)}"/>'
    )


def band(frame: Frame, x: ArrayLike, low: ArrayLike, high: ArrayLike, number: int) -> str:
    """An interval along a curve, in drawn units."""
    across = frame.across(x)
    points = _points(np.append(across, across[::-1]), np.append(frame.down(high), frame.down(low)[::-1]))
    return f'<polygon points="{points}" fill-opacity="0.18" stroke="none" style="fill:{colour(number)}"/>'


def dots(frame: Frame, x: ArrayLike, y: ArrayLike, number: int) -> str:
    """Marks at points in drawn units: filled for even series, hollow for odd ones."""
    fill = colour(number) if number % 2 == 0 else "none"
    return "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" stroke-width="2" style="stroke:{colour(number)};fill:{fill}"/>'
        for a, b in zip(frame.across(x).tolist(), frame.down(y).tolist())
    )


def rectangle(x: float, y: float, width: float, height: float, style: str, title: str = "") -> str:
    """A rectangle, px; title : shown by a browser when pointed at."""
    head = f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" style="{style}"'
    return f"{head}><title>{escaped(title)}</title></rect>" if title else head + "/>"


def legend(frame: Frame, names: Sequence[str]) -> str:
    """Series' names above the area, each beside a piece of its line."""
    parts, x, y = [], frame.left, frame.top - 14
    room = (frame.width - frame.left - frame.right) / max(len(names), 1)
    for number, name in enumerate(names):
        words = shortened(name, int(min(28, max(3, (room - 46) / 7.2))))
        parts.append(line(x, y, x + 26, y, f'stroke-width="2.5"{dash(number)} style="stroke:{colour(number)}"'))
        parts.append(text(x + 31, y + 4, words))
        x += 46 + 7.2 * len(words)
    return "".join(parts)


def shortened(name: str, most: int) -> str:
    """A name of at most `most` characters, the rest an ellipsis."""
    return name if len(name) <= most else name[: most - 1] + "…"


def axes(frame: Frame) -> str:
    """Both axes with grid lines, tick labels and titles."""
    left, right = frame.left, frame.width - frame.right
    top, bottom = frame.top, frame.height - frame.bottom
    grid = 'stroke="currentColor" stroke-opacity="0.15"'
    parts = [
        f'<clipPath id="{frame.name}-area"><rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}"/></clipPath>'
    ]
    for place, label in frame.x.ticks:
        x = float(frame.across(place))
        parts += [line(x, top, x, bottom, grid), text(x, bottom + 17, label, "middle", 11, ' class="tick-x"')]
    for place, label in frame.y.ticks:
        y = float(frame.down(place))
        parts += [line(left, y, right, y, grid), text(left - 7, y + 4, label, "end", 11, ' class="tick-y"')]
    parts += [line(left, bottom, right, bottom), line(left, top, left, bottom)]
    parts.append(text((left + right) / 2, frame.height - 10, frame.x.title, "middle"))
    middle = (top + bottom) / 2
    if frame.y.title:
        turn = f' transform="rotate(-90 14 {middle:.1f})"'
        parts.append(text(14, middle, frame.y.title, "middle", 12, turn))
    return "".join(parts)


def drawing(name: str, width: float, height: float, title: str, description: str, parts: Iterable[str]) -> str:
    """A whole SVG element, named and described for readers who do not see it. name : id, unique on a page."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"{name!r} is no id")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-labelledby="{name}-title {name}-words" '
        f'font-family="system-ui, sans-serif"><title id="{name}-title">{escaped(title)}</title>'
        f'<desc id="{name}-words">{escaped(description)}</desc>'
        f"{''.join(parts)}</svg>"
    )
