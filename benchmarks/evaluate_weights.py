"""What weights are worth on held-out people and faces, beside an untrained network, controls and the linear reference.

    whodrives simulate DIR --drivers 20 --targets 24 --clips 4 --cross-clips 1 --seconds 10.24 --split-name test \\
        --motion ../shared/motion/mu3d.parquet --portraits ../shared/portraits/cremad
    python benchmarks/evaluate_weights.py DIR --motion ../shared/motion/mu3d.parquet \\
        feat_diff=bundled untrained=paper static=RUN/best.safetensors [--ledger docs/test_ledger.jsonl]

DIR holds mp4 files and a manifest; every MODEL is NAME=FILE (weights, a preset, or a training checkpoint). Four windows
of 64 frames are cut from each video; --windows N --hop H: others, a new one every H frames. A checkpoint that learned
at an n-th of the frame rate, on as many fewer frames, sees every n-th one of them.

`one window` compares window w of one video with window w of another, all w pooled; `mean of N` compares the means.
Protocols: `target` (the paper's: per-target mean, positives are pairs of self-reenactments), `pair` (one driver in two
recordings against two drivers, all faces), `pair, two faces` (the same, only pairs that show two faces), `Eq. 1` (one
driver on two faces against two drivers on one). Intervals: 95%, over people; `A - B`: of the first model less another,
paired. The linear reference is LDA on the true tracks, fitted on the train people, on the same stretches of motion.

For weight files with a card also what its thresholds and its calibration do on these videos (operating_points.py); not
where windows overlap.

Exit status 1 when the first MODEL is not better than the UNTRAINED network (a model named `untrained`) in Eq. 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from rich.progress import track

from operating_points import operating_points
from whodrives.avatars.dataset import cut_clips
from whodrives.avatars.motion.tables import load_table
from whodrives.avatars.tracks import AU_CHANNELS, GAZE_CHANNELS, INDEX
from whodrives.data.manifest import read_manifest
from whodrives.data.record import Record
from whodrives.evaluation.embed_videos import embed_windows, load_windows
from whodrives.evaluation.intervals import (
    Interval,
    paired_pairs_interval,
    paired_per_target_interval,
    pairs_interval,
    per_target_interval,
)
from whodrives.evaluation.linear_reference import LinearReference, window_features
from whodrives.evaluation.protocols import Pairs, cosines, cross_target_pairs, recording_pairs
from whodrives.models import PRESETS, FingerprintModel
from whodrives.models.fused import fused
from whodrives.training.release import load_run, unit
from whodrives.training.weights import is_shipped, load_weights
from whodrives.verification.embedding import ModelInfo
from whodrives.verification.fingerprinter import read_contract, read_model_info

WINDOWS, LENGTH, FPS = 4, 64, 25.0
RENDERED = [INDEX[name] for name in (*AU_CHANNELS, *GAZE_CHANNELS, "roll", "yaw")]


def load_model(source: str) -> tuple[FingerprintModel, ModelInfo | None, int]:
    """A weight file with what its card says, or a preset (untrained) or a training checkpoint without thresholds.

    Behind it which frames it is shown: every n-th.
    """
    if is_shipped(source) or source in PRESETS or Path(source).with_suffix(".json").is_file():
        weights = load_weights(source)
        info = read_model_info(weights.card, weights.digest)
        if (info.clip_length, read_contract(weights.card).fps) != (LENGTH, FPS):
            print(f"{source}: AUC only, its card is for other windows than {LENGTH} at {FPS:g} fps", file=sys.stderr)
            return weights.model, None, 1
        return weights.model, info if info.thresholds or info.calibration else None, 1
    model, config, _ = load_run(Path(source))
    # A store says its own rate, which the experiment does not; the benchmark's is taken for it.
    fps, length = FPS if config.data.store else config.data.fps, config.data.clip_length
    every = max(1, round(FPS / fps))
    if (fps, length) != (FPS / every, LENGTH // every):
        print(f"{source}: learned {length} frames at {fps:g} fps, is shown {LENGTH // every}", file=sys.stderr)
    return model, None, every


def span(windows: int, hop: int) -> int:
    """Frames that they cover."""
    return (windows - 1) * hop + LENGTH


def sliding(frames: NDArray[Any], windows: int, hop: int) -> NDArray[Any]:
    """(V, F, ...) -> (V, windows, LENGTH, ...), a view."""
    every = sliding_window_view(frames, LENGTH, axis=1)[:, ::hop][:, :windows]
    return np.moveaxis(every, -1, 2)


def joined(parts: list[Pairs]) -> Pairs:
    return Pairs(*(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Pairs)))


@dataclass(frozen=True)
class Trials:
    """Scores of one model in both protocols: `pairs` by name, and `target` as `per_target_interval` takes them."""

    pairs: dict[str, Pairs]
    target: tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.str_], NDArray[np.bool_]]


def trials(vectors: NDArray[np.floating], records: list[Record]) -> dict[str, Trials]:
    """(V, W, D) unit vectors -> one window / mean of all W -> their trials."""
    driver, target, recording = (
        np.array([getattr(r, name) for r in records]) for name in ("driver", "target", "recording")
    )
    is_self = np.array([r.is_self for r in records])
    out = {}
    sets = {
        "one window": [vectors[:, w] for w in range(vectors.shape[1])],
        f"mean of {vectors.shape[1]}": [unit(vectors.mean(axis=1))],
    }
    for name, slots in sets.items():
        scores = [cosines(slot) for slot in slots]
        # Each window slot of a target is a target of its own, resampled with the same person.
        n = len(records)
        blocks = np.full((n * len(slots), n * len(slots)), -2.0)
        for slot, block in enumerate(scores):
            blocks[slot * n : (slot + 1) * n, slot * n : (slot + 1) * n] = block
        places = np.concatenate([np.char.add(target, f"#{slot}") for slot in range(len(slots))])
        repeat = len(slots)
        pairs = {
            "pair": joined([recording_pairs(s, driver, target, recording) for s in scores]),
            "pair, two faces": joined([recording_pairs(s, driver, target, recording, "different") for s in scores]),
            "Eq. 1": joined([cross_target_pairs(s, driver, target, recording) for s in scores]),
        }
        out[name] = Trials(pairs, (blocks, np.tile(driver, repeat), places, np.tile(is_self, repeat)))
    return out


def intervals(of: Trials) -> dict[str, Interval]:
    """Protocol -> AUC with its interval over people."""
    return {"target": per_target_interval(*of.target), **{k: pairs_interval(v) for k, v in of.pairs.items()}}


def differences(first: Trials, other: Trials) -> dict[str, Interval]:
    """Protocol -> AUC of `first` minus AUC of `other` on the same trials, paired over people."""
    scores, driver, target, is_self = first.target
    found = {"target": paired_per_target_interval(scores, other.target[0], driver, target, is_self)}
    return found | {name: paired_pairs_interval(pairs, other.pairs[name]) for name, pairs in first.pairs.items()}


def linear_vectors(table: str, records: list[Record], clips: int, count: int, hop: int) -> NDArray[np.float64]:
    """LDA of the true tracks on the very stretches that move the videos, (V, W, K)."""
    train = [one.resample(FPS) for one in load_table(table, "train")]
    cut = [(one, start) for one in train for start in one.window_starts(LENGTH, LENGTH // 2)]
    windows = np.stack([one.values[start : start + LENGTH][:, RENDERED] for one, start in cut])
    model = LinearReference.fit(window_features(windows), np.array([one.driver for one, _ in cut]))
    stretches = cut_clips(load_table(table, records[0].split), clips, span(count, hop), FPS)
    by_name = {(driver, clip.name): clip for driver, own in stretches.items() for clip in own}
    try:
        used = [by_name[r.driver, r.path.stem.split("--")[1]] for r in records]
    except KeyError:  # a clip's name says where it begins, and that depends on how long all are
        raise SystemExit("--motion needs --windows and --hop to span the videos' whole length; leave it out") from None
    values = np.stack([c.track.values[c.start : c.start + c.length][:, RENDERED] for c in used])
    flat = sliding(values, count, hop).reshape(len(records) * count, LENGTH, len(RENDERED))
    return model.embed(window_features(flat)).reshape(len(records), count, -1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", help="folder that `whodrives simulate` wrote")
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL")
    parser.add_argument("--motion", help="the table that moved the videos, for the linear reference")
    parser.add_argument("--clips", type=int, default=4, help="--clips of simulate")
    parser.add_argument("--windows", type=int, default=WINDOWS, help="of each video")
    parser.add_argument("--hop", type=int, default=LENGTH, help="frames from one window to the next")
    parser.add_argument("--ledger", type=Path, help="append the result here")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.hop < 1 or options.windows < 1:
        raise SystemExit("--windows and --hop must be at least 1")
    torch.set_num_threads(options.threads)
    records = read_manifest(options.videos)
    named = {name: load_model(source) for name, _, source in (word.partition("=") for word in options.models)}
    frames = load_windows([r.path for r in track(records, "decoding")], 1, span(options.windows, options.hop))[:, 0]
    windows = sliding(frames, options.windows, options.hop)
    found: dict[str, dict[str, Trials]] = {}
    decisions: dict[str, dict[str, dict[str, Any]]] = {}
    for name, (trained, info, every) in named.items():
        model = fused(trained.eval())
        parts = [embed_windows(model, windows[n : n + 1, :, ::every].copy()) for n in track(range(len(records)), name)]
        vectors = np.concatenate(parts)
        found[name] = trials(vectors, records)
        # Thresholds and calibration of means are for windows that share no frames.
        if info is not None and options.hop >= LENGTH:
            decisions[name] = operating_points(vectors, records, info)
    if options.motion:
        linear = linear_vectors(options.motion, records, options.clips, options.windows, options.hop)
        found["linear reference, true tracks"] = trials(linear, records)
    print(
        f"{len(records)} videos, split {records[0].split}, {len({r.driver for r in records})} drivers, "
        f"{len({r.target for r in records})} faces"
    )
    rows = {name: {count: intervals(of) for count, of in sets.items()} for name, sets in found.items()}
    first, *others = found
    for name in others:
        rows[f"{first} - {name}"] = {count: differences(of, found[name][count]) for count, of in found[first].items()}
    for name, sets in rows.items():
        for count, protocols in sets.items():
            print(f"{name:30s} {count:10s} " + "  ".join(f"{key} {value}" for key, value in protocols.items()))
    for name, counts in decisions.items():
        for count, values in counts.items():
            print(f"{name:30s} {count:10s} " + "  ".join(f"{key} {value}" for key, value in values.items()))
    if options.ledger:
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
        entry = {
            "date": time.strftime("%Y-%m-%d"),
            "commit": commit.stdout.strip(),
            "split": records[0].split,
            "command": " ".join(["python", *sys.argv]),
            "result": {n: {c: {p: asdict(i) for p, i in ps.items()} for c, ps in s.items()} for n, s in rows.items()},
            "decisions": json.loads(json.dumps(decisions, default=asdict)),
        }
        with options.ledger.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
    best = rows[first]["one window"]["Eq. 1"].value
    if "untrained" in rows and best <= rows["untrained"]["one window"]["Eq. 1"].value:
        print("FAIL: no better than an untrained network")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
