"""Where a store may be written, and the folder in it that a run works in: nobody's files are ever removed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from whodrives.data.listing import some
from whodrives.data.lock import NAME as LOCK
from whodrives.data.record import Record
from whodrives.data.store_errors import StoreError
from whodrives.data.store_layout import HEADER, SHARDS, partial_file
from whodrives.errors import InputError

_WORK = ".whodrives-work-"
_WORK_NAME = re.compile(re.escape(_WORK) + r"\d+-\w+")


def refuse_sources(out: Path, root: Path | None, records: Iterable[Record]) -> None:
    """Raise InputError when `out` is `root`, or holds one of the videos, links followed. A store has its own folder."""
    here = os.path.realpath(out)
    if root is not None and os.path.realpath(root) == here:
        raise InputError(f"{out}: is the data set itself; give the store a folder of its own")
    inside = os.path.join(here, "")
    known: dict[str, str] = {}
    for record in records:
        folder, name = os.path.split(record.path)
        real = known.get(folder)
        if real is None:
            real = known[folder] = os.path.join(os.path.realpath(folder), "")
        if real.startswith(inside) or real + name == here:
            raise InputError(f"{out}: holds the video {record.path}; give the store a folder of its own")


def refuse_foreign(out: Path) -> None:
    """Raise StoreError when the folder `out` is no store and holds anything that no run of ours has begun."""
    names = {entry.name for entry in os.scandir(out)}
    foreign = names - {LOCK, SHARDS, partial_file(Path(HEADER)).name}
    # The header is written before anything else: whoever began here just now has one by the time we look.
    if foreign and not (out / HEADER).exists():
        raise StoreError(
            f"{out}: is no frame store and not empty (it holds {some(foreign, 3)}); give a new or an empty folder"
        )


@contextmanager
def work_folder(out: Path, alone: bool) -> Iterator[Path]:
    """A new folder in `out` for this run, removed with all in it at the end.

    alone : no other run is writing here, so what dead runs left of such folders is removed, too.
    """
    if alone:
        for entry in os.scandir(out):
            if _WORK_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f"{_WORK}{os.getpid()}-", dir=out))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
