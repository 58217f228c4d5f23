"""Can anything but motion tell the drivers of our avatar videos apart?

    python benchmarks/appearance_audit.py [--motion TABLE.parquet --portraits FOLDER]

Every track is replaced by its neutral, so that drivers differ in nothing but their labels. Without --motion and
--portraits: built-in drivers on procedural faces. Scorers: static frame, mean frame, pixel mean, pixel variance,
flicker, file size, bit rate, the bundled weights.

1. Planted leaks, in videos of 2.56 s. Every driver on a few faces, the nuisance of a face shared by all its videos but
   for the noise, pairs on one face. Driver k of n is made brighter by 2% * k / (n - 1), or its crop is shifted by one
   pixel in direction k / n of a circle. The best scorer must reach AUC 0.80 on each, else the audit is blind.
2. The same without a leak ("matched"): every scorer's 95% interval over people must hold 0.5, half-width at most 0.06.
3. The data set itself ("as made"): `plan_dataset`'s own videos with their own nuisance; the same demand on pairs that
   show two faces, one video of each driver on each face (with more on the own face, the faces would be paired unlike in
   genuine and impostor pairs). The paper's protocol, with all videos, stands beside without a demand.

One interval in twenty misses 0.5 by chance. So scorers that fail are tried again on an independent draw of nuisance and
assignment (--seed + 1); who fails again leaks. All intervals are printed. Exit status 1 when a leak stands or the audit
is blind.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track as progress

from whodrives.avatars.dataset import PlannedVideo, cut_clips, plan_dataset, render_dataset
from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.faces import Face, load_portraits
from whodrives.avatars.motion.tables import load_table
from whodrives.avatars.nuisance import Nuisance, sample_nuisance
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import MotionTrack
from whodrives.data.record import Record
from whodrives.evaluation.embed_videos import embed_windows
from whodrives.evaluation.intervals import Interval, pairs_interval, per_target_interval
from whodrives.evaluation.protocols import cosines, recording_pairs
from whodrives.models import FingerprintModel
from whodrives.training.weights import load_weights
from whodrives.video.frames import load_frames

FRAMES, FPS, SIZE = 64, 25.0, 128
CAUGHT, HALF_WIDTH = 0.80, 0.06
DRIVERS, FACES_MATCHED, TAKES, SECONDS = 20, 4, 3, 14.0
Scores = dict[str, NDArray[np.float64]]
Draw = Callable[[PlannedVideo], Nuisance] | None


def people(motion: str | None, portraits: str | None) -> tuple[list[MotionTrack], list[Face]]:
    """Test people and faces, or built-in ones."""
    if motion and portraits:
        return load_table(motion, "test"), load_portraits(portraits, "test")
    tracks = [
        BuiltinDriver(8_000_000 + d).recording(8_000_000 + d * 4 + take, take, SECONDS, FPS)
        for d in range(DRIVERS)
        for take in range(4)
    ]
    return tracks, [procedural_face(8_000_000 + n) for n in range(DRIVERS + 4)]


def matched_plan(tracks: Sequence[MotionTrack], faces: Sequence[Face]) -> list[PlannedVideo]:
    """Every driver on every one of a few faces, TAKES recordings each."""
    plan = plan_dataset(tracks, faces, clips=TAKES, seconds=FRAMES / FPS, fps=FPS)
    chosen = {face.name for face in faces[:FACES_MATCHED]}
    return [video for video in plan if video.record.target in chosen]


def leak(kind: str, drivers: Sequence[str], seed: int) -> Callable[[PlannedVideo], Nuisance]:
    """Nuisance of a matched video: the face's, with its own noise and the leak of its driver."""

    def nuisance(video: PlannedVideo) -> Nuisance:
        face_seed = [seed, *video.record.target.encode()]
        base = replace(sample_nuisance(np.random.default_rng(face_seed)), seed=video.nuisance.seed)
        share = drivers.index(video.record.driver) / (len(drivers) - 1)
        if kind == "brightness":
            return replace(base, gain=base.gain * (1 + 0.02 * share))
        if kind == "crop":
            angle = 2 * math.pi * share * (len(drivers) - 1) / len(drivers)
            return replace(
                base,
                shift_x=base.shift_x + math.cos(angle) / SIZE,
                shift_y=base.shift_y + math.sin(angle) / SIZE,
            )
        return base

    return nuisance


def distances(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, F) -> minus Euclidean distances (N, N)."""
    x = features.astype(np.float64)
    square = (x * x).sum(axis=1)
    return -np.sqrt(np.maximum(square[:, None] + square[None] - 2 * x @ x.T, 0))


def score(records: Sequence[Record], model: FingerprintModel) -> Scores:
    """Scorer -> (N, N), higher = more alike; every one looks at the finished file only."""
    rows: dict[str, list[NDArray[np.floating]]] = {}
    vectors = []
    for record in progress(records, "scoring"):
        frames = load_frames(record.path).frames
        flat = frames.astype(np.float32)
        size = record.path.stat().st_size
        for name, value in {
            "static frame": flat[len(flat) // 2].ravel(),
            "mean frame": flat.mean(axis=0).ravel(),
            "pixel mean": flat.mean(keepdims=True).ravel(),
            "pixel variance": flat.var(keepdims=True).ravel(),
            "flicker": np.abs(np.diff(flat, axis=0)).mean(keepdims=True).ravel(),
            "file size": np.array([float(size)]),
            "bit rate": np.array([8 * size * FPS / len(frames)]),
        }.items():
            rows.setdefault(name, []).append(value)
        windows = frames[: len(frames) // FRAMES * FRAMES].reshape(-1, FRAMES, *frames.shape[1:])
        vectors.append(embed_windows(model, windows[None])[0].mean(axis=0))
    scores = {name: distances(np.stack(values)) for name, values in rows.items()}
    scores["bundled weights"] = cosines(np.stack(vectors))
    return scores


def labels(records: Sequence[Record]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    columns = (np.array([getattr(r, n) for r in records]) for n in ("driver", "target", "recording", "is_self"))
    driver, target, recording, is_self = columns
    return driver, target, recording, is_self


def pair_intervals(records: Sequence[Record], scores: Scores, faces: str) -> dict[str, Interval]:
    driver, target, recording, _ = labels(records)
    return {n: pairs_interval(recording_pairs(s, driver, target, recording, faces)) for n, s in scores.items()}


def target_intervals(records: Sequence[Record], scores: Scores) -> dict[str, Interval]:
    driver, target, _, is_self = labels(records)
    return {name: per_target_interval(s, driver, target, is_self) for name, s in scores.items()}


def one_each(records: Sequence[Record]) -> list[int]:
    """Indices of the first video of each driver on each face."""
    first: dict[tuple[str, str], int] = {}
    for number, record in enumerate(records):
        first.setdefault((record.driver, record.target), number)
    return sorted(first.values())


def suspicious(intervals: dict[str, Interval]) -> set[str]:
    """Scorers that tell drivers apart, or whose interval is too wide to say."""
    return {n for n, i in intervals.items() if not i.holds(0.5) or i.half_width > HALF_WIDTH}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motion")
    parser.add_argument("--portraits")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.24, help="length of the videos as made")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if bool(options.motion) != bool(options.portraits):
        parser.error("give both --motion and --portraits, or neither")
    torch.set_num_threads(options.threads)
    model = load_weights(options.weights).model
    tracks, faces = people(options.motion, options.portraits)
    drivers = sorted(cut_clips(tracks, 1, FRAMES, FPS))
    tables: dict[str, dict[str, Interval]] = {}
    failures = []
    with tempfile.TemporaryDirectory() as folder:

        def made(name: str, plan: list[PlannedVideo], nuisance: Draw = None) -> tuple[list[Record], Scores]:
            videos = render_dataset(plan, Path(folder, name), size=SIZE, fps=FPS, neutral=True, nuisance=nuisance)
            records = list(progress(videos, f"rendering {name}", total=len(plan)))
            return records, score(records, model)

        def matched(kind: str, seed: int) -> dict[str, Interval]:
            plan = matched_plan(tracks, faces)
            records, scores = made(f"{kind} {seed}", plan, leak(kind, drivers, seed))
            return pair_intervals(records, scores, "same")

        def as_made(_: str, seed: int) -> dict[str, Interval]:
            plan = plan_dataset(tracks, faces, clips=4, cross_clips=1, seconds=options.seconds, fps=FPS, seed=seed)
            records, scores = made(f"as made {seed}", plan)
            tables[f"as made, per target (seed {seed}, no demand)"] = target_intervals(records, scores)
            rows = one_each(records)
            once = {name: values[np.ix_(rows, rows)] for name, values in scores.items()}
            return pair_intervals([records[row] for row in rows], once, "different")

        for kind in ("brightness", "crop"):
            table = tables[f"planted leak: {kind}"] = matched(kind, options.seed)
            if max(interval.value for interval in table.values()) < CAUGHT:
                failures.append(f"the audit is blind to the planted leak {kind!r}")
        for kind, run in (("matched", matched), ("as made, pairs on two faces", as_made)):
            suspects: set[str] | None = None
            for seed in (options.seed, options.seed + 1):
                table = tables[f"{kind} (seed {seed})"] = run(kind, seed)
                suspects = suspicious(table) if suspects is None else suspects & suspicious(table)
                if not suspects:
                    break
            failures += [f"{kind}: {scorer} fails twice" for scorer in sorted(suspects or ())]
    if options.json:
        rows = {n: {s: [i.value, i.low, i.high] for s, i in t.items()} for n, t in tables.items()}
        print(json.dumps({"schema_version": 1, "tables": rows, "failures": failures}))
    else:
        for name, table in tables.items():
            print(f"\n{name}")
            for scorer, interval in table.items():
                print(f"  {scorer:16s} {interval}  half-width {interval.half_width:.3f}")
        print("\n" + ("\n".join(f"FAIL: {line}" for line in failures) or "no leak found, both planted leaks caught"))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
