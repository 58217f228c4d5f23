"""Sections that both kinds of result have: cross-generator matrix, scaling, motion ratio, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whodrives.evaluation.report.document import Grid, Section, shown
from whodrives.evaluation.report.parts import Matrix, MotionRatio, Provenance, Scaling


def matrix_section(matrix: Matrix | None) -> list[Section]:
    """AUC by the generator of a row and that of a column; what each did stands in the matrix."""
    if matrix is None:
        return []
    rows = tuple((name, *(shown(value) for value in row)) for name, row in zip(matrix.rows, matrix.values))
    words = (f"AUC. Row: the generator {matrix.row_word}; column: the generator {matrix.column_word}.",)
    caption = f"AUC by the generator {matrix.row_word} (row) and the one {matrix.column_word} (column)"
    grid = Grid(caption, (matrix.row_word, *matrix.columns), rows)
    return [Section("matrix", "Across generators", words, instead=(grid,))]


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


def provenance_section(provenance: Provenance) -> Section:
    """Every field that is known, and "not recorded" for the ones that a reader would look for."""
    seed = provenance.seed
    rows = (
        ("model", provenance.model),
        ("weights, SHA-256", provenance.weights_sha256),
        ("data", f"{provenance.data} ({provenance.data_kind})"),
        ("data, SHA-256", provenance.data_sha256),
        ("split", provenance.split),
        ("commit", provenance.commit),
        ("seed", ", ".join(map(str, seed)) if isinstance(seed, tuple) else None if seed is None else str(seed)),
        ("command", provenance.command),
        ("date", provenance.date),
        ("software", ", ".join(f"{name} {version}" for name, version in provenance.software.items())),
        ("intervals", provenance.intervals and f"95%, {provenance.intervals}"),
    )
    filled = tuple((name, value or "not recorded") for name, value in rows)
    return Section("provenance", "Provenance", grids=(Grid("Provenance", ("what", "value"), filled, prose=1),))
