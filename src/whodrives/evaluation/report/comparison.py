"""A table of ours beside published figures: columns of their own, each with its heading, never one column for both."""

from __future__ import annotations

from whodrives.evaluation.report.document import NOTHING, Document, Grid, Section, count, shown
from whodrives.evaluation.report.result import Cell, TableResult
from whodrives.evaluation.report.shared import matrix_section, motion_section, provenance_section, scaling_section

PUBLISHED = "published, NVFAIR"
# Of a table whose properties say that not all published figures are of NVFAIR.
ELSEWHERE = "published, on the row's data set"
DATA_SET = "data set"


def ours_heading(data_kind: str) -> str:
    """Heading of our columns: "ours, simulated"."""
    return f"ours, {data_kind}"


def published_heading(table: TableResult) -> str:
    """Heading of the published columns."""
    if DATA_SET not in table.properties:
        return PUBLISHED
    place = table.properties.index(DATA_SET)
    sets = {
        row.properties[place]
        for row in table.rows
        if row.properties and any(cell.published is not None for cell in row.cells.values())
    }
    return PUBLISHED if sets <= {"NVFAIR"} else ELSEWHERE


def our_words(cell: Cell | None) -> str:
    """Our figure of a cell, or why there is none."""
    if cell is None:
        return NOTHING
    if cell.status != "ok":
        return cell.status
    text = shown(cell.value, cell.ci95)
    if len(cell.seeds) > 1:
        text += f" ({len(cell.seeds)} seeds, {min(cell.seeds):.3f} to {max(cell.seeds):.3f})"
    return text


def comparison_grid(table: TableResult) -> Grid:
    """Two columns for each column of the table, ours and the published one; a side that nobody filled is left out."""
    ours = ours_heading(table.provenance.data_kind)
    header, groups, columns = [table.row_name, *table.properties], [("", 1 + len(table.properties))], []
    for place in range(len(table.properties)):
        columns.append([row.properties[place] if row.properties else NOTHING for row in table.rows])
    for name in table.columns:
        cells = [row.cells.get(name) for row in table.rows]
        sides = []
        published = any(cell is not None and cell.published is not None for cell in cells)
        # With nothing published the column is ours, even while it is empty.
        if not published or any(cell is not None and (cell.value is not None or cell.status != "ok") for cell in cells):
            sides.append((ours, [our_words(cell) for cell in cells]))
        if published:
            sides.append((published_heading(table), [shown(cell.published if cell else None) for cell in cells]))
        groups.append((name, len(sides)))
        for heading, texts in sides:
            header.append(heading)
            columns.append(texts)
    rows = tuple((row.label, *texts) for row, texts in zip(table.rows, zip(*columns)))
    return Grid(table.title, tuple(header), rows, tuple(groups))


def table_document(table: TableResult) -> Document:
    """The whole report of a table."""
    cells = [cell for row in table.rows for cell in row.cells.values()]
    measured = sum(cell.status == "ok" and cell.value is not None for cell in cells)
    waiting = sum(cell.status.startswith("not run") for cell in cells)
    untrained = sum(cell.status.startswith("not trained") for cell in cells)
    lead = f"{count(measured, 'figure')} measured, {waiting:,} not run, {untrained:,} not trained"
    origin = table.provenance
    words = [f"What is measured: {origin.model}. Measured on: {origin.data} ({origin.data_kind}). Intervals are 95%."]
    if any(cell.published is not None for cell in cells):
        other = "" if origin.data_kind == "NVFAIR" else ", on other videos than ours"
        ours, published = ours_heading(origin.data_kind), published_heading(table)
        words.append(
            f'Columns headed "{ours}" were measured here; columns headed "{published}" are '
            f"copied from the paper{other}. They are not one measurement and share no column."
        )
    return Document(
        table.name,
        f"{table.name}: {table.title}",
        lead,
        tuple(words),
        (
            Section("comparison", table.title, table.notes, (comparison_grid(table),)),
            *matrix_section(table.matrix),
            *scaling_section(table.scaling),
            *motion_section(table.motion_ratio),
            provenance_section(origin),
        ),
    )
