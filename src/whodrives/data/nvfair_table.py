"""NVFAIR's table about single files, ``per_file_information_NVFAIR_v2.xlsx``: licence and permitted use of each.

The terms differ from file to file, so they travel with every record. The same table is read as CSV.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whodrives.data.errors import LayoutError
from whodrives.data.tables import read_table, yes_no

XLSX_NAME, CSV_NAME = "per_file_information_NVFAIR_v2.xlsx", "per_file_information_NVFAIR_v2.csv"
COLUMNS = {
    "file": ("file name", "filename", "file"),
    "real": ("real or synthetic?", "real or synthetic", "real_or_synthetic"),
    "kind": ("self / cross-reenactment?", "self/cross-reenactment?", "self_cross_label"),
    "licence": ("applicable license", "license", "licence"),
    "research": (
        "file can be used for research topics other than audio-visual remote communication?",
        "research_use",
    ),
    "publication": (
        "file can attached in publication-related materials?",
        "file can be attached in publication-related materials?",
        "publication_use",
    ),
}
# <source>/<generator folder>/<target>/<file>
_DEPTH = 4


@dataclass(frozen=True)
class Terms:
    """One file's terms. research, publication : None where the cell says neither yes nor no. kind : self/cross text."""

    licence: str = ""
    research: bool | None = None
    publication: bool | None = None
    kind: str = ""


UNKNOWN = Terms()


@dataclass(frozen=True)
class PerFile:
    """The whole table: terms by path below the root, or by bare name, both without ``.mp4``.

    Parameters
    ----------
    unclear : cells that say neither yes nor no, as told. merged : rows with a bare name that came before under other
        terms: the stricter ones hold for all files of that name.
    """

    path: Path
    of: dict[str, Terms]
    unclear: int
    merged: int

    def terms(self, place: str, stem: str) -> Terms:
        """Terms of the file `stem` in `place` = ``<source>/<generator folder>/<target>``; `UNKNOWN` without a row."""
        return self.of.get(f"{place}/{stem}") or self.of.get(stem) or UNKNOWN

    def notes(self, named: int, total: int) -> list[str]:
        """Sentences on coverage (`named` of `total` files have a row) and on what the table leaves open."""
        notes = []
        if named < total:
            notes.append(f"{self.path.name} has no row for {total - named} of {total} videos; their terms are unknown")
        if self.unclear:
            notes.append(f"{self.path.name}: {self.unclear} cells say neither yes nor no; they count as not stated")
        if self.merged:
            notes.append(f"{self.path.name}: {self.merged} rows repeat a name under other terms; the stricter hold")
        return notes


def read_per_file(path: str | Path) -> PerFile:
    """Read the table; columns are found by the names that it has (question marks and all), or those of the CSV lists.

    Raises
    ------
    LayoutError
        The file cannot be read, openpyxl is missing, or the column of file names or all of licence and use are.
    """
    path = Path(path)
    table = read_table(path, COLUMNS, required=("file",))
    if not table.present & {"licence", "research", "publication"}:
        raise LayoutError(f"{path}: has neither a licence nor a column on permitted use; give NVFAIR's per-file table")
    of: dict[str, Terms] = {}
    seen: dict[tuple[str, ...], Terms] = {}
    unclear = merged = 0
    for _, (file, _real, kind, licence, research, publication) in table.rows:
        if not file:
            continue
        cells = (licence, research, publication, kind)
        terms = seen.get(cells)
        if terms is None:
            terms = seen[cells] = Terms(licence, yes_no(research), yes_no(publication), kind.lower())
        unclear += (terms.research is None and "research" in table.present) + (
            terms.publication is None and "publication" in table.present
        )
        key = _key(file)
        before = of.setdefault(key, terms)
        if before is not terms and before != terms:
            merged += 1
            of[key] = _stricter(before, terms)
    return PerFile(path, of, unclear, merged)


def _key(file: str) -> str:
    parts = file.replace("\\", "/").split("/")[-_DEPTH:]
    # A path of fewer parts could belong to several files; then the name alone decides, as in a table of bare names.
    key = "/".join(parts) if len(parts) == _DEPTH else parts[-1]
    return key[:-4] if key.lower().endswith(".mp4") else key


def _stricter(one: Terms, other: Terms) -> Terms:
    licence = one.licence if one.licence == other.licence else " / ".join(sorted({one.licence, other.licence} - {""}))
    return Terms(
        licence,
        _both(one.research, other.research),
        _both(one.publication, other.publication),
        one.kind if one.kind == other.kind else "",
    )


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return one if one == other else None
