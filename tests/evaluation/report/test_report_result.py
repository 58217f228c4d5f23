"""Results go to JSON and back unchanged; what is wrong is refused by name."""

from __future__ import annotations

import copy
import json
import math
import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from report_examples import HOSTILE, bare, full, scores, table
from whodrives.errors import InputError
from whodrives.evaluation.detection import measured_tar
from whodrives.evaluation.metrics import roc_auc
from whodrives.evaluation.report import measure, parts, read_result, write_report
from whodrives.evaluation.report.result import Cell, from_dict, from_json, to_dict, to_json

RESULTS = {"full": full(), "hostile": full(HOSTILE), "bare": bare(), "table": table(), "hostile table": table(HOSTILE)}


@pytest.mark.parametrize("name", RESULTS)
def test_json_round_trip(name: str) -> None:
    result = RESULTS[name]
    text = to_json(result)
    assert from_json(text) == result
    assert to_json(from_json(text)) == text
    values = json.loads(text)
    assert (values["schema_version"], values["kind"]) == (1, "table" if "table" in name else "evaluation")


def test_json_has_the_fields_of_evaluate() -> None:
    values = to_dict(full())
    assert {"protocol", "auc", "eer", "tar_at_far", "coverage", "n_videos", "n_drivers", "n_pairs", "controls"} <= set(
        values
    )
    assert set(values["auc"]) == {"overall", "ci95", "per_generator", "per_target"}
    assert set(values["tar_at_far"]["0.01"]) == {"tar", "threshold", "ci95"}
    assert values["tar_at_far"]["0.0001"] == {"not_measurable": "needs 10,000 impostor trials"}
    assert values["cllr"] is None
    assert to_dict(bare())["curves"] is None


def changed(path: str, value: Any) -> dict[str, Any]:
    """The full result's JSON with one field set, or taken away for Ellipsis."""
    values = copy.deepcopy(to_dict(full()))
    *way, last = path.split("/")
    place = values
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema_version", 2, "schema_version is 2"),
        ("kind", "other", "kind is 'other'"),
        ("eer", ..., "result lacks the field 'eer'"),
        ("eer", "0.1", "result.eer must be a finite number"),
        ("eer", True, "result.eer must be a finite number"),
        ("eer", math.nan, "result.eer must be a finite number"),
        ("eer", 30.0, "EER is 30.0"),
        ("n_videos", 1.5, "result.n_videos must be a whole number"),
        ("auc/ci95", [0.9], "result.auc.ci95 must be a list of 2"),
        ("auc/ci95", [0.9, 0.8], "ends before it begins"),
        ("auc/overall", 0.5, "but that of protocol"),
        ("auc/per_generator/warp", 0.5, "result.auc.per_generator.warp must be an object"),
        ("auc/extra", 1, "result.auc has the unknown field 'extra'"),
        ("tar_at_far/0.01/threshold", ..., "result.tar_at_far.0.01 lacks the field 'threshold'"),
        ("protocols/cross_target", ..., "protocol 'cross_target' is missing"),
        ("protocols/cross_target/auc", None, "needs a note"),
        ("protocols/cross_target/note", 3, "must be text"),
        ("controls/duration/trained", 1, "must be true or false"),
        ("curves/det/far", [0.1], "DET curve: 1 and"),
        ("curves/roc/far", [0.0] * 301, "ROC curve: 301 and"),
        ("histograms/edges", [0, 1], "B bins take B + 1"),
        ("matrix/values", [[1]], "the matrix must hold 3 rows"),
        ("scaling", [{"x_name": "n", "x": [0, 1], "auc": [0.5, 0.5], "ci95": [None, None]}], "stay above 0"),
        ("provenance/data_kind", " ", "needs data_kind"),
        ("provenance/data_kind", "published, NVFAIR", "columns of their own"),
    ],
)
def test_wrong_fields_are_named(path: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        from_dict(changed(path, value))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"schema_version": 1}', "[" * 100_000, '{"kind": "table"}'])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=r"result\.json"):
        read_result(tmp_path / "result.json")


def test_infinite_numbers_do_not_reach_a_file(tmp_path: Path) -> None:
    result = replace(bare(), cllr=math.inf)
    with pytest.raises(InputError, match=r"result\.cllr is inf"):
        write_report(result, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_numpy_numbers_become_plain() -> None:
    result = replace(bare(), cllr=np.float64(0.5), n_videos=np.int64(7))
    assert from_json(to_json(result)) == replace(bare(), cllr=0.5, n_videos=7)


@pytest.mark.parametrize(
    "values",
    [
        {"status": "maybe", "value": 0.5},
        {"status": "not run (estimated 3 h)", "value": 0.5},
        {"status": "ok"},
        {"ci95": (0.1, 0.2), "published": 0.5},
        {"value": 0.5, "ci95": (0.6, 0.4)},
    ],
)
def test_contradictory_cells_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Cell(**values)


def test_tables_refuse_stray_cells_and_double_columns() -> None:
    with pytest.raises(InputError, match="no column"):
        replace(table(), columns=("overall", "mesh", "FV2V"))
    with pytest.raises(InputError, match="two columns"):
        replace(table(), columns=("overall", "mesh", "FV2V", "keypoint", "mesh"))


def test_report_is_four_ordinary_files_and_replaces_old_ones(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    write_report(bare(), folder)
    before = os.umask(0o022)
    try:
        files = write_report(full(HOSTILE), folder)
    finally:
        os.umask(before)
    assert {name: path.name for name, path in files.items()} == {
        "json": "result.json",
        "md": "report.md",
        "tex": "report.tex",
        "html": "report.html",
    }
    assert sorted(os.listdir(folder)) == sorted(path.name for path in files.values())
    assert read_result(files["json"]) == full(HOSTILE)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in files.values())
    assert all(path.read_text(encoding="utf-8").endswith("\n") for path in files.values())


def test_failed_write_leaves_the_old_report_and_no_scraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_report(bare(), tmp_path)
    old = files["html"].read_bytes()

    def refuse(*names: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_report(full(), tmp_path)
    assert files["html"].read_bytes() == old
    assert len(os.listdir(tmp_path)) == 4


SCORES = st.lists(st.integers(-400, 400), min_size=1, max_size=500)


@settings(deadline=None, max_examples=40)
@given(SCORES, SCORES)
def test_curves_are_thinned_points_with_the_rates_of_tables(genuine: list[int], impostor: list[int]) -> None:
    curves = measure.measured_curves(genuine, impostor)
    own, other = np.array(genuine), np.array(impostor)
    thresholds = [*sorted({*genuine, *impostor}), math.inf]
    every = {(float((other >= t).mean()), float((own < t).mean())) for t in thresholds}
    det = list(zip(curves.det.far, curves.det.frr))
    assert set(det) <= every
    assert det[0] == (1.0, 0.0)
    assert det[-1] == (0.0, 1.0)
    assert len(det) <= 300
    assert len(curves.roc.far) <= 300
    for rate in parts.TABLE_RATES:
        exact = measured_tar(genuine, impostor, rate)
        if exact.tar is not None:
            best = max(tar for far, tar in zip(curves.roc.far, curves.roc.tar) if far <= rate + 1e-12)
            assert best == pytest.approx(exact.tar, abs=1e-12)
            assert min(frr for far, frr in det if far <= rate + 1e-12) == pytest.approx(1 - exact.tar, abs=1e-12)


def test_thinning_keeps_the_area_and_the_rates_of_tables() -> None:
    genuine, impostor = scores(5000, 20_000)
    curves = measure.measured_curves(genuine, impostor)
    roc = curves.roc
    for rate in parts.TABLE_RATES:
        exact = measured_tar(genuine, impostor, rate).tar
        assert max(tar for far, tar in zip(roc.far, roc.tar) if far <= rate + 1e-12) == pytest.approx(exact, abs=1e-12)
        least = min(frr for far, frr in zip(curves.det.far, curves.det.frr) if far <= rate + 1e-12)
        assert least == pytest.approx(1 - exact, abs=1e-12)
    assert 250 < len(roc.far) <= 300
    assert -np.trapezoid(roc.tar, roc.far) == pytest.approx(roc_auc(genuine, impostor), abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES)
def test_histograms_count_every_trial(genuine: list[int], impostor: list[int]) -> None:
    bars = measure.score_histograms(genuine, impostor)
    for values, counts in ((genuine, bars.genuine), (impostor, bars.impostor)):
        naive = [0] * len(counts)
        for value in values:
            inside = [n for n in range(len(counts)) if bars.edges[n] <= value < bars.edges[n + 1]]
            naive[inside[0] if inside else len(counts) - 1] += 1
        assert list(counts) == naive
        assert sum(counts) == len(values)


def test_thin_tail_goes_into_one_wide_bin() -> None:
    bars = measure.score_histograms([*np.linspace(0.98, 0.999, 400), -0.5], np.linspace(0.97, 0.99, 400))
    widths = np.diff(bars.edges)
    assert bars.edges[0] == -0.5
    assert widths[0] > 20 * widths[1]
    np.testing.assert_allclose(widths[1:], widths[1])
    even = np.diff(measure.score_histograms([0.1, 0.9], [0.2, 0.5]).edges)
    np.testing.assert_allclose(even, even[0])
