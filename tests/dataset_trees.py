"""Small data sets in the layouts' own shape: empty files for listing, and a few real videos."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from whodrives.avatars.encode import write_mp4

NVFAIR = (
    "NVIDIA-VC-subset/originals/id001/a01-id001.mp4",
    "NVIDIA-VC-subset/lia-generated/id001/id001--a01-id001--id001.mp4",
    "NVIDIA-VC-subset/lia-generated/id001/id001--1019_IEO_FEA_LO--1019.mp4",
    "NVIDIA-VC-subset/tps-generated/id001/id001--1019_IEO_FEA_LO--1019.mp4",
    "RAVDESS/facevid2vid-generated/Actor_01/Actor_01--01-01-05-02-01-01-02--Actor_02.mp4",
    "CREMA-D/originals/1019/1019_IEO_FEA_LO.mp4",
)
NVFAIR_SPLITS = """identities in train set:
['1019', "Actor_01", Actor_02]

identities in validation set:
id002

identities in test set:
id001,
"""


def touch(root: Path, *names: str | Path) -> Path:
    """Empty files below `root`; returns the last one."""
    path = root
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return path


def nvfair(root: Path, names: Iterable[str] = NVFAIR, splits: str | None = NVFAIR_SPLITS) -> Path:
    """A small NVFAIR tree of empty files; returns `root`."""
    touch(root, *names)
    if splits is not None:
        (root / "train_val_test_splits.txt").write_text(splits)
    return root


def film(path: Path, seed: int = 0, frames: int = 6, side: int = 64, fps: float = 25.0) -> Path:
    """A real video of noise: another one for another seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(path, np.random.default_rng(seed).integers(0, 255, (frames, side, side, 3), np.uint8), fps, crf=35)
    return path
