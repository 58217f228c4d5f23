"""Tables from evaluations, without training: columns, seeds, differences."""

from typing import Any, cast

import numpy as np

from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.report.comparison import ELSEWHERE, PUBLISHED, table_document
from whodrives.evaluation.report.parts import Provenance
from whodrives.evaluation.report.result import TableResult
from whodrives.reproduction.evaluations import Evaluation
from whodrives.reproduction.render import Outcome, build_table
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
    rows = {row.label: [row.cells[name].published for name in result.columns] for row in result.rows}
    assert result.columns == ("facevid2vid", "lia", "tps")
    assert rows == {
        "trained on facevid2vid": [0.869, 0.842, 0.833],
        "trained on lia": [0.852, 0.902, 0.869],
        "trained on tps": [0.838, 0.872, 0.879],
        "NVFAIR baseline, trained on FV2V": [0.87, 0.84, 0.82],
        "NVFAIR baseline, trained on TPS": [0.85, 0.84, 0.85],
        "NVFAIR baseline, trained on LIA": [0.83, 0.84, 0.82],
    }


def test_table_2_does_not_call_everything_nvfair() -> None:
    for name, heading, other in (("table2", ELSEWHERE, PUBLISHED), ("table6", PUBLISHED, ELSEWHERE)):
        document = table_document(made(name, [], ("warp",), 1))
        assert heading in document.sections[0].grids[0].header
        assert other not in document.sections[0].grids[0].header
        assert any(f'"{heading}"' in words for words in document.words)
