"""NVFAIR's split lists: ``train_files.csv``, ``val_files.csv`` and ``test_files.csv``, one row a video.

They name files of a tree that is sorted by split, ``<split>/<source>/<generator>/<target>/<file>.mp4`` (column
new_path), or folders of PNG frames of the same names without ``.mp4``.
"""

from __future__ import annotations

import os
from pathlib import Path

from whodrives.data.errors import Complain, LayoutError, refuse
from whodrives.data.nvfair import SEPARATOR, VIDEO, split_stem
from whodrives.data.record import ORIGINAL, Record
from whodrives.data.tables import read_table, yes_no
from whodrives.data.takes import take_of

FILES = {"train": "train_files.csv", "val": "val_files.csv", "test": "test_files.csv"}
COLUMNS = (
    "original_path", "new_path", "target_identity", "driving_identity", "generator", "dataset_source",
    "is_self_reenactment", "real_or_synthetic", "self_cross_label", "license", "research_use", "publication_use",
)  # fmt: skip
_READ = (
    "new_path", "target_identity", "driving_identity", "generator", "dataset_source", "is_self_reenactment",
    "license", "research_use", "publication_use",
)  # fmt: skip
_NEEDED = _READ[:4]


def has_lists(root: Path) -> bool:
    """Whether a folder holds at least one of the split lists."""
    return any((root / name).is_file() for name in FILES.values())


def read_lists(root: str | Path, frames: str | Path | None = None, complain: Complain = refuse) -> list[Record]:
    """Records of all split lists in a folder, in file order, train before val before test. No file is looked for.

    Paths are ``root/new_path``; with `frames`, ``frames/new_path`` without ``.mp4``, folders of PNG frames. A record
    tells one from the other by the ending of its path (`Record.is_frames`).

    Parameters
    ----------
    root : folder with the lists, and with the videos unless `frames` is given. frames : root of the frame folders.
    complain : what is done with an error about a single row; such rows are left out.

    Raises
    ------
    LayoutError
        No list is there, one lacks a column, a path leaves the root, or labels contradict the file's name.
    """
    root = Path(root)
    if not has_lists(root):
        raise LayoutError(f"{root}: holds none of {', '.join(FILES.values())}; give the folder with the split lists")
    base = os.path.join(str(root if frames is None else frames), "")
    records: list[Record] = []
    shared: dict[str, str] = {}
    for split, name in FILES.items():
        if (root / name).is_file():
            _read_list(root / name, split, base, frames is not None, complain, records, shared)
    return records


def _read_list(
    path: Path,
    split: str,
    base: str,
    frames: bool,
    complain: Complain,
    records: list[Record],
    shared: dict[str, str],
) -> None:
    table = read_table(path, {name: (name,) for name in _READ}, _NEEDED)
    for line, cells in table.rows:
        place, target, driver, generator, source, is_self, licence, research, publication = cells
        # Cells are new text in every row; the few names among them are kept once.
        target, driver, generator, source, licence = [
            shared.setdefault(text, text) for text in (target, driver, generator, source, licence)
        ]
        wrong = _contradiction(place, split, target, driver, generator, is_self)
        if wrong:
            complain(LayoutError(f"{path}: line {line}: {wrong}; correct the row or leave it out"))
            continue
        stem = place.rsplit("/", 1)[1][:-4]
        clip = stem if generator == ORIGINAL else (split_stem(stem, target) or ("",))[0]
        recording = f"{driver}/{take_of(clip)}"
        records.append(
            Record(
                base + (place[:-4] if frames else place),  # type: ignore[arg-type]  # text until the Path is asked for
                driver,
                target,
                generator,
                source,
                shared.setdefault(recording, recording),
                split,
                driver == target,
                licence,
                yes_no(research),
                yes_no(publication),
            )
        )


def _contradiction(place: str, split: str, target: str, driver: str, generator: str, is_self: str) -> str:
    """What is wrong with a row, in words; empty when nothing is."""
    parts = place.split("/")
    if len(parts) != 5 or ".." in parts or "" in parts or not place.lower().endswith(VIDEO):
        return f"new_path {place!r} must be <split>/<source>/<generator>/<target>/<file>{VIDEO}"
    if not (target and driver and generator):
        return "target_identity, driving_identity and generator must not be empty"
    if parts[0] != split:
        return f"new_path {place!r} lies in another split than {split}"
    if parts[3] != target:
        return f"target_identity {target!r} is not the folder of {place!r}"
    stated = yes_no(is_self)
    if stated is not None and stated != (driver == target):
        return f"is_self_reenactment {is_self!r} contradicts target {target!r} and driver {driver!r}"
    if generator == ORIGINAL:
        return "" if driver == target else f"an original of {target!r} cannot be driven by {driver!r}"
    named = split_stem(parts[4][:-4], target)
    if named is None:
        return f"the name of {place!r} must be <target>{SEPARATOR}<clip>{SEPARATOR}<driver>{VIDEO}"
    return "" if named[1] == driver else f"driving_identity {driver!r} is not that of the name {parts[4]!r}"
