"""Which videos weights call unlike their training clips: real ones as they are, and altered.

    python benchmarks/domain_check.py VIDEOS [--model bundled]

VIDEOS: a folder, looked through for video files. Prints the median distance (1 is the limit) and the share of windows
beyond it, for each alteration of the frames that the contract gives.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.video import iter_windows
from whodrives.video.domain import far_warning

Clip = NDArray[np.uint8]
SUFFIXES = (".mp4", ".mpg", ".mov", ".mkv", ".avi", ".webm")


def alterations(rng: np.random.Generator) -> dict[str, Callable[[Clip], Clip]]:
    """Name -> what it does to frames (T, 128, 128)."""

    def closer(clip: Clip, rows: slice, columns: slice) -> Clip:
        part = clip[:, rows, columns]
        return ndimage.zoom(part, (1, 128 / part.shape[1], 128 / part.shape[2]), order=1)

    def farther(clip: Clip) -> Clip:
        out = np.full_like(clip, 90)
        out[:, 32:96, 32:96] = clip.reshape(len(clip), 64, 2, 64, 2).mean(axis=(2, 4))
        return out

    return {
        "as it is": lambda clip: clip,
        "upside down": lambda clip: clip[:, ::-1],
        "shifted by 24 pixels": lambda clip: np.roll(clip, 24, axis=2),
        "1.6 times as close": lambda clip: closer(clip, slice(24, 104), slice(24, 104)),
        "half as large": farther,
        "mouth only": lambda clip: closer(clip, slice(70, 118), slice(40, 88)),
        "blurred by 3 pixels": lambda clip: ndimage.gaussian_filter(clip, (0, 3, 3)),
        "noise of 12 grey levels": lambda clip: np.clip(clip + rng.normal(0, 12, clip.shape), 0, 255).astype(np.uint8),
        "camera shakes by 2 pixels": lambda clip: np.stack(
            [np.roll(frame, tuple(rng.integers(-2, 3, 2)), (0, 1)) for frame in clip]
        ),
        "every third frame": lambda clip: clip[::3],
        "frames out of order": lambda clip: clip[rng.permutation(len(clip))],
        "noise only": lambda clip: rng.integers(0, 256, clip.shape, dtype=np.uint8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--model", default="bundled")
    options = parser.parse_args()
    loaded = Fingerprinter.load(options.model, "cpu")
    domain, length = loaded.model.domain, loaded.model.clip_length
    if domain is None:
        parser.error(f"weights {loaded.model} do not know their domain; give --model")
    clips: list[Clip] = []
    warned = 0
    paths = sorted(path for path in options.videos.rglob("*") if path.suffix.lower() in SUFFIXES)
    for path in paths:
        own = [frames for window, frames in iter_windows(path, loaded.contract, length) if window.valid == length]
        clips += own
        warned += far_warning([domain.distance(frames) for frames in own]) is not None
    if not clips:
        parser.error(f"{options.videos}: no video of {length} frames")
    print(
        f"{loaded.model}: {len(clips)} windows of {len(paths)} videos, seed 0; warned of as they are: {warned} videos"
    )
    for name, alter in alterations(np.random.default_rng(0)).items():
        found = np.array([domain.distance(np.ascontiguousarray(alter(clip))) for clip in clips])
        print(f"{name:26} median {np.median(found):5.2f}  beyond {np.mean(found > 1):6.1%}")


if __name__ == "__main__":
    main()
