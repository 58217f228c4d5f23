"""How much of the driven motion can be read back from the pixels? FaceMesh on the videos of a data set.

    python benchmarks/retracking.py DIR [--workers 2] [--clips 24] [--json]

DIR was made by `whodrives simulate`. Every video (or `--clips` of each generator, one a driver first) is tracked with
MediaPipe FaceMesh (extra `landmarks`) and turned into motion channels by the same code that reads recordings from
video; the driven channels come from DIR's own settings. For each generator: Pearson's correlation of driven and
recovered yaw, pitch, roll, jaw opening, smile, blink, brow raise and gaze over time, low-passed alike; median and
quartiles over clips. A clip counts for a channel only where the driven channel moves (standard deviation above a
floor), since the correlation with a resting channel means nothing. What FaceMesh itself cannot see is lost here too:
this is a lower bound of what a generator shows.

Tracks are kept in DIR/retracked/ (and read again when a video is newer). Exit status 1 when a generator's median for
yaw or jaw opening is under 0.5: then it does not show what drives it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track as progress

from whodrives.avatars.conditioning import Conditioning, condition
from whodrives.avatars.plan import PlannedVideo
from whodrives.avatars.simulation import Simulation
from whodrives.avatars.tracks import CHANNELS, INDEX

NEEDED = 0.5
CACHE = "retracked"
# What is compared: weights of the channels that make up one visible action, and the driven spread it takes to count.
ACTIONS: dict[str, tuple[dict[str, float], float]] = {
    "yaw": ({"yaw": 1.0}, 0.01),
    "pitch": ({"pitch": 1.0}, 0.01),
    "roll": ({"roll": 1.0}, 0.01),
    "jaw opening": ({"AU25": 0.5, "AU26": 1.0}, 0.1),
    "smile": ({"AU12": 1.0}, 0.1),
    "blink": ({"AU45": 1.0}, 0.1),
    "brow raise": ({"AU01": 1.0, "AU02": 1.0}, 0.1),
    "brow lowering": ({"AU04": 1.0}, 0.1),
    "gaze across": ({"gaze_x": 1.0}, 0.01),
}
# Both sides of the comparison are low-passed alike; head pose is kept as it is.
SMOOTH = Conditioning(true_head_pose=True)


@dataclass(frozen=True)
class Recovered:
    """One video read back: driven and recovered channels (N, 33) at the video's rate, and where the face was seen."""

    video: PlannedVideo
    driven: NDArray[np.float32]
    recovered: NDArray[np.float32]
    valid: NDArray[np.bool_]


def _track(task: tuple[str, str]) -> str:
    """Track one video into a cache file (in a worker process)."""
    from whodrives.avatars.motion.from_video import video_raw

    source, cache = task
    raw = video_raw(source)
    # Frames in which no face is found hold no values; the time stamps are the video's own.
    fps = (len(raw.time_s) - 1) / (raw.time_s[-1] - raw.time_s[0])
    partial = Path(cache + ".part.npz")
    np.savez_compressed(partial, values=raw.values.astype(np.float32), confidence=raw.confidence, fps=fps)
    partial.replace(cache)
    return cache


def planned(root: Path) -> list[PlannedVideo]:
    """The plan behind a data set, from its own settings."""
    return Simulation.load(root).plan()


def _newer(kept: Path, video: Path) -> bool:
    """Whether a track was read from the video that is there now."""
    return kept.is_file() and kept.stat().st_mtime > video.stat().st_mtime


def recover(root: Path, plan: Sequence[PlannedVideo], workers: int) -> Iterator[Recovered]:
    """Track what is not tracked yet, then yield every video with its driven channels."""
    cache = root / CACHE
    cache.mkdir(exist_ok=True)
    names = {video.record.path: cache / (str(video.record.path).replace("/", "__") + ".npz") for video in plan}
    todo = [(str(root / path), str(name)) for path, name in names.items() if not _newer(name, root / path)]
    if todo:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for _ in progress(pool.map(_track, todo), "tracking", total=len(todo)):
                pass
    for video in plan:
        with np.load(names[video.record.path]) as kept:
            values, confidence, fps = kept["values"].astype(np.float64), kept["confidence"], float(kept["fps"])
        driven = video.controls()
        length = min(len(driven), len(values))
        if not (confidence[:length] >= SMOOTH.min_confidence).any():
            print(f"{video.record.path}: no face found in any frame", file=sys.stderr)
            continue
        recovered, valid = condition(values[:length], confidence[:length], fps, SMOOTH)
        yield Recovered(video, driven[:length].astype(np.float32), recovered, valid)


def action(values: NDArray[np.floating], weights: dict[str, float]) -> NDArray[np.float64]:
    """(N, 33) -> (N,) the weighted sum of some channels."""
    return sum(share * values[:, INDEX[name]].astype(np.float64) for name, share in weights.items())  # type: ignore[return-value]


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation; 0 where the recovered side does not move at all."""
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size > 0 else 0.0


def choose(plan: Sequence[PlannedVideo], clips: int) -> list[PlannedVideo]:
    """`clips` videos of each generator, drivers and faces in turn so that all are seen."""
    chosen: list[PlannedVideo] = []
    for generator in sorted({video.record.generator for video in plan}):
        own = [video for video in plan if video.record.generator == generator]
        own = [own[number] for number in np.random.default_rng(0).permutation(len(own))]
        seen: dict[str, int] = {}
        ranked = []
        for video in own:
            seen[video.record.driver] = seen.get(video.record.driver, 0) + 1
            ranked.append((seen[video.record.driver], len(ranked), video))
        ranked.sort(key=lambda row: row[:2])
        chosen += [video for _, _, video in ranked[:clips]]
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clips", type=int, default=24, help="videos of each generator")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: dict[str, dict[str, list[float]]] = {}
    lost: dict[str, list[float]] = {}
    for one in recover(options.root, choose(planned(options.root), options.clips), options.workers):
        generator = one.video.record.generator
        lost.setdefault(generator, []).append(1.0 - float(one.valid.mean()))
        for name, (weights, floor) in ACTIONS.items():
            driven = action(one.driven, weights)[one.valid]
            if len(driven) > 10 and driven.std() >= floor:
                r = correlation(driven, action(one.recovered, weights)[one.valid])
                rows.setdefault(generator, {}).setdefault(name, []).append(r)
    failures = []
    report: dict[str, dict[str, dict[str, float]]] = {}
    for generator, table in rows.items():
        for name, values in table.items():
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            cell = {"median": float(middle), "quartile_1": float(low), "quartile_3": float(high), "clips": len(values)}
            report.setdefault(generator, {})[name] = cell
            if name in ("yaw", "jaw opening") and middle < NEEDED:
                failures.append(f"{generator}: median correlation of {name} is {middle:.2f}, needs {NEEDED}")
    if options.json:
        print(json.dumps({"schema_version": 1, "correlation": report, "failures": failures, "channels": len(CHANNELS)}))
    else:
        for generator, cells in report.items():
            print(f"\n{generator}: face lost in {100 * np.mean(lost[generator]):.1f}% of the frames")
            for name, c in cells.items():
                quartiles = f"[{c['quartile_1']:.2f}, {c['quartile_3']:.2f}]"
                print(f"  {name:14s} median {c['median']:.2f}  quartiles {quartiles}  {c['clips']} clips")
        print("\n" + ("\n".join(f"FAIL: {line}" for line in failures) or "every generator shows yaw and jaw opening"))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
