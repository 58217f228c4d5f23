"""AVAPrintDB's layout: ``data/videos/DEV|TEST/<GEN>/<target>--<driver>--<clip uuid>--<GEN>.mp4``, target first.

GEN is an upper-case code. Splits train and val lie under ``DEV``. Source: the database's public card and code (arXiv
2603.26934). The lists beside the videos are read by `avaprintdb_lists`, the pairs by `avaprintdb_pairs`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from whodrives.data.errors import Complain, LayoutError, refuse
from whodrives.data.manifest import NAME as MANIFEST
from whodrives.data.manifest import check_finished, read_manifest, write_csv
from whodrives.data.nvfair import SEPARATOR, VIDEO
from whodrives.data.record import Record
from whodrives.data.tree import folder_prefix, videos_by_folder

VIDEOS, METADATA = Path("data/videos"), Path("data/metadata")
METADATA_FILE, GENERATION_FILE = "avaprintdb_metadata.csv", "generation.csv"
METADATA_COLUMNS = ("avatar_video_path", "generator", "split")
GENERATION_COLUMNS = (
    "driver_id", "driver_video_path", "driver_video_randomname", "target_id", "target_image_path", "split",
)  # fmt: skip
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
PARTS = {"train": "DEV", "val": "DEV", "test": "TEST"}
_SPLITS = {"DEV": "train", "TEST": "test"}


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
    if split not in PARTS:
        raise LayoutError(f"split {split!r}: AVAPrintDB has {', '.join(PARTS)}")
    for name, part in {"target": target, "driver": driver, "clip": clip}.items():
        if not _holds(part):
            raise LayoutError(
                f"{name} {part!r}: must not be empty, hold '/' or '{SEPARATOR}', nor begin or end with '-'; rename it"
            )
    code = generator_code(generator)
    return VIDEOS / PARTS[split] / code / (SEPARATOR.join((target, driver, clip, code)) + VIDEO)


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
        below = path.relative_to(root).parts
    except ValueError:
        below = ()
    places = len(VIDEOS.parts)
    parts = below[places:-1] if below[:places] == VIDEOS.parts else ()
    (record,) = _records(root, parts, [path.name], refuse, {})
    return record


def _records(
    root: str | Path, parts: tuple[str, ...], names: list[str], complain: Complain, shared: dict[str, str]
) -> Iterator[Record]:
    """Records of one folder's files, `parts` below ``data/videos``; `shared` holds every name once."""
    prefix = folder_prefix(root, (*VIDEOS.parts, *parts))
    part, code = parts if len(parts) == 2 else ("", "")
    split, generator = _SPLITS.get(part, ""), generator_name(code)
    corpora: dict[str, str] = {}
    for name in names:
        fields = name[:-4].split(SEPARATOR)
        if len(fields) != 4 or not all(fields) or fields[3] != code or not split or name[-4:].lower() != VIDEO:
            complain(
                LayoutError(
                    f"{prefix}{name}: expected {VIDEOS}/DEV|TEST/<GEN>/<target>{SEPARATOR}<driver>{SEPARATOR}<clip>"
                    f"{SEPARATOR}<GEN>{VIDEO} under {root}; move or rename it"
                )
            )
            continue
        target, driver, clip, _ = fields
        target, driver = shared.setdefault(target, target), shared.setdefault(driver, driver)
        recording = f"{driver}/{clip}"
        source = corpora.get(target)
        if source is None:
            source = corpora[target] = corpus_of(target)
        yield Record(
            prefix + name,  # type: ignore[arg-type]  # text until somebody asks for the Path
            driver,
            target,
            generator,
            source,
            shared.setdefault(recording, recording),
            split,
            driver == target,
        )


def corpus_of(identity: str) -> str:
    """``Actor_01`` -> RAVDESS, ``C1001`` and ``1001`` -> CREMA-D, else empty."""
    if identity.startswith("Actor_"):
        return "RAVDESS"
    number = identity.removeprefix("C")
    return "CREMA-D" if len(number) == 4 and number.isdigit() else ""


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


def list_videos(folder: str | Path, complain: Complain = refuse) -> Iterator[Record]:
    """Records of all ``.mp4`` files of a tree, in path order, or the rows of a ``manifest.csv`` where there is one.

    `complain` : what is done with an error about a single file; files complained about are left out.

    Raises
    ------
    LayoutError
        No such tree, or a video lies or is named against the layout.
    """
    root = find_root(folder)
    check_finished(root)
    if (root / MANIFEST).is_file():
        yield from read_manifest(root)
        return
    shared: dict[str, str] = {}
    for parts, names in videos_by_folder(root / VIDEOS):
        yield from _records(root, parts, names, complain, shared)


def write_metadata(root: str | Path, records: Sequence[Record], generations: Sequence[Generation]) -> Path:
    """Write the two lists under ``data/metadata``; `records` have paths below `root`. Returns the folder."""
    root = Path(root)
    folder = root / METADATA
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(r.path.relative_to(root).as_posix(), generator_code(r.generator), PARTS[r.split]) for r in records]
    write_csv(folder / METADATA_FILE, METADATA_COLUMNS, sorted(rows))
    clips = {(g.driver, g.clip, clip_uuid(g.clip), g.target, g.image, PARTS[g.split]) for g in generations}
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
