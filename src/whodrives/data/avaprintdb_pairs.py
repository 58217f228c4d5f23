"""AVAPrintDB's lists of evaluation pairs, ``evaluation_pairs_<corpus>_<GEN>.csv``, and the records they mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whodrives.data.avaprintdb import generator_code
from whodrives.data.errors import LayoutError
from whodrives.data.manifest import write_csv
from whodrives.data.nvfair import SEPARATOR
from whodrives.data.record import Record
from whodrives.data.tables import read_table

PAIR_COLUMNS = ("enrolment_sample", "test_sample", "label")
_SUFFIXES = (".mp4", ".npy", ".pt")


@dataclass(frozen=True)
class Pair:
    """One trial of an evaluation list: two samples as the list names them, and whether one driver moves both."""

    enrolment: str
    test: str
    same_driver: bool


@dataclass(frozen=True)
class Resolved:
    """Pairs whose videos are both there, and what that leaves out.

    Parameters
    ----------
    trials : (enrolment record, test record, same driver). total : pairs in the list. missing : samples without a
        record, sorted. mislabelled : found pairs whose label contradicts the drivers' names.
    """

    trials: list[tuple[Record, Record, bool]]
    total: int
    missing: tuple[str, ...]
    mislabelled: int

    @property
    def coverage(self) -> float:
        """Share of the pairs that could be resolved, 0..1; 1 for an empty list. Report it beside every figure."""
        return len(self.trials) / self.total if self.total else 1.0


def write_pairs(path: str | Path, pairs: Sequence[Pair]) -> None:
    """Write a list of evaluation pairs, in the order given; label 1 = one driver."""
    rows = [(pair.enrolment, pair.test, int(pair.same_driver)) for pair in pairs]
    write_csv(Path(path), PAIR_COLUMNS, rows)


def read_pairs(path: str | Path) -> list[Pair]:
    """A list of evaluation pairs, in file order.

    Raises
    ------
    LayoutError
        The file is missing, lacks a column, or a label is neither 0 nor 1.
    """
    path = Path(path)
    pairs = []
    for line, (enrolment, test, label) in read_table(path, {name: (name,) for name in PAIR_COLUMNS}, PAIR_COLUMNS).rows:
        if label not in ("0", "1"):
            raise LayoutError(f"{path}: line {line}: label {label!r} must be 0 or 1")
        pairs.append(Pair(enrolment, test, label == "1"))
    return pairs


def resolve_pairs(pairs: Iterable[Pair], records: Iterable[Record], generator: str | None = None) -> Resolved:
    """The records behind the samples of a list, matched by file name without folder and ending.

    Parameters
    ----------
    pairs : from `read_pairs`. records : videos to look among. generator : take the same pairs as rendered by this one
        (``liveportrait``): the last field of both names is replaced, as the database's own cross-generator runs do.

    Raises
    ------
    LayoutError
        Two records have one name.
    """
    by_name: dict[str, Record] = {}
    for record in records:
        if by_name.setdefault(record.path.stem, record) is not record:
            raise LayoutError(f"{record.path}: has the name of {by_name[record.path.stem].path}; leave one of them out")
    code = None if generator is None else generator_code(generator)
    trials, missing, total, mislabelled = [], set(), 0, 0
    for pair in pairs:
        total += 1
        names = [_sample(sample, code) for sample in (pair.enrolment, pair.test)]
        found = [by_name.get(name) for name in names]
        missing |= {name for name, record in zip(names, found) if record is None}
        one, other = found
        if one is not None and other is not None:
            trials.append((one, other, pair.same_driver))
            mislabelled += pair.same_driver != (one.driver == other.driver)
    return Resolved(trials, total, tuple(sorted(missing)), mislabelled)


def _sample(text: str, code: str | None) -> str:
    name = text.replace("\\", "/").rsplit("/", 1)[-1]
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name if code is None else SEPARATOR.join((*name.split(SEPARATOR)[:-1], code))
