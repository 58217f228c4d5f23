"""Sections that both kinds of result have: cross-generator matrix, scaling, motion ratio, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whodrives.evaluation.report.document import NOTHING, Grid, Section, shown
from whodrives.evaluation.report.parts import Matrix, MotionRatio, Panel, Provenance, Scaling

# Hexadecimal digits of a whole SHA-256.
WHOLE_DIGEST = 64


def matrix_section(matrix: Matrix | None, more: Sequence[Matrix] = ()) -> list[Section]:
    """AUC by the generator of a row and that of a column, a grid for each choice of trials."""
    matrices = [one for one in (matrix, *more) if one is not None]
    if not matrices:
        return []
    row, column = matrices[0].row_word, matrices[0].column_word
    words = (f"AUC. Row: the generator {row}; column: the generator {column}.",)
    return [Section("matrix", "Across generators", words, instead=tuple(map(_matrix_grid, matrices)))]


def matrix_title(matrix: Matrix) -> str:
    """What its values are."""
    return f"AUC ({matrix.protocol})" if matrix.protocol else "AUC"


def _matrix_grid(matrix: Matrix) -> Grid:
    rows = tuple((name, *(shown(value) for value in row)) for name, row in zip(matrix.rows, matrix.values))
    row, column = matrix.row_word, matrix.column_word
    caption = f"{matrix_title(matrix)} by the generator {row} (row) and the one {column} (column)"
    return Grid(caption, (row, *matrix.columns), rows)


def panels_section(panels: Sequence[Panel]) -> list[Section]:
    """A row for each training and test generator, a column for each line."""
    if not panels:
        return []
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    rows = []
    for panel in panels:
        lines = {line.name: line for line in panel.lines}
        for place, column in enumerate(panel.columns):
            found = [
                shown(lines[name].values[place], lines[name].ci95[place]) if name in lines else NOTHING
                for name in names
            ]
            rows.append((panel.title, column, *found))
    words = (
        "A panel for each training generator: AUC on each test generator. Unbroken: ours, with 95% intervals; dashed: "
        "published.",
    )
    grid = Grid("AUC by training and test generator", ("panel", "tested on", *names), tuple(rows))
    return [Section("panels", "By training generator", words, instead=(grid,), only_figure=True)]


def by_amount(scaling: Sequence[Scaling]) -> dict[str, list[Scaling]]:
    """Series grouped by what they run over, in order of appearance."""
    groups: dict[str, list[Scaling]] = {}
    for series in scaling:
        groups.setdefault(series.x_name, []).append(series)
    return groups


def scaling_section(scaling: Sequence[Scaling]) -> list[Section]:
    """A grid per amount: a row per point."""
    grids = tuple(
        Grid(
            f"AUC over {x_name}",
            ("series", x_name, "AUC [95%]"),
            tuple(
                (series.name, f"{x:,.6g}", shown(auc, ci95))
                for series in group
                for x, auc, ci95 in zip(series.x, series.auc, series.ci95)
            ),
        )
        for x_name, group in by_amount(scaling).items()
    )
    words = ("Bands are 95% intervals; the amount runs on a logarithmic axis.",)
    return [Section("scaling", "Scaling", words, instead=grids)] if grids else []


def motion_section(ratios: Mapping[str, MotionRatio]) -> list[Section]:
    """Motion ratio and the cosine of neighbouring frames."""
    if not ratios:
        return []
    words = (
        "How much a feature changes from one frame to the next, as a share of its length: the mean of "
        "‖f(t+1) − f(t)‖ / ‖f(t)‖. Near 0, neighbouring frames look alike to the network.",
    )
    rows = tuple(
        (name, shown(one.ratio, digits=4), shown(one.adjacent_cosine, digits=4)) for name, one in ratios.items()
    )
    grid = Grid("Motion ratio", ("features", "motion ratio", "cosine of neighbouring frames"), rows)
    return [Section("motion", "Motion ratio", words, instead=(grid,))]


def _digest(what: str, digest: str | None) -> tuple[str, str | None]:
    """A digest under a label that says how much of it there is."""
    part = f" (first {len(digest)} digits)" if digest and len(digest) < WHOLE_DIGEST else ""
    return f"{what}, SHA-256{part}", digest


def provenance_section(provenance: Provenance, seed_name: str = "seed") -> Section:
    """Every field that is known, and "not recorded" for the ones that a reader would look for.

    seed_name : what the seeds are of.
    """
    seed = provenance.seed
    rows = (
        ("model", provenance.model),
        _digest("weights", provenance.weights_sha256),
        ("data", f"{provenance.data} ({provenance.data_kind})"),
        _digest("data", provenance.data_sha256),
        ("split", provenance.split),
        ("commit", provenance.commit),
        (seed_name, ", ".join(map(str, seed)) if isinstance(seed, tuple) else None if seed is None else str(seed)),
        ("command", provenance.command),
        ("date", provenance.date),
        ("software", ", ".join(f"{name} {version}" for name, version in provenance.software.items())),
        ("intervals", provenance.intervals and f"95%, {provenance.intervals}"),
    )
    filled = tuple((name, value or "not recorded") for name, value in rows)
    return Section("provenance", "Provenance", grids=(Grid("Provenance", ("what", "value"), filled, prose=1),))
