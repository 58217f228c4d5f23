"""Listing large trees: names only, no file opened, no Path built.

650,000 files are listed within seconds only if each costs about a microsecond: `os.scandir` says what is a folder
without a further system call, and paths stay text.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from whodrives.data.errors import LayoutError

MP4 = (".mp4",)

Parts = tuple[str, ...]


def videos_by_folder(
    root: str | Path, endings: tuple[str, ...] = MP4, skipped: Counter[str] | None = None
) -> Iterator[tuple[Parts, list[str]]]:
    """Folders that hold videos, in path order: (the parts of the folder's path below `root`, sorted file names).

    Hidden files and folders are left out (unfinished downloads, resource forks). Links to folders are followed, after
    all else, and only to places that were not listed yet: nothing is listed twice, nor under a link's name what lies
    in the tree itself.

    Parameters
    ----------
    endings : of videos, in lower case; names may have them in any. skipped : counts the endings of all other files in
        folders below `root`.

    Raises
    ------
    LayoutError
        `root` is no folder, or a folder cannot be read.
    """
    root = str(root)
    if not os.path.isdir(root):
        raise LayoutError(f"{root}: no such folder; give the root of the data set")
    walk = _Walk(endings, skipped)
    links: list[Parts] = [()]
    while links:
        found: list[Parts] = []
        for parts in sorted(links):
            yield from walk.below(os.path.join(root, *parts), parts, found)
        links = found


class _Walk:
    """`seen`: device and number of every folder that was listed."""

    def __init__(self, endings: tuple[str, ...], skipped: Counter[str] | None) -> None:
        self.endings, self.skipped = endings, skipped
        self.seen: set[tuple[int, int]] = set()

    def below(self, folder: str, parts: Parts, links: list[Parts]) -> Iterator[tuple[Parts, list[str]]]:
        """One folder and real folders below it; links among them are put into `links`."""
        names: list[str] = []
        inside: list[str] = []
        try:
            info = os.stat(folder)
            if (info.st_dev, info.st_ino) in self.seen:
                return
            self.seen.add((info.st_dev, info.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name[0] == ".":
                        continue
                    if name.lower().endswith(self.endings):
                        names.append(name)
                    elif not entry.is_dir():
                        if self.skipped is not None and parts:
                            self.skipped[os.path.splitext(name)[1].lower()] += 1
                    elif entry.is_symlink():
                        links.append((*parts, name))
                    else:
                        inside.append(name)
        except OSError as error:
            raise LayoutError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
        if names:
            names.sort()
            yield parts, names
        for name in sorted(inside):
            yield from self.below(folder + os.sep + name, (*parts, name), links)


def folder_prefix(root: str | Path, parts: Parts) -> str:
    """Text to put before the file names of one folder of `videos_by_folder`."""
    return os.path.join(str(root), *parts, "")
