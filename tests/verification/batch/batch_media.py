"""Short videos, and weights for worker processes that note who loads them and die at one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from fake_weights import FakeWeights, video
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.verification.reading import VideoReading


def clip(path: Path, number: int, frames: int = 70) -> Path:
    """A video of `frames` frames; `number` decides who drives it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return video(path, number % 12, frames, seed=number)


class Deadly(Fingerprinter):
    """Its process ends at once at a file called killer.mp4, as a decoder does that is brought down by a file."""

    def read(self, path: Any, crop: str | None = None, hop: int | None = None) -> VideoReading:
        """As of `Fingerprinter`."""
        if Path(path).name == "killer.mp4":
            os._exit(9)
        return super().read(path, crop, hop)


def load_fake() -> Fingerprinter:
    """For worker processes."""
    return Deadly(FakeWeights(), device="cpu")


def load_noting(folder: str) -> Fingerprinter:
    """The same; the process leaves a file named by its id."""
    (Path(folder) / str(os.getpid())).touch()
    return load_fake()


def stored(out: Path, kind: str) -> list[str]:
    """Names in the parts, in order, as often as they stand there; of ``embeddings`` those of first windows."""
    columns = ["paths"] if kind == "files" else ["paths", "start_frames"]
    rows = pq.read_table(out / kind, columns=columns).to_pylist()
    return sorted(row["paths"] for row in rows if row.get("start_frames", 0) == 0)
