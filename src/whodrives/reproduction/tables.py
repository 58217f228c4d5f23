"""What each table of the paper consists of, read from the TOML files beside this module."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whodrives.errors import InputError

HERE = Path(__file__).resolve().parent
TABLES, ROWS, RECIPES = HERE / "tables", HERE / "rows", HERE / "recipes"
# NVFAIR's folders call its generators otherwise than the paper's tables do.
# Column of the mean AUC on generators that were not trained on.
TRANSFER = "cross-generator"
PAPER_NAMES = {"facevid2vid": "FV2V", "tps": "TPS", "lia": "LIA"}


@dataclass(frozen=True, eq=False)
class Row:
    """One row. experiment : name of a file in `rows/`; empty: another system, only published figures.

    generator : the only one it is trained on; empty: all that the data have. published : column -> AUC.
    properties : as many as the table's. transfer : its experiment is also trained on each generator alone, for the
    column `TRANSFER`. amounts : names in `curves.AMOUNTS` of the scaling curves that it is a point of.
    """

    label: str
    experiment: str = ""
    generator: str = ""
    published: dict[str, float] = field(default_factory=dict)
    properties: tuple[str, ...] = ()
    transfer: bool = False
    amounts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Table:
    """One table. columns : of the published figures. matrix : rows are training, columns test generators.

    rows : of a matrix one, which `expand` repeats for every generator. mask_padding : leave repeated frames out.
    baseline : another system's published matrix, row by row, named by baseline_label.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    matrix: bool = False
    properties: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    mask_padding: bool = False
    baseline: tuple[tuple[float, ...], ...] = ()
    baseline_label: str = ""
    published: tuple[tuple[float, ...], ...] = ()

    def expand(self, generators: tuple[str, ...]) -> tuple[Row, ...]:
        """The rows over a data set's generators: a matrix trains one network on each, the published figures by name."""
        if not self.matrix:
            return self.rows
        (row,) = self.rows
        figures = {name: dict(zip(self.columns, values)) for name, values in zip(self.columns, self.published)}
        papers = {name: paper_name(name) for name in generators}
        ours = [Row(f"trained on {name}", row.experiment, name, figures.get(papers[name], {})) for name in generators]
        # Rows of the paper for generators that these data do not have: published figures alone.
        theirs = [
            Row(f"trained on {name}", published=values)
            for name, values in figures.items()
            if name not in papers.values()
        ]
        baseline = [
            Row(f"{self.baseline_label}, trained on {name}", published=dict(zip(self.columns, values)))
            for name, values in zip(self.columns, self.baseline)
        ]
        return (*ours, *theirs, *baseline)


def paper_name(generator: str) -> str:
    """What the paper's tables call a generator of a data set."""
    return PAPER_NAMES.get(generator, generator)


def table_names() -> list[str]:
    """Every table that can be reproduced: the paper's first, then our ablations."""
    names = sorted(path.stem for path in TABLES.glob("*.toml"))
    return sorted(names, key=lambda name: (not name.startswith(("table", "figure")), name))


def load_table(name: str) -> Table:
    """A table by name.

    Raises
    ------
    InputError
        No such table (the names are listed), or its file is wrong.
    """
    path = TABLES / f"{name}.toml"
    if name not in table_names():
        raise InputError(f"table {name!r}: there are {', '.join(table_names())}, and motion, disentanglement, all")
    return read_table(path)


def read_table(path: Path) -> Table:
    """A table from a TOML file of the same form as those in `tables/`. Raises InputError."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from error
    columns = tuple(values.pop("columns", ("overall",)))
    matrix = values.pop("kind", "rows") == "matrix"
    rows = [_row(path, row, columns) for row in values.pop("row", [])]
    if matrix:
        rows = [Row(values.get("title", path.stem), values.pop("experiment", ""))]
    if not rows or any(row.experiment and not (ROWS / f"{row.experiment}.toml").is_file() for row in rows):
        missing = [row.experiment for row in rows if row.experiment and not (ROWS / f"{row.experiment}.toml").is_file()]
        raise InputError(f"{path}: " + (f"no experiment {missing[0]!r} in {ROWS}" if missing else "holds no [[row]]"))
    try:
        return Table(path.stem, columns=columns, rows=tuple(rows), matrix=matrix, **_tuples(values))
    except TypeError as error:
        raise InputError(f"{path}: {error}") from error


def _row(path: Path, values: dict[str, Any], columns: tuple[str, ...]) -> Row:
    figures = values.pop("published", [])
    # Figures of the last columns may be left out.
    if len(figures) > len(columns):
        raise InputError(f"{path}: {len(figures)} published figures for {len(columns)} columns in {values}")
    try:
        return Row(published=dict(zip(columns, figures)), **_tuples(values))
    except TypeError as error:
        raise InputError(f"{path}: {error}") from error


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return tuple(plain(item) for item in value) if isinstance(value, list) else value

    return {name: plain(value) for name, value in values.items()}
