"""Listing large trees: names only, no file opened, no Path built.

650,000 files are listed within seconds only if each costs about a microsecond: `os.scandir` says what is a folder
without a further system call, and paths stay text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from whodrives.data.errors import LayoutError

MP4 = (".mp4", ".MP4")


def videos_by_folder(root: str | Path, endings: tuple[str, ...] = MP4) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Folders that hold videos, in path order: (the parts of the folder's path below `root`, sorted file names).

    Hidden files and folders are left out (unfinished downloads, resource forks). Links to folders are followed, to each
    place once.

    Raises
    ------
    LayoutError
        `root` is no folder, or a folder cannot be read.
    """
    root = str(root)
    if not os.path.isdir(root):
        raise LayoutError(f"{root}: no such folder; give the root of the data set")
    yield from _walk(root, (), endings, {os.path.realpath(root)})


def _walk(
    folder: str, parts: tuple[str, ...], endings: tuple[str, ...], seen: set[str]
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    names: list[str] = []
    below: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == ".":
                    continue
                if name.endswith(endings):
                    names.append(name)
                elif entry.is_dir():
                    if entry.is_symlink():
                        real = os.path.realpath(entry.path)
                        if real in seen:
                            continue
                        seen.add(real)
                    below.append(name)
    except OSError as error:
        raise LayoutError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
    if names:
        names.sort()
        yield parts, names
    for name in sorted(below):
        yield from _walk(folder + os.sep + name, (*parts, name), endings, seen)


def folder_prefix(root: str | Path, parts: tuple[str, ...]) -> str:
    """Text to put before the file names of one folder of `videos_by_folder`."""
    return os.path.join(str(root), *parts, "")
