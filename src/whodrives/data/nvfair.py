"""NVFAIR's layout: ``<source>/<generator>-generated/<target>/<target>--<clip>--<driver>.mp4`` (Prashnani et al., 2024).

Originals lie under ``originals`` and carry the clip's own name. The layout says nothing of splits; they are given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from whodrives.data.manifest import NAME as MANIFEST
from whodrives.data.manifest import read_manifest
from whodrives.data.record import ORIGINAL, Record
from whodrives.errors import InputError

ORIGINALS, SUFFIX, SEPARATOR, VIDEO = "originals", "-generated", "--", ".mp4"


class LayoutError(InputError):
    """A folder or a file name does not follow the layout; the message names it and the rule."""


def generator_folder(generator: str) -> str:
    """``facevid2vid`` -> ``facevid2vid-generated``; ``original`` -> ``originals``."""
    return ORIGINALS if generator == ORIGINAL else f"{generator}{SUFFIX}"


def video_path(source: str, generator: str, target: str, clip: str, driver: str) -> Path:
    """Relative path of a video in the layout.

    Raises LayoutError when a part is empty or holds a path separator or ``--``, which would be read back wrongly.
    """
    for name, part in {"source": source, "generator": generator, "target": target, "driver": driver}.items():
        if not part or SEPARATOR in part or "/" in part or os.sep in part or part in (".", ".."):
            raise LayoutError(f"{name} {part!r}: must not be empty, nor hold '/' or '{SEPARATOR}'; rename it")
    if not clip or "/" in clip or SEPARATOR in clip:
        raise LayoutError(f"clip {clip!r}: must not be empty, nor hold '/' or '{SEPARATOR}'; rename it")
    name = clip if generator == ORIGINAL else SEPARATOR.join((target, clip, driver))
    return Path(source, generator_folder(generator), target, name + VIDEO)


def parse_path(root: str | Path, path: str | Path, splits: Mapping[str, str] | None = None) -> Record:
    """The record of one video file, from its place and name alone; the file is not opened.

    The target is the folder after the generator's, the driver the last ``--`` field (names of two and of three fields
    are both in use), the driving clip what stands between, or without it the whole name.

    Parameters
    ----------
    root : the data set. path : a file in it. splits : identity -> split; a video belongs to a split when driver and
        target both do, else its split is empty.

    Raises
    ------
    LayoutError
        The path does not follow the layout.
    """
    path = Path(path)
    try:
        source, folder, target, name = path.relative_to(root).parts
    except ValueError:
        raise LayoutError(
            f"{path}: expected <source>/<generator>{SUFFIX}/<target>/<file>{VIDEO} under {root}; move it there"
        ) from None
    stem = name[: -len(VIDEO)] if name.endswith(VIDEO) else name
    if folder == ORIGINALS:
        generator, driver, clip = ORIGINAL, target, stem
    elif folder.endswith(SUFFIX) and folder != SUFFIX:
        generator = folder[: -len(SUFFIX)]
        fields = stem.split(SEPARATOR)
        if len(fields) not in (2, 3) or not all(fields):
            raise LayoutError(
                f"{path}: the name must be <target>{SEPARATOR}<clip>{SEPARATOR}<driver>{VIDEO} "
                f"or <target>{SEPARATOR}<driver>{VIDEO}"
            )
        driver, clip = fields[-1], fields[1] if len(fields) == 3 else stem
    else:
        raise LayoutError(f"{path}: folder {folder!r} is neither {ORIGINALS!r} nor <generator>{SUFFIX}")
    split = ""
    if splits is not None and splits.get(driver) == splits.get(target):
        split = splits.get(target, "")
    return Record(path, driver, target, generator, source, f"{driver}/{clip}", split, driver == target)


def list_videos(root: str | Path, splits: Mapping[str, str] | None = None) -> Iterator[Record]:
    """Records of all ``.mp4`` files of a tree, in path order. No video is opened.

    Where `root` holds a ``manifest.csv`` (`whodrives simulate` writes one), its rows are given instead: names cannot
    say which face is a simulated driver's own, nor which of its clips share a recording.

    Raises
    ------
    LayoutError
        `root` is no folder, or a video lies or is named against the layout.
    """
    root = Path(root)
    if not root.is_dir():
        raise LayoutError(f"{root}: no such folder; give the root of the NVFAIR tree")
    if (root / MANIFEST).is_file():
        yield from read_manifest(root)
        return
    for path in _walk(root):
        yield parse_path(root, path, splits)


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir():
            yield from _walk(Path(entry.path))
        elif entry.name.endswith(VIDEO):
            yield Path(entry.path)
