"""AVAPrintDB's lists beside the videos: metadata, generation rows, subjects, and source clips behind their ids."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from whodrives.data.avaprintdb import GENERATION_COLUMNS, METADATA_COLUMNS, PARTS, Generation, clip_uuid
from whodrives.data.errors import LayoutError
from whodrives.data.record import VIDEO_SUFFIXES, Record
from whodrives.data.tables import read_table
from whodrives.data.tree import videos_by_folder

SUBJECT_FILES = ("cremad_metadata.csv", "ravdess_metadata.csv")
_SUBJECT = {
    "identity": ("identity", "id", "subject_id", "actor_id", "actorid", "actor", "subject", "driver_id"),
    "gender": ("gender", "sex"),
    "ethnicity": ("ethnicity", "race"),
    "age": ("age",),
}


@dataclass(frozen=True)
class Subject:
    """What the database says of a person; empty where it says nothing. age : in years, None when not a number."""

    identity: str
    gender: str
    ethnicity: str
    age: float | None


def read_metadata(path: str | Path) -> dict[str, str]:
    """File name of each video -> ``DEV`` or ``TEST`` as ``avaprintdb_metadata.csv`` has it.

    Names are unique in the database, folders above them differ between its releases; so the name is the key.

    Raises
    ------
    LayoutError
        The file cannot be read, lacks a column, or gives one name two splits.
    """
    path = Path(path)
    table = read_table(path, {name: (name,) for name in METADATA_COLUMNS}, METADATA_COLUMNS)
    of: dict[str, str] = {}
    for line, (video, _, split) in table.rows:
        name = video.replace("\\", "/").rsplit("/", 1)[-1]
        split = split.upper()
        if not name or split not in PARTS.values():
            raise LayoutError(f"{path}: line {line}: needs a path and the split DEV or TEST, not {split!r}")
        if of.setdefault(name, split) != split:
            raise LayoutError(f"{path}: line {line}: {name} is in both {of[name]} and {split}; keep one row")
    return of


def read_generations(path: str | Path) -> list[Generation]:
    """The rows of a generation list, in file order; split as it stands there.

    Raises
    ------
    LayoutError
        The file cannot be read, lacks a column, or a row's random name is not the id of its driving clip.
    """
    path = Path(path)
    table = read_table(path, {name: (name,) for name in GENERATION_COLUMNS}, GENERATION_COLUMNS)
    rows = []
    for line, (driver, clip, name, target, image, split) in table.rows:
        if not (driver and clip and target):
            raise LayoutError(f"{path}: line {line}: driver_id, driver_video_path and target_id must not be empty")
        if name and name not in (clip_uuid(candidate) for candidate in _tails(clip)):
            raise LayoutError(f"{path}: line {line}: {name} is not the id of {clip!r}; check the list")
        rows.append(Generation(driver, clip, target, image, split))
    return rows


def _tails(path: str) -> list[str]:
    """A path and what is left of it without its first, second, ... folder: lists name clips below various roots."""
    parts = path.replace("\\", "/").strip("/").split("/")
    return [path, *("/".join(parts[start:]) for start in range(len(parts)))]


def read_subjects(folder: str | Path) -> dict[str, Subject]:
    """Identity -> what ``cremad_metadata.csv`` and ``ravdess_metadata.csv`` in a folder say; files may be missing.

    Raises
    ------
    LayoutError
        A file has no column of identities, or none of the two is there.
    """
    folder = Path(folder)
    files = [folder / name for name in SUBJECT_FILES if (folder / name).is_file()]
    if not files:
        raise LayoutError(f"{folder}: holds neither {' nor '.join(SUBJECT_FILES)}; give the folder data/metadata")
    of = {}
    for path in files:
        for _, (identity, gender, ethnicity, age) in read_table(path, _SUBJECT, ("identity",)).rows:
            years = float(age) if age.replace(".", "", 1).isdigit() else None
            of[identity] = Subject(identity, gender, ethnicity, years)
    return of


def source_clips(*corpora: str | Path) -> dict[str, Path]:
    """Id of a driving clip -> file in the source corpora, by the database's rule; nothing is opened.

    The rule takes the path below a corpus's root in the form that the database's authors had on disk,
    ``VideoFlash/mp4/1001_DFA_ANG_XX.mp4`` and ``VIDEO-SPEECH/Actor_01/01-01-...mp4``. Corpora come in other forms too
    (CREMA-D as ``.flv``, RAVDESS one folder an actor), so each file also stands under those two.

    Raises
    ------
    LayoutError
        A root is no folder.
    """
    of: dict[str, Path] = {}
    for root in corpora:
        for parts, names in videos_by_folder(root, VIDEO_SUFFIXES):
            folder = Path(root, *parts)
            for name in names:
                stem = os.path.splitext(name)[0]
                forms = ["/".join((*parts, name)), f"VideoFlash/mp4/{stem}.mp4"]
                if parts:
                    forms.append(f"VIDEO-SPEECH/{parts[-1]}/{stem}.mp4")
                for form in forms:
                    of.setdefault(clip_uuid(form), folder / name)
    return of


def clip_id(record: Record) -> str:
    """The id of a record's driving clip: what its recording says after the driver."""
    return record.recording.removeprefix(f"{record.driver}/")


def clips_behind(records: Iterable[Record], clips: dict[str, Path]) -> tuple[dict[str, Path], int]:
    """Ids of the records' driving clips -> source files, and how many ids have none. `clips` is from `source_clips`."""
    ids = {clip_id(record) for record in records}
    found = {name: clips[name] for name in ids if name in clips}
    return found, len(ids) - len(found)
