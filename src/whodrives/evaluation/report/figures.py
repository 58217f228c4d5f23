"""The figures of a report as SVG. Each returns one element; what it shows stands in a table as well."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from whodrives.evaluation.detection import probit
from whodrives.evaluation.report.document import shown
from whodrives.evaluation.report.parts import DetPoints, Histograms, Matrix, PairCounts, RocPoints, Scaling
from whodrives.evaluation.report.shared import matrix_title
from whodrives.evaluation.report.svg import (
    Axis,
    Frame,
    axes,
    band,
    colour,
    curve,
    dots,
    drawing,
    legend,
    line,
    log_ticks,
    nice_ticks,
    rectangle,
    shortened,
    text,
)

DET_TICKS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98)
LABELLED_BARS = 80
# With fewer round numbers on a scaling axis, the amounts themselves are its ticks.
MIN_TICKS = 3
_THIN = 'stroke="currentColor" stroke-dasharray="3 3" stroke-opacity="0.6"'


def det_axis(title: str, lowest: float) -> Axis:
    """A normal-deviate axis from the rate `lowest` (0..0.5) to 98%, its ticks in percent.

    Source: Martin et al., The DET curve in assessment of detection task performance, Eurospeech 1997.
    """
    ticks = tuple((float(ndtri(rate)), f"{100 * rate:g}") for rate in DET_TICKS if rate >= lowest * (1 - 1e-9))
    return Axis(title, float(ndtri(lowest)), float(ndtri(0.98)), ticks)


def det_figure(points: DetPoints, pairs: PairCounts, eer: float, name: str = "det") -> str:
    """DET curve with the line of equal errors, the measured EER and the line of chance."""
    genuine, impostor = max(pairs.genuine, 1), max(pairs.impostor, 1)
    # Both axes alike, down to what the larger side of the trials can show.
    lowest = min(max(0.5 / max(genuine, impostor), 0.0005), 0.1)
    frame = Frame(name, 540, 540, det_axis("false accepts, %", lowest), det_axis("false rejects, %", lowest))
    ends = np.array([frame.x.low, frame.x.high])
    at = probit(eer, min(genuine, impostor))
    parts = [
        axes(frame),
        legend(frame, ("measured", "chance")),
        line(frame.left, frame.height - frame.bottom, frame.width - frame.right, frame.top, _THIN),
        curve(frame, ends, -ends, 1),
        curve(frame, probit(points.far, impostor), probit(points.frr, genuine), 0),
        dots(frame, [at], [at], 0) if frame.x.low <= at <= frame.x.high else "",
    ]
    words = (
        f"False rejects against false accepts on normal-deviate axes; they are equal at {100 * eer:.1f}%, marked by a "
        "dot. The dashed line is chance."
    )
    return drawing(name, frame.width, frame.height, "DET curve", words, parts)


def roc_figure(points: RocPoints, name: str = "roc") -> str:
    """ROC curve with the line of chance."""
    ticks = tuple((percent / 100, str(percent)) for percent in range(0, 101, 20))
    frame = Frame(name, 540, 540, Axis("false accepts, %", 0, 1, ticks), Axis("true accepts, %", 0, 1, ticks))
    parts = [
        axes(frame),
        legend(frame, ("measured", "chance")),
        curve(frame, [0, 1], [0, 1], 1),
        curve(frame, points.far, points.tar, 0, clip=False),
    ]
    words = "True accepts against false accepts; the dashed line is chance."
    return drawing(name, frame.width, frame.height, "ROC curve", words, parts)


def bars_figure(
    name: str,
    title: str,
    axis_title: str,
    bars: Sequence[tuple[str, float]],
    mean: float | None = None,
    chance: float | None = None,
    full: float | None = None,
    digits: int = 3,
) -> str:
    """Horizontal bars from 0 in the order given, values at least 0, with lines at the mean and at chance.

    full : end of the axis, None for a little over the longest bar. Over LABELLED_BARS bars go without names.
    """
    labelled = len(bars) <= LABELLED_BARS
    step = 20 if labelled else 6
    longest = max(value for _, value in bars)
    end = full if full is not None else 1.1 * longest or 1.0
    lines = [(mean, "mean", 1), (chance, "chance", 5)]
    frame = Frame(
        name,
        760,
        34 + 48 + step * len(bars) + 6,
        Axis(axis_title, 0, end, nice_ticks(0, end)),
        Axis("", 0, len(bars), ()),
        left=170 if labelled else 30,
        right=64,
    )
    parts = [axes(frame)]
    for number, (label, value) in enumerate(bars):
        y = frame.top + number * step + step * 0.15 + 3
        width = float(frame.across(value)) - frame.left
        style = f"fill:{colour(0)};fill-opacity:0.75"
        parts.append(rectangle(frame.left, y, width, step * 0.7, style, f"{label}: {value:.{digits}f}"))
        if labelled:
            parts.append(text(frame.left - 7, y + step * 0.55, shortened(label, 24), "end", 11))
            parts.append(text(frame.width - 8, y + step * 0.55, f"{value:.{digits}f}", "end", 11))
    for at, word, number in lines:
        if at is not None:
            x = float(frame.across(at))
            style = f'stroke-width="2" stroke-dasharray="5 3" style="stroke:{colour(number)}"'
            parts.append(line(x, frame.top - 6, x, frame.height - frame.bottom, style))
            # Chance on the left and the mean on the right of their lines: they may lie close together.
            anchor, shift = ("end", -4) if word == "chance" else ("start", 4)
            parts.append(text(x + shift, frame.top - 10, f"{word} {at:.{digits}f}", anchor, 11))
    words = f"{len(bars)} bars from {min(value for _, value in bars):.{digits}f} to {longest:.{digits}f}."
    return drawing(name, frame.width, frame.height, title, words, parts)


def histogram_figure(bars: Histograms, name: str = "scores") -> str:
    """Shares of genuine and impostor trials by score; an outer bin wider than the others is drawn at their width."""
    edges = np.asarray(bars.edges)
    widths = np.diff(edges)
    usual = float(np.median(widths))
    drawn = np.minimum(widths, usual * 1.5) if len(widths) > 2 else widths
    drawn[1:-1] = widths[1:-1]
    places = np.concatenate(([0.0], np.cumsum(drawn)))
    shares = [np.asarray(part) / sum(part) for part in (bars.genuine, bars.impostor)]
    top = 1.08 * max(float(share.max()) for share in shares)
    digits = max(2, 1 - math.floor(math.log10(usual)))
    # Six labels over the usual bins; a squeezed bin gets its outer edge as well.
    first, last = int(drawn[0] < widths[0]), len(edges) - 1 - int(drawn[-1] < widths[-1])
    chosen = sorted({*np.linspace(first, last, min(6, last - first + 1)).astype(int).tolist()})
    ticks = tuple((float(places[at]), f"{edges[at]:.{digits}f}") for at in chosen)
    y_axis = Axis("trials, %", 0, top, tuple((at, f"{100 * at:.6g}") for at, _ in nice_ticks(0, top)))
    frame = Frame(name, 760, 340, Axis("score", 0, float(places[-1]), ticks), y_axis)
    parts = [axes(frame), legend(frame, ("genuine", "impostor"))]
    bottom, across = frame.height - frame.bottom, frame.across(places)
    for number, share in enumerate(shares):
        for left, right, value in zip(across[:-1], across[1:], share.tolist()):
            y = float(frame.down(value))
            style = f"fill:{colour(number)};fill-opacity:{0.35 if number == 0 else 0.2}"
            parts.append(rectangle(float(left), y, float(right - left), bottom - y, style))
        parts.append(curve(frame, np.repeat(places, 2)[1:-1], np.repeat(share, 2), number))
    if first:
        parts.append(text(float(across[0]), bottom + 32, f"down to {edges[0]:.{digits}f}", "start", 11))
    if last < len(edges) - 1:
        parts.append(text(float(across[-1]), bottom + 32, f"up to {edges[-1]:.{digits}f}", "end", 11))
    words = (
        f"Scores from {edges[0]:.{digits}f} to {edges[-1]:.{digits}f}; genuine filled, impostor under a dashed line."
    )
    return drawing(name, frame.width, frame.height, "Scores of genuine and impostor trials", words, parts)


def _shade(value: float) -> tuple[str, str]:
    """Background of an AUC, pale at 0.5 and dark blue at 1, and the text colour with the higher contrast."""
    share = min(max((value - 0.5) / 0.5, 0.0), 1.0)
    mixed = [round(a + (b - a) * share) for a, b in zip((247, 251, 255), (8, 48, 107))]
    linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 255 / 12.92 for c in mixed]
    luminance = sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear))
    # At this luminance black and white text have equal contrast.
    return "#" + "".join(f"{c:02x}" for c in mixed), "#000000" if luminance > 0.179 else "#ffffff"


def matrix_figure(matrix: Matrix, name: str = "matrix") -> str:
    """Heat map with its numbers. Cells that were not measured stay empty with a dash."""
    wide, tall, left, top = 92, 44, 190, 86
    width, height = left + wide * len(matrix.columns) + 12, top + tall * len(matrix.rows) + 12
    parts = [
        text(12, 18, matrix_title(matrix), size=14),
        text(left - 8, top - 10, f"{matrix.row_word} \\ {matrix.column_word}", "end", 12),
    ]
    for number, label in enumerate(matrix.columns):
        parts.append(text(left + wide * (number + 0.5), top - 10, shortened(label, 13), "middle"))
    for row, (label, values) in enumerate(zip(matrix.rows, matrix.values)):
        y = top + tall * row
        parts.append(text(left - 8, y + tall / 2 + 4, shortened(label, 26), "end"))
        for column, value in enumerate(values):
            x = left + wide * column
            style = "fill:none" if value is None else f"fill:{_shade(value)[0]}"
            title = f"{label}, {matrix.columns[column]}: {shown(value)}"
            parts.append(
                rectangle(x + 1, y + 1, wide - 2, tall - 2, style + ";stroke:currentColor;stroke-opacity:0.3", title)
            )
            ink = "" if value is None else f' style="fill:{_shade(value)[1]}"'
            parts.append(text(x + wide / 2, y + tall / 2 + 5, shown(value), "middle", 14, ink))
    words = (
        f"{matrix_title(matrix)} of {len(matrix.rows)} training generators (rows) on {len(matrix.columns)} test "
        "generators (columns)."
    )
    return drawing(name, width, height, f"{matrix_title(matrix)} across generators", words, parts)


def scaling_figure(group: Sequence[Scaling], name: str) -> str:
    """AUC over one amount on a logarithmic axis: a line, marks and an interval band a series."""
    amounts = [x for series in group for x in series.x]
    low, high = min(amounts), max(amounts)
    # A little air, and an axis at all where there is a single amount.
    air = max((high / low) ** 0.05, 1.1)
    ends = [end for series in group for ci95 in series.ci95 if ci95 for end in ci95]
    values = [*(value for series in group for value in series.auc), *ends]
    bottom, top = math.floor(20 * min(*values, 0.5)) / 20, math.ceil(20 * max(values)) / 20
    top = max(top, bottom + 0.1)
    ticks = log_ticks(low, high)
    if len(ticks) < MIN_TICKS:
        ticks = tuple((math.log10(x), f"{x:,.6g}") for x in sorted(set(amounts)))
    frame = Frame(
        name,
        760,
        380,
        Axis(group[0].x_name, math.log10(low / air), math.log10(high * air), ticks),
        Axis("AUC", bottom, top, nice_ticks(bottom, top)),
    )
    parts = [axes(frame)]
    if len(group) > 1 or group[0].name:
        parts.append(legend(frame, [series.name or "AUC" for series in group]))
    parts.append(line(frame.left, float(frame.down(0.5)), frame.width - frame.right, float(frame.down(0.5)), _THIN))
    for number, series in enumerate(group):
        x = np.log10(series.x)
        bounds = np.array([(np.nan, np.nan) if ci95 is None else ci95 for ci95 in series.ci95])
        known = np.flatnonzero(~np.isnan(bounds[:, 0]))
        # A point without an interval breaks the band: nothing was measured there.
        for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            if len(run) > 1:
                parts.append(band(frame, x[run], bounds[run, 0], bounds[run, 1], number))
        parts += [curve(frame, x, series.auc, number, clip=False), dots(frame, x, series.auc, number)]
        for at in known:
            place, (lower, upper) = float(frame.across(x[at])), bounds[at]
            bar = f'stroke-width="1.5" style="stroke:{colour(number)}"'
            parts.append(line(place, float(frame.down(lower)), place, float(frame.down(upper)), bar))
    words = "; ".join(
        f"{one.name or 'AUC'} from {one.auc[0]:.3f} at {one.x[0]:g} to {one.auc[-1]:.3f} at {one.x[-1]:g}"
        for one in group
    )
    words += ". Bands are 95% intervals, the thin dashed line is chance."
    return drawing(name, frame.width, frame.height, f"AUC over {group[0].x_name}", words, parts)
