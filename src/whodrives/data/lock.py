"""One writer a folder at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whodrives.errors import WhodrivesError

NAME = ".lock"


class BusyError(WhodrivesError):
    """Another process is writing into the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold `folder` for this process alone; the lock ends with the process, however that ends.

    Gives True; where the system has no POSIX locks (Windows), nothing is locked, and it gives False.

    Raises
    ------
    BusyError
        Another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    with (folder / NAME).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BusyError(
                f"{folder}: another run is writing here; wait for its end, or choose another folder"
            ) from None
        yield True
