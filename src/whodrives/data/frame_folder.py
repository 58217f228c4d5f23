"""Videos kept as folders of PNG frames, in the order of their names."""

from __future__ import annotations

import os
import re
from pathlib import Path

from whodrives.data.errors import LayoutError

_NUMBER = re.compile(r"(\d+)(?!.*\d)")


def frame_files(folder: str | Path) -> list[Path]:
    """The ``*.png`` files of a folder in lexicographic order, which is the order of the frames.

    Raises
    ------
    LayoutError
        No such folder, no frame in it, or numbers without leading zeros, whose lexicographic order is another one
        (``10.png`` before ``9.png``).
    """
    folder = Path(folder)
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name for entry in entries if entry.name.lower().endswith(".png") and entry.name[0] != "."
            )
    except OSError as error:
        raise LayoutError(f"{folder}: cannot be listed ({error.strerror}); give a folder of PNG frames") from error
    if not names:
        raise LayoutError(f"{folder}: holds no .png file; extract the frames again")
    numbers = [int(match[1]) for name in names if (match := _NUMBER.search(name))]
    if numbers != sorted(numbers):
        raise LayoutError(
            f"{folder}: frames out of order by name ({names[0]}, {names[1]}, ...); pad numbers with zeros"
        )
    return [folder / name for name in names]
