"""Small figures side by side on one scale: a panel for each training generator (the paper's Figure 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from whodrives.evaluation.report.parts import Line, Panel
from whodrives.evaluation.report.svg import (
    Axis,
    Frame,
    axes,
    colour,
    curve,
    dash,
    dots,
    drawing,
    line,
    nice_ticks,
    shortened,
    text,
)

WIDE, TALL, A_ROW = 330, 270, 3
# Series numbers of `svg`: an unbroken line with full marks, a dot-dashed and a dashed one with hollow marks.
_STYLES = {"ours": 0, "published": 3, "baseline": 1}
_CHANCE = 'stroke="currentColor" stroke-dasharray="3 3" stroke-opacity="0.6"'


def panels_figure(panels: Sequence[Panel], name: str = "panels") -> str:
    """A line for each series of a panel over its columns, all panels on one axis; a thin dashed line at chance."""
    lines = [one for panel in panels for one in panel.lines]
    ends = [end for one in lines for ci95 in one.ci95 if ci95 for end in ci95]
    values = [*ends, *(value for one in lines for value in one.values if value is not None), 0.5]
    low, high = math.floor(20 * min(values)) / 20, max(math.ceil(20 * max(values)) / 20, 0.6)
    series = list({one.name: one for one in lines}.values())
    top = 20 * len(series) + 14
    parts = []
    for number, one in enumerate(series):
        style = _STYLES[one.kind]
        y = 16 + 20 * number
        parts.append(line(16, y, 56, y, f'stroke-width="2.5"{dash(style)} style="stroke:{colour(style)}"'))
        parts.append(text(64, y + 4, shortened(one.name, 90)))
    for number, panel in enumerate(panels):
        across, down = WIDE * (number % A_ROW), top + TALL * (number // A_ROW)
        parts.append(f'<g transform="translate({across} {down})">{_panel(panel, f"{name}-{number}", low, high)}</g>')
    width = WIDE * min(len(panels), A_ROW)
    height = top + TALL * math.ceil(len(panels) / A_ROW)
    words = "; ".join(f"{panel.title}: {_words(panel)}" for panel in panels) + ". The thin dashed line is chance."
    return drawing(name, width, height, "AUC by training and test generator", words, parts)


def _words(panel: Panel) -> str:
    return ", ".join(
        f"{one.name} on {column} {'not run' if value is None else format(value, '.3f')}"
        for one in panel.lines
        for column, value in zip(panel.columns, one.values)
    )


def _panel(panel: Panel, name: str, low: float, high: float) -> str:
    count = len(panel.columns)
    ticks = tuple((float(place), shortened(column, 12)) for place, column in enumerate(panel.columns))
    frame = Frame(
        name,
        WIDE,
        TALL,
        Axis("tested on", -0.5, count - 0.5, ticks),
        Axis("AUC", low, high, nice_ticks(low, high)),
        top=40,
    )
    chance = float(frame.down(0.5))
    parts = [
        text((frame.left + frame.width - frame.right) / 2, 18, shortened(panel.title, 38), "middle", 13),
        axes(frame),
        line(frame.left, chance, frame.width - frame.right, chance, _CHANCE),
    ]
    for number, one in enumerate(panel.lines):
        # A little apart, so that no mark hides another.
        x = np.arange(count) + 0.08 * (number - (len(panel.lines) - 1) / 2)
        parts.append(_line(frame, x, one))
    if all(value is None for one in panel.lines if one.kind == "ours" for value in one.values) and any(
        one.kind == "ours" for one in panel.lines
    ):
        parts.append(text((frame.left + frame.width - frame.right) / 2, 34, "ours: not run", "middle", 11))
    return "".join(parts)


def _line(frame: Frame, x: np.ndarray, one: Line) -> str:
    style = _STYLES[one.kind]
    known = np.flatnonzero([value is not None for value in one.values])
    values = np.array([np.nan if value is None else value for value in one.values])
    parts = []
    # A value that is not there breaks the line.
    for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        if len(run) > 1:
            parts.append(curve(frame, x[run], values[run], style, clip=False))
    parts.append(dots(frame, x[known], values[known], style))
    for at in known:
        bounds = one.ci95[at]
        if bounds is not None:
            place = float(frame.across(x[at]))
            ends = [float(frame.down(end)) for end in bounds]
            parts.append(line(place, ends[0], place, ends[1], f'stroke-width="1.5" style="stroke:{colour(style)}"'))
    return "".join(parts)
