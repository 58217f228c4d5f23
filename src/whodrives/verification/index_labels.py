"""Labels of templates: the group of a driver, and the purposes that the driver allowed (consent scopes)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.data.tables import read_table
from whodrives.errors import InputError
from whodrives.verification.gallery_rows import normalise_name

COLUMNS = {"name": ("name", "driver"), "group": ("group",), "scope": ("scope", "scopes"), "path": ("path", "video")}


@dataclass(frozen=True)
class Label:
    """group : empty for none. scopes : what the driver allowed, sorted; empty allows nothing that has a name."""

    group: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelTable:
    """labels : name -> label. names : path -> name, for videos embedded without a gallery."""

    labels: Mapping[str, Label]
    names: Mapping[str, str]

    def of(self, name: str) -> Label:
        """The label of a name; one without group and scopes for a name that the table lacks."""
        return self.labels.get(name, Label())


NO_LABELS = LabelTable({}, {})


def read_labels(path: Path) -> LabelTable:
    """Read a table (CSV, or XLSX with the extra `nvfair`) with the columns name, group, scope and, for videos, path.

    Several scopes in a cell are parted by spaces or ``|``. A table with paths has a line for each video; the lines of
    one name must agree.

    Raises
    ------
    LayoutError
        The table cannot be read or has no column `name`.
    InputError
        A name is empty or overlong, a path stands twice, or lines of one name differ.
    """
    labels: dict[str, Label] = {}
    names: dict[str, str] = {}
    table = read_table(path, COLUMNS, required=("name",), exact=("path",))
    for line, (written, group, scope, video) in table.rows:
        try:
            name = normalise_name(written)
        except InputError as error:
            raise InputError(f"{path}, line {line}: {error}") from error
        label = Label(group.strip(), tuple(sorted(set(scope.replace("|", " ").split()))))
        if labels.setdefault(name, label) != label:
            raise InputError(f"{path}, line {line}: group or scope of {name!r} differs from a line before; say it once")
        if video and names.setdefault(video, name) != name:
            raise InputError(f"{path}, line {line}: {video} has another name before; give each video one driver")
    return LabelTable(labels, names)


class LabelNumbers:
    """Numbers for groups and for sets of scopes, given out as they come."""

    def __init__(self) -> None:
        self._groups: dict[str, int] = {}
        self._scopes: dict[tuple[str, ...], int] = {}

    def add(self, labels: Sequence[Label]) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """The numbers of each label. Raises InputError past 65,536 different sets of scopes."""
        groups = [self._groups.setdefault(label.group, len(self._groups)) for label in labels]
        scopes = [self._scopes.setdefault(label.scopes, len(self._scopes)) for label in labels]
        if len(self._scopes) > 1 << 16:
            raise InputError("the labels hold more than 65,536 different sets of scopes; use fewer purposes")
        return np.array(groups, np.uint32), np.array(scopes, np.uint16)

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups, by number."""
        return tuple(self._groups)

    @property
    def scopes(self) -> tuple[tuple[str, ...], ...]:
        """Sets of scopes, by number."""
        return tuple(self._scopes)


def allowed_groups(known: Sequence[str], wanted: Iterable[str]) -> NDArray[np.bool_]:
    """(known,) the groups that are any of `wanted`."""
    return np.array([group in set(wanted) for group in known], dtype=bool)


def allowed_scopes(known: Sequence[Sequence[str]], wanted: Iterable[str]) -> NDArray[np.bool_]:
    """(known,) the sets that hold all of `wanted`: a search for two purposes needs consent for both."""
    needed = set(wanted)
    return np.array([needed <= set(scopes) for scopes in known], dtype=bool)
