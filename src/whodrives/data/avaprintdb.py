"""AVAPrintDB's layout: ``data/videos/DEV|TEST/<GEN>/<target>--<driver>--<clip uuid>--<GEN>.mp4``, target first.

GEN is an upper-case code. Splits train and val lie under ``DEV``. Beside the videos: ``data/metadata/`` with
``avaprintdb_metadata.csv`` (avatar_video_path, generator, split), and lists of evaluation pairs (enrolment_sample,
test_sample, label). Source: the database's public card and code (arXiv 2603.26934).
"""

from __future__ import annotations

import csv
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from whodrives.data.manifest import NAME as MANIFEST
from whodrives.data.manifest import read_manifest, write_csv
from whodrives.data.nvfair import SEPARATOR, VIDEO, LayoutError
from whodrives.data.record import Record

VIDEOS, METADATA = Path("data/videos"), Path("data/metadata")
METADATA_FILE, GENERATION_FILE = "avaprintdb_metadata.csv", "generation.csv"
METADATA_COLUMNS = ("avatar_video_path", "generator", "split")
GENERATION_COLUMNS = (
    "driver_id", "driver_video_path", "driver_video_randomname", "target_id", "target_image_path", "split",
)  # fmt: skip
PAIR_COLUMNS = ("enrolment_sample", "test_sample", "label")
NAMESPACE = uuid.UUID("12345678-1234-5678-1234-567812345678")
CODES = {
    "gagavatar": "GAGA",
    "liveportrait": "LIVE",
    "hunyuanportrait": "HUNY",
    "warp": "WARP",
    "mesh": "MESH",
    "keypoint": "KEYP",
}
_NAMES = {code: name for name, code in CODES.items()}
_PARTS = {"train": "DEV", "val": "DEV", "test": "TEST"}


@dataclass(frozen=True)
class Pair:
    """One trial of an evaluation list: two samples as the list names them, and whether one driver moves both."""

    enrolment: str
    test: str
    same_driver: bool


@dataclass(frozen=True)
class Generation:
    """One row of the generation list: which driving clip (a path) moved which still (a path)."""

    driver: str
    clip: str
    target: str
    image: str
    split: str


def clip_uuid(path: str) -> str:
    """The database's id of a driving clip: uuid5 of its path below the root of its source corpus."""
    return str(uuid.uuid5(NAMESPACE, path))


def generator_code(generator: str) -> str:
    """``warp`` -> ``WARP``, ``keypoint`` -> ``KEYP``; names without a code of their own in capitals.

    Raises LayoutError when the code could not be read back as this name.
    """
    code = CODES.get(generator, generator.upper())
    if generator_name(code) != generator or not _holds(code):
        raise LayoutError(f"generator {generator!r}: needs a name in lower case without '/' and '{SEPARATOR}'; rename")
    return code


def generator_name(code: str) -> str:
    """The inverse of `generator_code`."""
    return _NAMES.get(code, code.lower())


def _holds(part: str) -> bool:
    """Whether a name can stand between separators: its ends must not make one with them."""
    odd = SEPARATOR in part or "/" in part or os.sep in part or part.startswith("-") or part.endswith("-")
    return bool(part) and not odd and part not in (".", "..")


def video_path(split: str, generator: str, target: str, driver: str, clip: str) -> Path:
    """Path of a video below the root.

    Parameters
    ----------
    split : ``train``, ``val`` or ``test``. clip : id of the driving clip, see `clip_uuid`.

    Raises
    ------
    LayoutError
        Another split, or a part that is empty or would be read back wrongly.
    """
    if split not in _PARTS:
        raise LayoutError(f"split {split!r}: AVAPrintDB has {', '.join(_PARTS)}")
    for name, part in {"target": target, "driver": driver, "clip": clip}.items():
        if not _holds(part):
            raise LayoutError(
                f"{name} {part!r}: must not be empty, hold '/' or '{SEPARATOR}', nor begin or end with '-'; rename it"
            )
    code = generator_code(generator)
    return VIDEOS / _PARTS[split] / code / (SEPARATOR.join((target, driver, clip, code)) + VIDEO)


def parse_path(root: str | Path, path: str | Path) -> Record:
    """The record of one video file, from its place and name alone; the file is not opened.

    Split is ``test`` under TEST and ``train`` under DEV (the layout does not tell training from validation); the corpus
    comes from the target's id (``C1001``: CREMA-D, ``Actor_01``: RAVDESS, else empty); self means equal names.

    Raises
    ------
    LayoutError
        The path does not follow the layout.
    """
    path = Path(path)
    try:
        data, videos, part, code, name = path.relative_to(root).parts
        target, driver, clip, last = name.removesuffix(VIDEO).split(SEPARATOR)
    except ValueError:
        data = ""
    placed = bool(data) and Path(data, videos) == VIDEOS and part in ("DEV", "TEST")
    if not placed or last != code or not all((target, driver, clip)) or not name.endswith(VIDEO):
        raise LayoutError(
            f"{path}: expected {VIDEOS}/DEV|TEST/<GEN>/<target>{SEPARATOR}<driver>{SEPARATOR}<clip>{SEPARATOR}<GEN>"
            f"{VIDEO} under {root}; move or rename it"
        )
    split = "test" if part == "TEST" else "train"
    return Record(
        path, driver, target, generator_name(code), _corpus(target), f"{driver}/{clip}", split, driver == target
    )


def _corpus(identity: str) -> str:
    if identity.startswith("Actor_"):
        return "RAVDESS"
    return "CREMA-D" if identity[:1] == "C" and identity[1:].isdigit() else ""


def find_root(folder: str | Path) -> Path:
    """The folder that holds ``data/videos``: `folder` itself or its ``database``.

    Raises
    ------
    LayoutError
        Neither does.
    """
    folder = Path(folder)
    for root in (folder, folder / "database"):
        if (root / VIDEOS).is_dir():
            return root
    raise LayoutError(f"{folder}: holds no {VIDEOS}; give the database's root")


def list_videos(folder: str | Path) -> Iterator[Record]:
    """Records of all ``.mp4`` files of a tree, in path order, or the rows of a ``manifest.csv`` where there is one.

    Raises
    ------
    LayoutError
        No such tree, or a video lies or is named against the layout.
    """
    root = find_root(folder)
    if (root / MANIFEST).is_file():
        yield from read_manifest(root)
        return
    for path in sorted((root / VIDEOS).rglob(f"*{VIDEO}")):
        if not path.name.startswith("."):
            yield parse_path(root, path)


def write_metadata(root: str | Path, records: Sequence[Record], generations: Sequence[Generation]) -> Path:
    """Write the two lists under ``data/metadata``; `records` have paths below `root`. Returns the folder."""
    root = Path(root)
    folder = root / METADATA
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(r.path.relative_to(root).as_posix(), generator_code(r.generator), _PARTS[r.split]) for r in records]
    write_csv(folder / METADATA_FILE, METADATA_COLUMNS, sorted(rows))
    clips = {(g.driver, g.clip, clip_uuid(g.clip), g.target, g.image, _PARTS[g.split]) for g in generations}
    write_csv(folder / GENERATION_FILE, GENERATION_COLUMNS, sorted(clips))
    return folder


def remove_metadata(root: str | Path) -> None:
    """Remove the lists that `write_metadata` writes, and folders that this leaves empty."""
    folder = Path(root) / METADATA
    for name in (METADATA_FILE, GENERATION_FILE):
        (folder / name).unlink(missing_ok=True)
    for place in (folder, folder.parent):
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()


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
    try:
        stream = path.open(newline="", encoding="utf-8-sig")
    except OSError as error:
        raise LayoutError(f"{path}: cannot be read ({error.strerror}); give a list of evaluation pairs") from error
    pairs = []
    with stream:
        reader = csv.DictReader(stream)
        missing = [name for name in PAIR_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise LayoutError(f"{path}: lacks the column {missing[0]!r}; columns must be {', '.join(PAIR_COLUMNS)}")
        for row in reader:
            if row["label"] not in ("0", "1"):
                raise LayoutError(f"{path}: line {reader.line_num}: label {row['label']!r} must be 0 or 1")
            pairs.append(Pair(row["enrolment_sample"], row["test_sample"], row["label"] == "1"))
    return pairs
