"""Does anything but motion tell the drivers of a simulated data set apart?

    python benchmarks/leak_audit.py DIR [--json] [--work FOLDER] [--generators warp,mesh] [--split test] [--workers 2]

DIR was made by `whodrives simulate`; its settings (simulate.json) are planned anew with every track replaced by its
neutral, so that drivers differ in nothing but their labels. For each generator of DIR:

(1) Appearance audit. One video of each driver on each face, own nuisance, 64 frames, 128 x 128. Scorers: static
    frame, mean frame, pixel mean and variance, flicker (amount, map), residue of a high-pass (amount, map), file size,
    bit rate, duration, and a small CNN trained on half of the faces with the very people it is to recognise on the
    others. Pairs show two faces, so that faces are paired alike in genuine and impostor pairs. Every 95% interval over
    people must hold 0.5 with half-width at most 0.06. One interval in twenty misses by chance: scorers that fail are
    tried again on an independent draw (--seed + 1), and who fails twice leaks. All are printed.
(2) Planted leaks, each of which must be caught by some scorer with AUC >= 0.80, else the audit is blind: driver k of n
    2% * k / (n - 1) brighter; its crop shifted by one pixel in direction k / n of a circle; half of the drivers coded
    at crf - 2 and half at + 2 (impostor pairs then cross the halves: within one, nothing is planted). Every driver in
    three videos on each of four faces; the nuisance of a face is shared by its videos but for noise and flicker, for
    under full nuisance (standard deviation 12% of brightness) 2% drown; pairs show one face. The same set without a
    plant stands beside.
(3) Motion controls, without bound: the bundled weights on DIR's own videos, as they are and with the frames replaced by
    the static centre frame, by the clip mean, shuffled, and reversed.

Exit status 1 when (1) or (2) fails.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track as progress

from leaks.scorers import Scores, hunt, look, plain_scores
from whodrives.avatars.cast import cast_drivers, cast_faces, parse_kinds
from whodrives.avatars.dataset import render_dataset
from whodrives.avatars.faces import Face
from whodrives.avatars.nuisance import Nuisance, sample_nuisance
from whodrives.avatars.plan import PlannedVideo, plan_dataset, stable_seed
from whodrives.avatars.simulation import Simulation
from whodrives.avatars.tracks import MotionTrack
from whodrives.data.manifest import read_manifest
from whodrives.data.record import Record
from whodrives.evaluation.embed_videos import embed_windows
from whodrives.evaluation.intervals import Interval, pairs_interval
from whodrives.evaluation.protocols import Pairs, cosines, recording_pairs
from whodrives.training.weights import load_weights
from whodrives.video.frames import load_frames

FRAMES, FPS, SIZE = 64, 25.0, 128
CAUGHT, HALF_WIDTH = 0.80, 0.06
FACES_MATCHED, TAKES = 4, 3
PLANTS = ("brightness", "crop", "codec")
Table = dict[str, Interval]
console = Console(stderr=True)


def matched_nuisance(kind: str, drivers: Sequence[str], seed: int) -> Callable[[PlannedVideo], Nuisance]:
    """Nuisance of a matched video: the face's, with its own noise and flicker, and the plant of its driver."""

    def draw(video: PlannedVideo) -> Nuisance:
        shared = sample_nuisance(np.random.default_rng(stable_seed("matched", seed, video.record.target)))
        base = replace(shared, seed=video.nuisance.seed, crf=22)
        number, count = drivers.index(video.record.driver), len(drivers)
        if kind == "brightness":
            return replace(base, gain=base.gain * (1 + 0.02 * number / (count - 1)))
        if kind == "crop":
            angle = 2 * math.pi * number / count
            x, y = math.cos(angle) / SIZE, math.sin(angle) / SIZE
            return replace(base, shift_x=base.shift_x + x, shift_y=base.shift_y + y)
        if kind == "codec":
            return replace(base, crf=base.crf + (2 if number % 2 else -2))
        return base

    return draw


def codec_pairs(pairs: Pairs, drivers: Sequence[str]) -> Pairs:
    """Genuine pairs, and impostor pairs whose drivers were coded differently."""
    half = {driver: number % 2 for number, driver in enumerate(drivers)}
    apart = np.array([half[a] != half[b] for a, b in zip(pairs.first, pairs.second, strict=True)])
    return pairs.select(pairs.genuine | apart)


def columns(records: Sequence[Record]) -> tuple[NDArray, NDArray, NDArray]:
    driver, target, recording = (np.array([getattr(r, n) for r in records]) for n in ("driver", "target", "recording"))
    return driver, target, recording


def intervals(records: Sequence[Record], scores: Scores, faces: str, kind: str, drivers: Sequence[str]) -> Table:
    """AUC of pairs from different recordings, by scorer."""
    driver, target, recording = columns(records)
    out = {}
    for name, matrix in scores.items():
        pairs = recording_pairs(matrix, driver, target, recording, faces)
        out[name] = pairs_interval(codec_pairs(pairs, drivers) if kind == "codec" else pairs)
    return out


def suspicious(table: Table) -> set[str]:
    """Scorers that tell drivers apart, or whose interval is too wide to say."""
    return {n for n, i in table.items() if not i.holds(0.5) or i.half_width > HALF_WIDTH}


class Audit:
    """The audit of one generator."""

    def __init__(self, settings: Simulation, generator: str, split: str, work: Path, workers: int) -> None:
        self.settings, self.generator, self.split = settings, generator, split
        self.work, self.workers = work / generator, workers
        part = next(part for part in settings.parts if part.split == split)
        number = settings.parts.index(part)
        seconds = FRAMES / FPS
        self.tracks: list[MotionTrack] = cast_drivers(settings.parts, settings.motion, seconds)[number]
        self.faces: list[Face] = cast_faces(settings.parts, parse_kinds(settings.faces), settings.portraits)[number]
        self.drivers = sorted({track.driver for track in self.tracks})
        self.counts: dict[str, dict[str, int]] = {}
        self.accuracy: dict[str, float] = {}

    def plan(self, faces: Sequence[Face], clips: int, cross: int | None, seed: int) -> list[PlannedVideo]:
        return plan_dataset(
            self.tracks, faces, clips=clips, cross_clips=cross, seconds=FRAMES / FPS, fps=self.settings.fps, seed=seed,
            split=self.split, generators=(self.generator,), neutral=True, crf=self.settings.codec,
        )  # fmt: skip

    def scores(self, name: str, plan: Sequence[PlannedVideo]) -> tuple[list[Record], Scores]:
        made = render_dataset(
            plan, self.work / name, size=SIZE, workers=self.workers,
            generators=self.settings.load_generators(),
        )  # fmt: skip
        records = list(progress(made, f"{self.generator}, {name}: rendering", total=len(plan), console=console))
        return records, look(list(progress(records, f"{self.generator}, {name}: reading", console=console)))

    def with_hunter(self, name: str, records: Sequence[Record], looks, faces: str, kind: str, seed: int) -> Table:
        table = intervals(records, plain_scores(looks), faces, kind, self.drivers)
        driver, target, _ = columns(records)
        rows, scores, accuracy = hunt(looks.pictures, driver, target, seed)
        chosen = [records[row] for row in rows]
        table |= intervals(chosen, {"small CNN": scores}, faces, kind, self.drivers)
        self.accuracy[name] = accuracy
        self.counts[name] = {"videos": len(records), "people": len(set(driver)), "faces": len(set(target))}
        return table

    def as_made(self, seed: int) -> Table:
        """One video of each driver on each face, as the data set makes them."""
        first: dict[tuple[str, str], PlannedVideo] = {}
        for video in self.plan(self.faces, self.settings.clips, 1, seed):
            first.setdefault((video.record.driver, video.record.target), video)
        name = f"as made, seed {seed}"
        records, looks = self.scores(name, list(first.values()))
        return self.with_hunter(name, records, looks, "different", "", seed)

    def matched(self, kind: str, seed: int) -> Table:
        """Three videos of each driver on each of four faces that share their nuisance."""
        plan = self.plan(self.faces[:FACES_MATCHED], TAKES, None, seed)
        draw = matched_nuisance(kind, self.drivers, seed)
        plan = [replace(video, draw=draw(video), crf=None) for video in plan]
        name = f"{kind}, seed {seed}"
        records, looks = self.scores(name, plan)
        return self.with_hunter(name, records, looks, "same", kind, seed)


def motion_controls(root: Path, generator: str, split: str, limit: int) -> Table:
    """The bundled weights on the data set's own videos, and on what is left of them without order or without motion."""
    first: dict[tuple[str, str], Record] = {}
    for record in read_manifest(root):
        if record.generator == generator and record.split == split:
            first.setdefault((record.driver, record.target), record)
    chosen = list(first.values())
    rng = np.random.default_rng(0)
    chosen = [chosen[k] for k in sorted(rng.permutation(len(chosen))[:limit])]
    model = load_weights("bundled").model
    kinds: dict[str, list[NDArray]] = {}
    kept = []
    for record in progress(chosen, f"{generator}: motion controls", console=console):
        frames = load_frames(record.path).frames[:FRAMES]
        if len(frames) < FRAMES:
            continue
        kept.append(record)
        mean = frames.astype(np.float32).mean(axis=0, keepdims=True).round().astype(np.uint8)
        variants = {
            "as it is": frames,
            "static frame": np.repeat(frames[FRAMES // 2][None], FRAMES, axis=0),
            "clip mean": np.repeat(mean, FRAMES, axis=0),
            "shuffled": frames[rng.permutation(FRAMES)],
            "reversed": frames[::-1].copy(),
        }
        for name, clip in variants.items():
            kinds.setdefault(name, []).append(embed_windows(model, clip[None, None])[0, 0])
    driver, target, recording = columns(kept)
    table = {}
    for name, vectors in kinds.items():
        # A frozen clip has no motion at all: what differs is rounding.
        scores = np.round(cosines(np.stack(vectors)), 6)
        table[name] = pairs_interval(recording_pairs(scores, driver, target, recording, "different"))
    return table


def audit(root: Path, options: argparse.Namespace, work: Path) -> tuple[dict[str, dict[str, Table]], list[str], dict]:
    settings = Simulation.load(root)
    names = options.generators.split(",") if options.generators else settings.generators
    split = options.split or settings.parts[-1].split
    report: dict[str, dict[str, Table]] = {}
    failures: list[str] = []
    facts: dict[str, dict] = {}
    for generator in names:
        start = time.perf_counter()
        one = Audit(settings, generator, split, work, options.workers)
        tables = report[generator] = {}
        for kind in PLANTS:
            table = tables[f"planted: {kind}"] = one.matched(kind, options.seed)
            best = max(table, key=lambda name: table[name].value)
            if table[best].value < CAUGHT:
                failures.append(f"{generator}: blind to the planted leak {kind!r}: best is {best} {table[best]}")
        tables["matched, nothing planted"] = one.matched("nothing", options.seed)
        suspects: set[str] | None = None
        for seed in (options.seed, options.seed + 1):
            table = tables[f"as made, seed {seed}"] = one.as_made(seed)
            suspects = suspicious(table) if suspects is None else suspects & suspicious(table)
            if not suspects:
                break
        for scorer in sorted(suspects or ()):
            wide = table[scorer].holds(0.5)
            failures.append(
                f"{generator}: {scorer} " + ("has too few people or faces to tell" if wide else "fails twice")
            )
        if not settings.neutral and options.controls:
            tables["motion controls (no bound)"] = motion_controls(root, generator, split, options.controls)
        facts[generator] = {
            "sets": one.counts, "cnn_training_accuracy": one.accuracy, "seconds": round(time.perf_counter() - start, 1),
        }  # fmt: skip
    return report, failures, facts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="DIR")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--work", type=Path, help="keep the rendered sets here; a second run goes on [a temporary folder]"
    )
    parser.add_argument("--generators", help="with commas [all of DIR]")
    parser.add_argument("--split", help="[the last of DIR]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--controls", type=int, default=160, help="videos for the motion controls; 0 leaves them out")
    options = parser.parse_args()
    torch.set_num_threads(1 if options.workers > 1 else torch.get_num_threads())
    if options.work:
        report, failures, facts = audit(options.root, options, options.work)
    else:
        with tempfile.TemporaryDirectory() as folder:
            report, failures, facts = audit(options.root, options, Path(folder))
    if options.json:
        cells = {
            g: {t: {s: [i.value, i.low, i.high, i.half_width] for s, i in rows.items()} for t, rows in tables.items()}
            for g, tables in report.items()
        }
        settings = Simulation.load(options.root).to_dict()
        print(
            json.dumps(
                {"schema_version": 1, "auc": cells, "facts": facts, "failures": failures, "settings": settings,
                 "seed": options.seed}
            )
        )  # fmt: skip
    else:
        for generator, tables in report.items():
            for name, table in tables.items():
                print(f"\n{generator}: {name}  {facts[generator]['sets'].get(name.removeprefix('planted: '), '')}")
                for scorer, interval in table.items():
                    print(f"  {scorer:16s} {interval}  half-width {interval.half_width:.3f}")
            print(f"\n{generator}: {facts[generator]}")
        print("\n" + ("\n".join(f"FAIL: {line}" for line in failures) or "no leak found, all planted leaks caught"))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
