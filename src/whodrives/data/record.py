"""One labelled video: the only thing that a data-set layout yields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whodrives.errors import InputError

ORIGINAL = "original"


@dataclass(frozen=True)
class Record:
    """One video and its labels.

    Parameters
    ----------
    path : the video file.
    driver, target : driving identity (whose motion) and target identity (whose face). Never empty.
    generator : what rendered it; ``original`` for footage that no generator touched.
    source : corpus of the target.
    recording : source take of the driver; genuine pairs cross recordings.
    split : ``train``, ``val``, ``test`` or empty.
    is_self : self-reenactment. Where a driver and its own face have different names, equality of names cannot tell.
    licence : terms of this very file, empty when not stated.

    Raises
    ------
    InputError
        No driver, target or generator, or an original whose driver is not its target.
    """

    path: Path
    driver: str
    target: str
    generator: str
    source: str
    recording: str
    split: str
    is_self: bool
    licence: str = ""

    def __post_init__(self) -> None:
        for name in ("driver", "target", "generator"):
            if not getattr(self, name):
                raise InputError(f"{self.path}: the {name} is empty; every labelled video needs one")
        if self.generator == ORIGINAL and not self.is_self:
            raise InputError(f"{self.path}: an original shows its own driver, so it must be marked as self")
