"""Reports on the terminal: the same sections as in the files, as Rich tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from whodrives.cli.output import print_lines, print_table, terminal_width
from whodrives.evaluation.report.document import NOTHING

if TYPE_CHECKING:
    from whodrives.evaluation.report.document import Document, Grid

# The rest (curves, histograms, single targets, provenance) is for the files.
SECTIONS = (
    "protocols",
    "controls",
    "generators",
    "verification",
    "identification",
    "subgroups",
    "comparison",
    "matrix",
)


def print_document(document: Document, sections: Collection[str] = SECTIONS) -> None:
    """The lead, what was measured on what, and the tables of some sections."""
    print_lines(document.lead, *document.words)
    for section in document.sections:
        if section.key in sections:
            for grid in (*section.grids, *section.instead):
                for number, (header, rows, widths) in enumerate(pieces(grid, terminal_width())):
                    print_table(header, rows, grid.caption if not number else None, widths)
            if section.key == "comparison":
                print_lines(*section.words)


# Cells fold at these widths: a figure with its interval, and words.
FOLD, FOLD_WORDS = 22, 34
Piece = tuple[tuple[str, ...], tuple[tuple[str, ...], ...], list[int] | None]


def pieces(grid: Grid, width: int) -> Iterator[Piece]:
    """A grid as tables that fit into lines of `width` characters: header, rows, widths of the columns (None: any).

    Whole where it fits; turned on its side where it is wider than tall and fits so; else a few columns at a time, each
    time beside the labels, columns under one heading together where they can be. Of those, rows that say nothing there
    are left out.
    """
    header, rows = grid.flat_header(), grid.rows
    if _room(_widths(header, rows)) <= width or len(header) < 3:
        yield header, rows, None
        return
    turned = list(zip(header, *rows))
    if len(header) > max(4, len(rows) + 1) and _room(_widths(turned[0], turned[1:])) <= width:
        yield turned[0], tuple(turned[1:]), None
        return
    widths = _widths(header, rows)
    for shown in _portions(_headings(grid), widths, width):
        chosen = [0, *shown]
        cells = [tuple(row[one] for one in chosen) for row in rows]
        told = tuple(row for row in cells if any(cell != NOTHING for cell in row[1:]))
        if told:
            yield tuple(header[one] for one in chosen), told, [widths[one] for one in chosen]


def _headings(grid: Grid) -> Iterator[list[int]]:
    """Columns by the heading above them, without the labels; those without a heading each alone."""
    place = 0
    for words, span in grid.groups or [("", 1)] * len(grid.header):
        columns = [one for one in range(place, place + span) if one]
        yield from [columns] if words and columns else [[one] for one in columns]
        place += span


def _portions(headings: Iterable[list[int]], widths: list[int], width: int) -> Iterator[list[int]]:
    """Columns that fit beside the labels."""

    def fits(columns: list[int]) -> bool:
        return _room([widths[one] for one in (0, *columns)]) <= width

    shown: list[int] = []
    for heading in headings:
        for part in [heading] if fits(heading) else [[one] for one in heading]:
            if shown and not fits([*shown, *part]):
                yield shown
                shown = []
            shown = [*shown, *part]
    yield shown


def _widths(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Of each column: its longest cell, folded, and the longest word of its heading."""
    out = []
    for heading, *cells in zip(header, *rows):
        words = max((len(word) for word in heading.split()), default=1)
        figures = any(cell[:1].isdigit() for cell in cells)
        out.append(max(words, min(FOLD if figures else FOLD_WORDS, max(map(len, cells), default=1))))
    return out


def _room(widths: Sequence[int]) -> int:
    """Characters that a table of such columns takes, its lines and padding included."""
    return sum(widths) + 3 * len(widths) + 1
