"""Who plays in a data set: drivers and faces for every split, each in one split only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.drivers.events import INNER_FPS
from whodrives.avatars.faces import INDEX_FILE, SPLIT_FILE, Face, lists, load_portraits, read_portrait_split
from whodrives.avatars.motion.read import read_motion
from whodrives.avatars.motion.tables import read_split
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import MotionTrack
from whodrives.errors import InputError

# Built-in people and faces of each split never meet those of another, nor the training's (which count up from 0).
SEEDS = {"train": 2_000_000, "val": 3_000_000, "test": 4_000_000}
FACE_KINDS = ("procedural", "photos", "cg")
BUILTIN_RECORDINGS, MIN_SECONDS = 4, 24.0


@dataclass(frozen=True)
class Part:
    """One split: its name and how many drivers and faces play in it."""

    split: str
    drivers: int
    targets: int

    def __post_init__(self) -> None:
        if self.split not in SEEDS:
            raise InputError(f"unknown split {self.split!r}; use {', '.join(SEEDS)}")
        if self.drivers < 1 or self.targets < 1:
            raise InputError(f"split {self.split}: needs at least one driver and one target")


def parse_kinds(kinds: str) -> tuple[str, ...]:
    """``"procedural,cg"`` -> the kinds of faces, taken in turn.

    Raises
    ------
    InputError
        An unknown kind, none, or one twice.
    """
    names = tuple(part.strip() for part in kinds.split(","))
    if not set(names) <= set(FACE_KINDS) or len(set(names)) != len(names):
        raise InputError(f"faces {kinds!r}: give one or more of {', '.join(FACE_KINDS)}, each once")
    return names


def cast_drivers(
    parts: Sequence[Part], motion: str | None, seconds: float, licence: str = ""
) -> list[list[MotionTrack]]:
    """Tracks for each split, drivers in the order in which they were taken.

    Parameters
    ----------
    motion : anything that `read_motion` takes; None: built-in drivers. With a ``split.csv`` (columns driver, split)
        beside the file, or in the folder, every driver plays in its own split, in order of names; without one they
        are dealt out to the parts one after the other, in an order of their own.
    seconds : length of the videos. licence : terms of `motion`; empty: not stated.

    Raises
    ------
    InputError
        A split has fewer drivers than asked.
    """
    if motion is None:
        return [[t for n in range(p.drivers) for t in _builtin(SEEDS[p.split] + n, seconds)] for p in parts]
    path = Path(motion)
    tracks = read_motion(path, licence=licence or "not stated")
    people = sorted({track.driver for track in tracks})
    table = path if path.is_file() else path / SPLIT_FILE
    assignment = read_split(table) if lists(table.with_name(SPLIT_FILE), "driver") else None
    if assignment is not None:
        lost = [name for name in people if name not in assignment]
        if lost:
            raise InputError(
                f"{table.with_name(SPLIT_FILE)}: {len(lost)} drivers have no split, e.g. {lost[0]}; add them"
            )
    shares = _deal(parts, people, assignment, [part.drivers for part in parts], f"{motion}: drivers")
    return [[track for name in share for track in tracks if track.driver == name] for share in shares]


def cast_faces(
    parts: Sequence[Part], kinds: Sequence[str], portraits: str | None, licence: str = ""
) -> list[list[Face]]:
    """Faces for each split: the kinds in turn (1st, 2nd, ... face), each face in one split.

    Parameters
    ----------
    portraits : folder of photos with ``portraits.json``, or of plain photos (extra `landmarks`); ``split.csv`` as for
        drivers.
    licence : terms of the photos; empty: not stated.

    Raises
    ------
    InputError
        Photos without a folder or a folder without photos among the kinds, or a split has fewer photos than asked.
    """
    if ("photos" in kinds) != (portraits is not None):
        raise InputError("photos need a folder of portraits, and portraits the kind 'photos'; give both or neither")
    wanted = [[kinds[number % len(kinds)] for number in range(part.targets)] for part in parts]
    photos: list[list[Face]] = [[] for _ in parts]
    if portraits is not None:
        shares = _photos(parts, Path(portraits), [row.count("photos") for row in wanted])
        photos = [[replace(face, licence=licence or face.licence) for face in share] for share in shares]
    out = []
    for part, row, own in zip(parts, wanted, photos, strict=True):
        left = iter(own)
        base = SEEDS[part.split]
        out.append([next(left) if kind == "photos" else _made(kind, base + n) for n, kind in enumerate(row)])
    return out


def _builtin(seed: int, seconds: float) -> list[MotionTrack]:
    driver = BuiltinDriver(seed)
    length = max(MIN_SECONDS, 2 * seconds)
    # The content seed is the script: nobody shares one, or equal scripts would pass for equal drivers.
    return [
        replace(
            driver.recording(seed * BUILTIN_RECORDINGS + take, take // 2, length, INNER_FPS),
            recording=f"builtin{seed}-{take}",
        )
        for take in range(BUILTIN_RECORDINGS)
    ]


def _made(kind: str, seed: int) -> Face:
    if kind == "procedural":
        return procedural_face(seed)
    from whodrives.avatars.cgheads import cg_head

    return cg_head(seed)


def _photos(parts: Sequence[Part], folder: Path, counts: Sequence[int]) -> list[list[Face]]:
    if (folder / INDEX_FILE).is_file() or not folder.is_dir():
        faces = load_portraits(folder)
    else:
        faces = _found(folder)
    by_name = {face.name: face for face in faces}
    if len(by_name) < len(faces):
        twice = next(face.name for face in faces if sum(other.name == face.name for other in faces) > 1)
        raise InputError(f"{folder}: two pictures are named {twice} but for their ending; rename one")
    places = (folder.resolve().parent / SPLIT_FILE, folder / SPLIT_FILE)
    assignment = read_portrait_split(folder) if any(lists(place, "portrait") for place in places) else None
    if assignment is not None:
        lost = sorted(set(by_name) - set(assignment))
        if lost:
            raise InputError(f"{folder}: {len(lost)} portraits have no split in {SPLIT_FILE}, e.g. {lost[0]}; add them")
    shares = _deal(parts, sorted(by_name), assignment, counts, f"{folder}: portraits")
    return [[by_name[name] for name in share] for share in shares]


def _found(folder: Path) -> list[Face]:
    from whodrives.avatars.landmarks import PICTURES, portrait_face

    photos = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith("."))
    if not photos:
        raise InputError(f"{folder}: holds neither {INDEX_FILE} nor photos ({', '.join(PICTURES)})")
    return [replace(portrait_face(photo), source=folder.resolve().name) for photo in photos]


def _deal(
    parts: Sequence[Part], names: Sequence[str], assignment: dict[str, str] | None, counts: Sequence[int], what: str
) -> list[list[str]]:
    """Names for each part, as many as `counts` says, nobody in two parts."""
    out, taken = [], 0
    mixed = sorted(names, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest())
    for part, count in zip(parts, counts, strict=True):
        if assignment is not None:
            pool = [name for name in names if assignment[name] == part.split]
            where = f"split {part.split}"
        else:
            pool, where = mixed[taken:], f"{part.split}, after the parts before it,"
            taken += count
        if len(pool) < count:
            raise InputError(f"{what}: {count} asked, {where} has {len(pool)}; ask for fewer")
        out.append(pool[:count])
    return out
