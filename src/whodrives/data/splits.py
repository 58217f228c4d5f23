"""Which identity is in which split: a CSV of two columns, or NVFAIR's text file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whodrives.data.errors import LayoutError
from whodrives.data.listing import joint_split, some
from whodrives.data.record import Record
from whodrives.data.tables import read_table

SPLITS = ("train", "val", "test")
_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "development": "val", "test": "test", "testing": "test",
}  # fmt: skip
_COLUMNS = {
    "identity": ("identity", "identity_id", "driver", "person", "subject", "portrait", "id"),
    "split": ("split", "set", "partition"),
}
_SECTION = re.compile(r"identities\s+in\s+(?:the\s+)?(\w+)\s+set\s*:?", re.IGNORECASE)
_WORD = re.compile(r"[^\s,;:'\"\[\](){}]+")
# NVIDIA-VC-subset, RAVDESS, and CREMA-D's 1001 to 1091: any other number is a year or a count.
_IDENTITY = re.compile(r"id\d{3}|Actor_\d{2}|10(?:0[1-9]|[1-8]\d|9[01])")


@dataclass(frozen=True)
class Splits:
    """Identity -> ``train``, ``val`` or ``test``; `ignored` are words of the file that are no identities."""

    path: Path
    of: Mapping[str, str]
    ignored: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Identities in train, val and test."""
        found = Counter(self.of.values())
        return {split: found[split] for split in SPLITS}


def split_name(text: str) -> str:
    """Our name of a split (``Validation`` -> ``val``), empty for a name that is none."""
    return _NAMES.get(text.strip().lower(), "")


def read_splits(path: str | Path) -> Splits:
    """The identities of each split.

    A ``.csv`` or ``.xlsx`` has the columns identity (or driver, subject, ...) and split. Any other file is read as
    NVFAIR's ``train_val_test_splits.txt``: sections that begin with "identities in <train|validation|test> set:" and
    hold identities in any punctuation, with stray apostrophes stripped.

    Raises
    ------
    LayoutError
        The file cannot be read, names no identity, an unknown split, or puts an identity into two splits.
    """
    path = Path(path)
    of: dict[str, str] = {}
    ignored: list[str] = []
    pairs = _table_pairs(path) if path.suffix.lower() in (".csv", ".xlsx") else _text_pairs(path, ignored)
    for identity, split in pairs:
        if of.setdefault(identity, split) != split:
            raise LayoutError(f"{path}: {identity!r} is in both {of[identity]} and {split}; leave it in one of them")
    if not of:
        raise LayoutError(
            f"{path}: names no identity; expected sections 'identities in <train|validation|test> set:' or a CSV with "
            "the columns identity and split"
        )
    return Splits(path, of, tuple(ignored))


def _table_pairs(path: Path) -> list[tuple[str, str]]:
    pairs = []
    for line, (identity, named) in read_table(path, _COLUMNS, required=("identity", "split")).rows:
        split = split_name(named)
        if not split or not identity:
            raise LayoutError(f"{path}: line {line}: needs an identity and one of {', '.join(SPLITS)}, not {named!r}")
        pairs.append((identity, split))
    return pairs


def _text_pairs(path: Path, ignored: list[str]) -> list[tuple[str, str]]:
    text = read_text(path)
    pairs = []
    sections = list(_SECTION.finditer(text))
    for section, following in zip(sections, [*sections[1:], None]):
        split = split_name(section[1])
        if not split:
            raise LayoutError(f"{path}: section {section[0]!r}: expected one of train, validation, test")
        body = text[section.end() : following.start() if following else len(text)]
        for word in _WORD.findall(body):
            if _IDENTITY.fullmatch(word):
                pairs.append((word, split))
            else:
                ignored.append(word)
    return pairs


def read_text(path: Path) -> str:
    """A small text file in UTF-8; LayoutError when it is missing or is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LayoutError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise LayoutError(f"{path}: is no text in UTF-8 ({error.reason}); save it as such") from error


def read_sources(path: str | Path, known: Sequence[str]) -> dict[str, str]:
    """Identity -> source corpus, from NVFAIR's ``subject_sources.txt``.

    Each line, or each section that a line opens, names one of the `known` sources; identities are picked out of any
    punctuation, so that the apostrophe of ``1085'`` does not matter.

    Raises
    ------
    LayoutError
        The file cannot be read, an identity comes before any source, or has two.
    """
    path = Path(path)
    of: dict[str, str] = {}
    source = ""
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        named = [name for name in known if name.lower() in text.lower()]
        source = named[0] if named else source
        for word in _WORD.findall(text):
            if not _IDENTITY.fullmatch(word):
                continue
            if not source:
                raise LayoutError(
                    f"{path}: line {line}: {word} comes before any of {', '.join(known)}; name its source"
                )
            if of.setdefault(word, source) != source:
                raise LayoutError(f"{path}: line {line}: {word} has two sources, {of[word]} and {source}; keep one")
    return of


def put_into_splits(records: Sequence[Record], splits: Mapping[str, str]) -> list[Record]:
    """The records with the split of both their identities; empty where driver and target are not in one."""
    return [replace(record, split=joint_split(splits, record.driver, record.target)) for record in records]


def give_splits(records: Sequence[Record], path: Path, notes: list[str]) -> list[Record]:
    """The records with the splits of a list alone; `notes` gets sentences on identities that only one of both has.

    A list replaces what folders and columns say, so that whom it forgets is in no split: taken from the folders
    instead, somebody could be in training by one source and in test by another.
    """
    splits = read_splits(path)
    notes += identity_notes(splits, {record.driver for record in records} | {record.target for record in records})
    return put_into_splits(records, splits.of)


def identity_notes(splits: Splits, identities: set[str]) -> list[str]:
    """Sentences about identities that only the list, or only the data set, has."""
    notes = []
    without = identities - splits.of.keys()
    if without:
        notes.append(f"{len(without)} identities are in no split of {splits.path.name}: {some(without)}")
    absent = splits.of.keys() - identities
    if absent:
        notes.append(f"{len(absent)} identities of {splits.path.name} have no video here: {some(absent)}")
    if splits.ignored:
        notes.append(f"{splits.path.name}: {len(splits.ignored)} words are no identities: {some(set(splits.ignored))}")
    return notes
