"""From rows to drawn figures: scaling curves, and the panels of Figure 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whodrives.evaluation.report.comparison import PUBLISHED, ours_heading
from whodrives.evaluation.report.parts import Line, Panel, Scaling
from whodrives.evaluation.report.result import Row as ReportRow
from whodrives.reproduction.tables import Row, Table, paper_name
from whodrives.training.config import TrainConfig
from whodrives.training.opening import training_people

DRIVERS, RECORDINGS, FRAMES = "training drivers", "recordings of each driver", "frames a clip"
AMOUNTS = (DRIVERS, RECORDINGS, FRAMES)


def amounts_of(row: Row, config: TrainConfig) -> dict[str, float]:
    """How much of each amount in `row.amounts` a run of `config` learns from.

    Raises
    ------
    InputError, StoreError
        The training data are not where the configuration says.
    """
    if not {DRIVERS, RECORDINGS} & set(row.amounts):
        return {FRAMES: float(config.data.clip_length)} if FRAMES in row.amounts else {}
    drivers, recordings = training_people(config)
    known = {DRIVERS: float(drivers), RECORDINGS: recordings, FRAMES: float(config.data.clip_length)}
    return {name: known[name] for name in row.amounts}


def scaling_curves(
    rows: Sequence[tuple[ReportRow, Mapping[str, float]]], series: Mapping[str, str]
) -> tuple[tuple[Scaling, ...], list[str]]:
    """A curve over each amount for each column, and notes on curves that cannot be drawn.

    Parameters
    ----------
    rows : with the amounts that they stand for. series : column of the rows -> name in the legend.
    """
    curves, notes = [], []
    for amount in AMOUNTS:
        points = sorted(((found[amount], row) for row, found in rows if amount in found), key=lambda point: point[0])
        if len({x for x, _ in points}) < len(points):
            labels = ", ".join(row.label for _, row in points)
            notes.append(f"No curve over {amount}: among {labels}, some rows had equally many on these data.")
            continue
        for column, name in series.items():
            known = [(x, cell) for x, row in points if (cell := row.cells.get(column)) and cell.value is not None]
            if len(known) > 1:
                values = tuple(cell.value for _, cell in known if cell.value is not None)
                curves.append(
                    Scaling(amount, tuple(x for x, _ in known), values, tuple(cell.ci95 for _, cell in known), name)
                )
    return tuple(curves), notes


def panels(
    table: Table, rows: Sequence[tuple[Row, ReportRow]], generators: tuple[str, ...], data_kind: str
) -> tuple[Panel, ...]:
    """Figure 2: a panel for each training generator, its lines over the test generators.

    A generator of the data that is one of the paper's has ours and the published figures in one panel; the paper's
    others have panels of their own.
    """
    (experiment,) = (row.experiment for row in table.rows)
    out = []
    for row, made in rows:
        if not row.generator:
            continue
        cells = [made.cells.get(name) for name in generators]
        own = Line(
            f"{ours_heading(data_kind)}: {experiment}",
            "ours",
            tuple(cell.value if cell else None for cell in cells),
            tuple(cell.ci95 if cell else None for cell in cells),
        )
        papers = tuple(paper_name(name) for name in generators)
        out.append(Panel(f"trained on {row.generator}", generators, (own, *_published(table, row.generator, papers))))
    have = {paper_name(name) for name in generators}
    for name in table.columns:
        if name not in have:
            out.append(Panel(f"trained on {name}", table.columns, _published(table, name, table.columns)))
    return tuple(out)


def _published(table: Table, trained_on: str, tested_on: tuple[str, ...]) -> tuple[Line, ...]:
    """The published figures of the table's method and of its baseline, where the paper has this generator."""
    name = paper_name(trained_on)
    if name not in table.columns:
        return ()
    place = table.columns.index(name)
    (experiment,) = (row.experiment for row in table.rows)
    lines = []
    for kind, words, values in (
        ("published", experiment, table.published),
        ("baseline", table.baseline_label, table.baseline),
    ):
        figures = dict(zip(table.columns, values[place])) if values else {}
        if any(column in figures for column in tested_on):
            found = tuple(figures.get(column) for column in tested_on)
            lines.append(Line(f"{PUBLISHED}: {words}", kind, found, (None,) * len(found)))
    return tuple(lines)
