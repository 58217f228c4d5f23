"""A table of ours beside published figures: columns of their own, each with its heading, never one column for both."""

from __future__ import annotations

from collections import Counter

from whodrives.evaluation.report.document import NOTHING, Document, Grid, Section, count, shown
from whodrives.evaluation.report.result import Cell, Row, TableResult
from whodrives.evaluation.report.shared import (
    matrix_section,
    motion_section,
    panels_section,
    provenance_section,
    scaling_section,
)

PUBLISHED = "published, NVFAIR"
# Of a table whose properties say that not all published figures are of NVFAIR.
ELSEWHERE = "published, on the row's data set"
DATA_SET = "data set"
# Heads the column that says once for a row why it has no figures of ours.
STATUS = "status"


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


def row_status(row: Row) -> str:
    """Why a whole row has no figure of ours: what most of its cells that are ours say; empty where there is one."""
    found = Counter(cell.status for cell in row.cells.values() if cell.value is not None or cell.status != "ok")
    return found.most_common(1)[0][0] if found and "ok" not in found else ""


def our_words(cell: Cell | None, told: str = "") -> str:
    """Our figure of a cell, or why there is none. told : a status that stands beside the row already."""
    if cell is None or (told and cell.status == told):
        return NOTHING
    if cell.status != "ok":
        return cell.status
    text = shown(cell.value, cell.ci95)
    if len(cell.seeds) > 1:
        text += f" ({len(cell.seeds)} seeds, {min(cell.seeds):.3f} to {max(cell.seeds):.3f})"
    return text


def comparison_grid(table: TableResult) -> Grid:
    """Two columns for each column of the table, ours and the published one; a side that nobody filled is left out.

    Where whole rows have no figures of ours, the column after the labels says why, once a row.
    """
    ours = ours_heading(table.provenance.data_kind)
    header, columns = [table.row_name], []
    told = [row_status(row) for row in table.rows]
    if any(told):
        # Before the rest, which it explains.
        header.append(STATUS)
        columns.append([status or ("measured" if _has_ours(row) else NOTHING) for status, row in zip(told, table.rows)])
    for place, name in enumerate(table.properties):
        header.append(name)
        columns.append([row.properties[place] if row.properties else NOTHING for row in table.rows])
    groups = [("", len(header))]
    for name in table.columns:
        cells = [row.cells.get(name) for row in table.rows]
        sides = []
        published = any(cell is not None and cell.published is not None for cell in cells)
        # With nothing published the column is ours, even while it is empty.
        if not published or any(cell is not None and (cell.value is not None or cell.status != "ok") for cell in cells):
            sides.append((ours, [our_words(cell, status) for cell, status in zip(cells, told)]))
        if published:
            sides.append((published_heading(table), [shown(cell.published if cell else None) for cell in cells]))
        groups.append((name, len(sides)))
        for heading, texts in sides:
            header.append(heading)
            columns.append(texts)
    rows = tuple((row.label, *texts) for row, texts in zip(table.rows, zip(*columns)))
    return Grid(table.title, tuple(header), rows, tuple(groups))


def _has_ours(row: Row) -> bool:
    return any(cell.value is not None for cell in row.cells.values())


def _lead(table: TableResult) -> str:
    """How many figures and rows there are."""
    cells = [cell for row in table.rows for cell in row.cells.values()]
    measured = sum(cell.status == "ok" and cell.value is not None for cell in cells)
    parts = [f"{count(measured, 'figure')} measured"]
    for status in ("not run", "not trained"):
        rows = sum(any(cell.status.startswith(status) for cell in row.cells.values()) for row in table.rows)
        parts.append(f"{count(rows, 'row')} {status}")
    return ", ".join(parts)


def table_document(table: TableResult) -> Document:
    """The whole report of a table."""
    origin = table.provenance
    cells = [cell for row in table.rows for cell in row.cells.values()]
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
        _lead(table),
        tuple(words),
        (
            *panels_section(table.panels),
            Section("comparison", table.title, table.notes, (comparison_grid(table),)),
            *matrix_section(table.matrix, table.more_matrices),
            *scaling_section(table.scaling),
            *motion_section(table.motion_ratio),
            provenance_section(origin, "training seed"),
        ),
    )
