"""Tables from evaluations, without training: columns, seeds, differences."""

from typing import Any, cast

import numpy as np
import pytest

from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.report.comparison import ELSEWHERE, PUBLISHED, table_document
from whodrives.evaluation.report.parts import Provenance
from whodrives.evaluation.report.result import TableResult
from whodrives.reproduction.evaluations import Evaluation
from whodrives.reproduction.render import Outcome, Transfer, build_table, not_run, scores_of
from whodrives.reproduction.tables import load_table

ORIGIN = Provenance("a network", "videos", "NVFAIR", "0", "whodrives", "2025-01-01")


def evaluation(seed: int, generators: tuple[str, ...]) -> Evaluation:
    """Four people on each other's faces, two recordings each."""
    grid = [(d, t, r, g) for d in "abcd" for t in "abcd" for r in "12" for g in generators]
    driver, target, recording, generator = (np.array([row[n] for row in grid]) for n in range(4))
    empty, no = np.full(len(grid), ""), np.zeros(len(grid), bool)
    labels = VideoLabels(driver, target, recording, generator, empty, empty, driver == target, no)
    vectors = np.random.default_rng(seed).normal(size=(len(grid), 6)).astype(np.float32)
    return Evaluation(cast(Any, None), vectors, labels, 0.0, 0.9)


def made(name: str, evaluations: list[dict[int, Evaluation]], generators: tuple[str, ...], asked: int) -> TableResult:
    table = load_table(name)
    rows = table.expand(generators)
    outcomes = [Outcome(row, {}, None, asked) for row in rows]
    ours = [place for place, row in enumerate(rows) if row.experiment]
    for place, found in zip(ours, evaluations):
        outcomes[place] = Outcome(rows[place], found, None, asked)
    return build_table(table, outcomes, generators, ORIGIN)


def test_differences_are_of_the_seeds_that_both_rows_have() -> None:
    one, two, other = (evaluation(seed, ("x",)) for seed in (1, 2, 3))
    result = made("table6", [{1: one, 2: two}, {2: other}], ("x",), 2)
    alone = made("table6", [{2: two}, {2: other}], ("x",), 1)
    (note,) = (note for note in result.notes if "minus" in note)
    (expected,) = (note for note in alone.notes if "minus" in note)
    assert note == expected.replace("over people:", "over people (seeds 2 alone):")
    assert "pixel_diff: 1 of 2 seeds so far." in result.notes
    assert not any("so far" in note for note in (*alone.notes, note))


def test_on_nvfair_our_figures_stand_beside_the_papers() -> None:
    generators = ("facevid2vid", "lia", "tps")
    found = evaluation(1, generators)
    result = made("table3", [{1: found}], generators, 1)
    assert result.columns[:4] == ("overall", *generators)
    assert not {"FV2V", "TPS", "LIA"} & set(result.columns)
    rows = {row.label: row.cells for row in result.rows}
    assert [rows["feat_diff"][name].published for name in result.columns[:4]] == [0.877, 0.869, 0.882, 0.880]
    assert rows["feat_diff"]["tps"].value is not None
    baseline = rows["NVFAIR landmark baseline"]
    assert [baseline[name].published for name in result.columns[:4]] == [0.853, 0.87, 0.84, 0.85]


def test_figure_2_stands_against_its_baseline() -> None:
    result = made("figure2", [], ("facevid2vid", "lia", "tps"), 1)
    rows = {row.label: [row.cells[name].published for name in result.columns[:3]] for row in result.rows}
    assert result.columns[:3] == ("facevid2vid", "lia", "tps")
    assert rows == {
        "trained on facevid2vid": [0.869, 0.842, 0.833],
        "trained on lia": [0.852, 0.902, 0.869],
        "trained on tps": [0.838, 0.872, 0.879],
        "NVFAIR baseline, trained on FV2V": [0.87, 0.84, 0.82],
        "NVFAIR baseline, trained on TPS": [0.85, 0.84, 0.85],
        "NVFAIR baseline, trained on LIA": [0.83, 0.84, 0.82],
    }


def test_matrices_are_pooled_as_the_published_ones_with_the_mean_over_targets_beside() -> None:
    generators = ("x", "y")
    found = [evaluation(1, generators), evaluation(2, generators)]
    result = made("table4", [{1: found[0]}, {1: found[1]}], generators, 1)
    assert result.columns == ("x", "y", "FV2V", "TPS", "LIA", "x, mean over targets", "y, mean over targets")
    assert result.matrix is not None
    (mean,) = result.more_matrices
    assert (result.matrix.protocol, mean.protocol) == ("one pooled ROC over all targets", "mean over targets")
    for number, (one, row) in enumerate(zip(found, result.rows)):
        for place, name in enumerate(generators):
            pooled, by_target = (scores_of(one, kind, name).auc() for kind in ("pooled", "per_target_mean"))
            assert abs(pooled - by_target) > 1e-3
            assert row.cells[name].value == result.matrix.values[number][place] == pytest.approx(pooled)
            assert row.cells[f"{name}, mean over targets"].value == mean.values[number][place]
            assert mean.values[number][place] == pytest.approx(by_target)
    assert any("published values are one pooled ROC" in note for note in result.notes)


def test_figure_2_has_a_panel_for_each_training_generator() -> None:
    found = evaluation(1, ("tps", "warp"))
    result = made("figure2", [{1: found}], ("tps", "warp"), 1)
    assert [panel.title for panel in result.panels] == [f"trained on {name}" for name in ("tps", "warp", "FV2V", "LIA")]
    tps, warp, fv2v, _ = result.panels
    ours, published, baseline = tps.lines
    assert ours.name == "ours, NVFAIR: feat_diff"
    assert ours.values[0] == pytest.approx(scores_of(found, "pooled", "tps").auc())
    assert ours.ci95[0] is not None
    # The paper has nothing on warp.
    assert (published.name, published.values) == (f"{PUBLISHED}: feat_diff", (0.879, None))
    assert (baseline.name, baseline.values) == (f"{PUBLISHED}: NVFAIR baseline", (0.85, None))
    assert [line.values for line in warp.lines] == [(None, None)]
    assert fv2v.columns == ("FV2V", "TPS", "LIA")
    assert [line.values for line in fv2v.lines] == [(0.869, 0.833, 0.842), (0.87, 0.82, 0.84)]
    assert not made("table4", [], ("tps",), 1).panels


def test_scaling_curves_run_over_what_the_networks_saw() -> None:
    table = load_table("scaling")
    counts = [
        {"training drivers": 12.0},
        {"training drivers": 24.0},
        {"recordings of each driver": 2.0},
        {"recordings of each driver": 4.0},
        {"training drivers": 48.0, "recordings of each driver": 4.0},
    ]
    assert [set(row.amounts) for row in table.rows] == [set(one) for one in counts]
    outcomes = [
        Outcome(row, {1: evaluation(number, ("x",))}, 0.0, 1, amounts)
        for number, (row, amounts) in enumerate(zip(table.rows, counts))
    ]
    result = build_table(table, outcomes, ("x",), ORIGIN)
    assert [(one.x_name, one.name, one.x) for one in result.scaling] == [
        ("training drivers", name, (12.0, 24.0, 48.0)) for name in ("the paper's protocol", "Eq. 1")
    ]
    whole = result.rows[4].cells
    assert result.scaling[0].auc[2] == whole["overall"].value
    assert result.scaling[1].ci95[2] == whole["Eq. 1"].ci95
    (note,) = (note for note in result.notes if "No curve" in note)
    assert note.startswith("No curve over recordings of each driver: among 2 recordings, 3 recordings, all")


def test_table_2_has_the_column_of_generators_not_trained_on() -> None:
    generators = ("x", "y", "z")
    table = load_table("table2")
    networks = {name: evaluation(number, generators) for number, name in enumerate(generators)}
    outcomes = [Outcome(row, {}, 1.0, 1, {}, Transfer({1: networks}) if row.transfer else None) for row in table.rows]
    result = build_table(table, outcomes, generators, ORIGIN)
    cell = {row.label: row.cells for row in result.rows}["F5C, feat_diff"]["cross-generator"]
    across = [
        scores_of(one, "pooled", tested).auc()
        for trained, one in networks.items()
        for tested in generators
        if tested != trained
    ]
    assert len(across) == 6
    assert cell.value == pytest.approx(np.mean(across), abs=1e-6)
    assert (cell.seeds, cell.published) == ((cell.value,), 0.851)
    waiting = [Outcome(row, {}, 1.0, 1, {}, Transfer({}, 7.04) if row.transfer else None) for row in table.rows]
    cells = {row.label: row.cells for row in build_table(table, waiting, generators, ORIGIN).rows}
    assert cells["F5C, pixel_diff"]["cross-generator"].status == "not run (estimated 7.0 h)"
    assert cells["F5C, pixel_diff"]["overall"].status == "not run (estimated 1.0 h)"
    assert cells["NVFAIR baseline"]["cross-generator"].published == 0.833
    assert "cross-generator" not in cells["F5C, static"]


def test_what_waits_says_for_how_long() -> None:
    assert not_run(12.34) == "not run (estimated 12.3 h)"
    assert not_run(0.01) == "not run (estimated under 0.1 h)"
    assert not_run(None) == "not run (no estimate)"


def test_table_2_does_not_call_everything_nvfair() -> None:
    for name, heading, other in (("table2", ELSEWHERE, PUBLISHED), ("table6", PUBLISHED, ELSEWHERE)):
        document = table_document(made(name, [], ("warp",), 1))
        assert heading in document.sections[0].grids[0].header
        assert other not in document.sections[0].grids[0].header
        assert any(f'"{heading}"' in words for words in document.words)
