"""Figures: ticks, points and bars lie where their numbers say."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from report_examples import full, panel, scores
from whodrives.errors import InputError
from whodrives.evaluation.metrics import eer
from whodrives.evaluation.report import measure, parts
from whodrives.evaluation.report.figures import (
    bars_figure,
    det_axis,
    det_figure,
    histogram_figure,
    matrix_figure,
    roc_figure,
    scaling_figure,
)
from whodrives.evaluation.report.panels import panels_figure
from whodrives.evaluation.report.svg import log_ticks, nice_ticks


def elements(svg: str, tag: str, **wanted: str) -> list[ET.Element]:
    return [
        one
        for one in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}" + tag)
        if all(one.get(name) == value for name, value in wanted.items())
    ]


def ticks(svg: str, axis: str) -> dict[str, float]:
    """Label -> px along the axis; the labels of the y axis stand 4 px below their tick."""
    place, shift = ("x", 0.0) if axis == "x" else ("y", 4.0)
    return {
        one.text or "": float(one.get(place, "")) - shift for one in elements(svg, "text", **{"class": f"tick-{axis}"})
    }


def points(one: ET.Element) -> np.ndarray:
    return np.array([[float(v) for v in pair.split(",")] for pair in one.get("points", "").split()])


def test_det_ticks_lie_at_the_probits_of_their_percentages() -> None:
    genuine, impostor = scores()
    curves, rate = measure.measured_curves(genuine, impostor), eer(genuine, impostor)
    svg = det_figure(curves.det, parts.PairCounts(genuine.size, impostor.size), rate)
    for axis, sign in (("x", 1), ("y", -1)):
        found = ticks(svg, axis)
        assert list(found) == ["0.1", "0.5", "1", "2", "5", "10", "20", "40", "60", "80", "90", "95", "98"]
        normal = np.array([norm.ppf(float(label) / 100) for label in found])
        place = np.array(list(found.values()))
        slope = (place[-1] - place[0]) / (normal[-1] - normal[0])
        assert slope * sign > 50
        np.testing.assert_allclose(place, place[0] + slope * (normal - normal[0]), atol=0.15)
        # 40% and 60% lie as far from the middle, 2% and 98% as well.
        assert found["40"] + found["60"] == pytest.approx(found["2"] + found["98"], abs=0.3)
    # The measured curve goes through its points, in the same units as the ticks.
    x, y = ticks(svg, "x"), ticks(svg, "y")
    scale = [(axis["98"] - axis["2"]) / (2 * norm.ppf(0.98)) for axis in (x, y)]
    middle = [(axis["98"] + axis["2"]) / 2 for axis in (x, y)]
    at = [n for n, (far, frr) in enumerate(zip(curves.det.far, curves.det.frr)) if 0.01 < far < 0.5 and frr > 0.01]
    drawn = points(elements(svg, "polyline")[1])[at]
    for column, rates in enumerate((curves.det.far, curves.det.frr)):
        expected = middle[column] + scale[column] * norm.ppf(np.array(rates)[at])
        np.testing.assert_allclose(drawn[:, column], expected, atol=0.3)
    dot = elements(svg, "circle")[0]
    assert float(dot.get("cx", "")) == pytest.approx(middle[0] + scale[0] * norm.ppf(rate), abs=0.3)
    assert float(dot.get("cy", "")) == pytest.approx(middle[1] + scale[1] * norm.ppf(rate), abs=0.3)


def test_det_axis_shows_no_rate_that_the_trials_cannot_show() -> None:
    assert det_axis("", 0.01).ticks[0] == (pytest.approx(norm.ppf(0.01)), "1")
    few = measure.measured_curves([3, 1, 4], [1, 2])
    svg = det_figure(few.det, parts.PairCounts(3, 2), 0.5)
    assert next(iter(ticks(svg, "x"))) == "10"
    # The probit of 0 and 1 is infinite; on the page every number is finite.
    assert np.isfinite(points(elements(svg, "polyline")[1])).all()


def test_roc_and_bars_are_linear() -> None:
    svg = roc_figure(parts.RocPoints((1, 0.5, 0), (1, 0.9, 0)))
    x, y = ticks(svg, "x"), ticks(svg, "y")
    assert points(elements(svg, "polyline")[1])[0].tolist() == pytest.approx([x["100"], y["100"]], abs=0.11)
    middle = (x["40"] + x["60"]) / 2, (y["80"] + y["100"]) / 2
    assert points(elements(svg, "polyline")[1])[1].tolist() == pytest.approx(middle, abs=0.11)

    svg = bars_figure("b", "t", "AUC", [("a", 0.8), ("b", 0.4)], mean=0.6, chance=0.5, full=1.0)
    x = ticks(svg, "x")
    ends = [float(r.get("x", "")) + float(r.get("width", "")) for r in elements(svg, "rect") if r.get("style")]
    assert ends == pytest.approx([x["0.8"], x["0.4"]], abs=0.11)
    lines = [float(one.get("x1", "")) for one in elements(svg, "line", **{"stroke-dasharray": "5 3"})]
    assert lines == pytest.approx([x["0.6"], (x["0.4"] + x["0.6"]) / 2], abs=0.11)
    assert {one.text for one in elements(svg, "title")} == {"t", "a: 0.800", "b: 0.400"}


def test_many_bars_go_without_names() -> None:
    svg = bars_figure("b", "t", "AUC", [(f"name {n}", 0.5) for n in range(300)], full=1.0)
    assert not any("name" in (one.text or "") for one in elements(svg, "text"))
    assert len([one for one in elements(svg, "rect") if one.get("style")]) == 300
    assert bars_figure("b", "t", "ratio", [("still", 0.0)]).startswith("<svg")


def test_histogram_squeezes_the_wide_bin_and_says_so() -> None:
    bars = parts.Histograms((-1.0, 0.90, 0.92, 0.94, 0.96), (1, 0, 1, 2), (4, 4, 2, 0))
    svg = histogram_figure(bars)
    boxes = [one for one in elements(svg, "rect") if one.get("style")]
    widths = [float(one.get("width", "")) for one in boxes[:4]]
    assert widths == pytest.approx([widths[1] * 1.5, *[widths[1]] * 3], abs=0.11)
    heights = [float(one.get("height", "")) for one in boxes]
    assert heights[3] == pytest.approx(2 * heights[0], abs=0.2)
    assert heights[4] == pytest.approx(0.4 / 0.5 * heights[3], abs=0.2)
    assert any((one.text or "").startswith("down to -1.00") for one in elements(svg, "text"))
    assert "-1.000" not in ticks(svg, "x")
    for edges in ((0.0, 1.0), (0.0, 0.1, 5.0)):
        size = len(edges) - 1
        assert histogram_figure(parts.Histograms(edges, (1,) * size, (1,) * size)).startswith("<svg")


def luminance(hexadecimal: str) -> float:
    shares = [int(hexadecimal[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_matrix_numbers_can_be_read_on_their_shades() -> None:
    values = tuple(np.linspace(0, 1, 101).tolist())
    svg = matrix_figure(parts.Matrix(("r",), tuple(map(str, range(101))), (values,)))
    boxes = [dict(p.split(":") for p in one.get("style", "").split(";")) for one in elements(svg, "rect")]
    inks = [one.get("style", "").removeprefix("fill:") for one in elements(svg, "text") if one.get("style")]
    assert len(boxes) == len(inks) == 101
    for box, ink in zip(boxes, inks):
        high, low = sorted((luminance(box["fill"]), luminance(ink)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5
    shades = [luminance(box["fill"]) for box in boxes]
    assert all(a >= b for a, b in pairwise(shades))


def test_scaling_is_logarithmic_and_bands_stop_where_nothing_was_measured() -> None:
    group = [one for one in full().scaling if one.x_name == "drivers"]
    svg = scaling_figure(group, "s")
    x = ticks(svg, "x")
    assert list(x) == ["10", "20", "50", "100", "200", "500", "1,000"]
    assert x["100"] - x["10"] == pytest.approx(x["1,000"] - x["100"], abs=0.3)
    assert x["20"] - x["10"] == pytest.approx((x["100"] - x["10"]) * np.log10(2), abs=0.3)
    first = points(elements(svg, "polyline")[0])
    assert first[2, 0] == pytest.approx(x["200"], abs=0.2)
    bands = [points(one) for one in elements(svg, "polygon")]
    # Of the first series only two neighbouring points have intervals; the second has three.
    assert [len(one) for one in bands] == [4, 6]
    assert bands[0][:, 0].max() < x["50"]
    assert scaling_figure([parts.Scaling("n", (4,), (1.0,), (None,))], "s").startswith("<svg")
    few = scaling_figure([parts.Scaling("drivers", (12, 24, 48), (0.6, 0.7, 0.8), (None,) * 3)], "s")
    assert list(ticks(few, "x")) == ["12", "24", "48"]


def test_panels_draw_ours_unbroken_and_the_baseline_dashed_on_one_scale() -> None:
    empty = parts.Panel("trained on mesh", ("warp",), (parts.Line("ours, simulated", "ours", (None,), (None,)),))
    svg = panels_figure((panel(), empty))
    words = [one.text for one in elements(svg, "text")]
    # Each series once in the legend, and a panel for each training generator.
    assert words.count("ours, simulated") == words.count("published, NVFAIR: NVFAIR baseline") == 1
    assert {"trained on warp", "trained on mesh", "ours: not run"} <= set(words)
    assert words.count("ours: not run") == 1
    # Ours misses the middle generator, so that nothing joins its two marks; the baseline is dashed through all three.
    (baseline,) = elements(svg, "polyline")
    assert baseline.get("stroke-dasharray")
    assert len(points(baseline)) == 3
    assert len(elements(svg, "circle")) == 5
    full_line = panels_figure((parts.Panel("t", ("a", "b"), (parts.Line("o", "ours", (0.6, 0.8), (None, None)),)),))
    (ours,) = elements(full_line, "polyline")
    assert ours.get("stroke-dasharray") is None
    y = ticks(full_line, "y")
    assert points(ours)[:, 1].tolist() == pytest.approx([y["0.60"], y["0.80"]], abs=0.11)
    for values in ((0.5,), (0.5, 0.6, 0.7)):
        with pytest.raises(InputError, match="needs lines"):
            parts.Panel("t", ("a", "b"), (parts.Line("o", "ours", values, (None,) * len(values)),))
    with pytest.raises(InputError, match="kind"):
        parts.Line("o", "theirs", (0.5,), (None,))


@settings(deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_ticks_are_round_inside_and_few(low: float, size: float) -> None:
    found = nice_ticks(low, low + size)
    assert 2 <= len(found) <= 7
    gaps = np.diff([place for place, _ in found])
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-6)
    assert all(low - 1e-6 * size <= place <= low + size + 1e-6 * size for place, _ in found)
    for place, label in found:
        assert float(label) == pytest.approx(place, abs=1e-6 * size)


@settings(deadline=None)
@given(st.floats(1e-3, 1e6), st.floats(1, 1e6))
def test_log_ticks_lie_at_their_logarithms(low: float, factor: float) -> None:
    found = log_ticks(low, low * factor)
    assert found
    for place, label in found:
        assert 10**place == pytest.approx(float(label.replace(",", "")), rel=1e-5)
        assert low * (1 - 1e-6) <= 10**place <= low * factor * (1 + 1e-6)
