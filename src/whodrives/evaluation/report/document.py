"""A report before it has a format: sections of plain text and grids of plain text. Nothing here is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOTHING = "–"


@dataclass(frozen=True)
class Grid:
    """header (C,) and rows of C cells. groups : (text, columns it spans) above the header, their spans sum to C.

    prose : how many columns at the end hold sentences.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    groups: tuple[tuple[str, int], ...] = ()
    prose: int = 0

    def flat_header(self) -> tuple[str, ...]:
        """One line of headings, each with its group before it."""
        above = [text for text, span in self.groups for _ in range(span)] or [""] * len(self.header)
        return tuple(f"{group}: {name}" if group and name else group or name for group, name in zip(above, self.header))


@dataclass(frozen=True)
class Section:
    """key : names the figures that belong here. words : paragraphs. instead : what a figure shows, as a grid.

    only_figure : the grid would be noise where there is no figure, and is left out there.
    """

    key: str
    title: str
    words: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    instead: tuple[Grid, ...] = ()
    only_figure: bool = False


@dataclass(frozen=True)
class Document:
    """name : a short one, for labels. lead : the first line. words : what was measured on what."""

    name: str
    title: str
    lead: str
    words: tuple[str, ...]
    sections: tuple[Section, ...]


def shown(value: float | None, ci95: Sequence[float] | None = None, digits: int = 3) -> str:
    """A number with its interval, "0.749 [0.688, 0.806]"; a dash for None."""
    if value is None:
        return NOTHING
    interval = "" if ci95 is None else f" [{ci95[0]:.{digits}f}, {ci95[1]:.{digits}f}]"
    return f"{value:.{digits}f}{interval}"


def percent(rate: float | str) -> str:
    """A rate, or a rate written as text, in percent without needless digits; other text stays as it is."""
    try:
        return f"{100 * float(rate):.6g}%"
    except ValueError:
        return str(rate)


def count(number: int, word: str) -> str:
    """ "1,600 pairs"; "1 pair"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
