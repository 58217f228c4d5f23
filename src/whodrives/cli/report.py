"""Reports on the terminal: the same sections as in the files, as Rich tables."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from whodrives.cli.output import print_lines, print_table

if TYPE_CHECKING:
    from whodrives.evaluation.report.document import Document

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
                header, rows = grid.flat_header(), grid.rows
                # A terminal is narrow: the shorter side goes across.
                if len(header) > max(4, len(rows) + 1):
                    turned = list(zip(header, *rows))
                    header, rows = turned[0], tuple(turned[1:])
                print_table(header, rows, title=grid.caption)
            if section.key == "comparison":
                print_lines(*section.words)
