"""Error rates of the sequential test on calls of people not trained on, and how late a swapped driver is noticed.

    python benchmarks/watch_errors.py [--model FILE] [--motion PARQUET --portraits FOLDER] [--split test]
        [--generator warp] [--people N] [--others 3] [--seconds 60] [--hop 8] [--folds 0] [--json FILE]

Every driver of the split is enrolled from all its recordings but the last, on a face of its own. Calls last as long as
the last recording does, at most --seconds: the driver's own last recording (genuine), those of `--others` other drivers
on the same face (impostors), and swaps, where an impostor takes over in the middle of a genuine call. Rendered straight
into tensors. Without --motion and --portraits: built-in drivers on drawn faces that training does not use.

Likelihood ratios come from the card of the weights. With --folds K people are dealt into K parts instead, and each part
is judged by a calibration fitted on the calls of the others: for weights without one, and for the people that a card's
was fitted on. (An impostor's face and template are of the judged part; who drives may be of another.)

For each nominal pair of rates: calls in which an impostor was EVER accepted, or the driver ever rejected, against
Wald's limits FAR / (1 - FRR) and FRR / (1 - FAR); how many never came to a decision; seconds until they did; false
alarms of a change; swaps noticed, and seconds from the swap to the report. A rate above its limit by more than chance
(binomial, one in a hundred) makes the exit status 1. Calls of one person are not independent, so that chance is larger.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track as progress
from scipy.stats import binom

from whodrives.avatars.allocator import keep_large_blocks
from whodrives.avatars.faces import Face
from whodrives.avatars.generator import Generator, load_generator
from whodrives.avatars.nuisance import sample_nuisance
from whodrives.avatars.tracks import MotionTrack
from whodrives.evaluation.metrics import roc_auc
from whodrives.evaluation.repeated import RepeatedLlr, fit_repeated_llr
from whodrives.models.sliding import sliding_embeddings
from whodrives.training.config import SourceConfig
from whodrives.training.release import unit
from whodrives.training.source import cast_faces, cast_people
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.verification.sequential import Evidence, SequentialSettings, SequentialTest

NOMINAL = ((0.01, 0.05), (0.05, 0.05))
CHANGE_HOURS = 1.0
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Call:
    """Starts and scores of a call's windows, and what turns them into evidence."""

    starts: Sequence[int]
    scores: Rows
    calibration: RepeatedLlr


class Study:
    """Renders calls and scores their windows."""

    def __init__(self, fingerprinter: Fingerprinter, generator: str, hop: int, seconds: float) -> None:
        self.fp, self.hop = fingerprinter, hop
        self.length = fingerprinter.model.clip_length
        self.fps = fingerprinter.contract.fps or 25.0
        self.most = round(seconds * self.fps)
        self.made: Generator[Any] = load_generator(generator)

    def stretch(self, track: MotionTrack) -> NDArray[np.float32]:
        """The first stretch without gaps that is long enough, else the longest; (frames, controls)."""
        values, valid = track.resample(self.fps).values, track.resample(self.fps).valid
        edges = np.flatnonzero(np.diff(np.concatenate([[False], valid, [False]]).astype(int)))
        first, end = max(zip(edges[::2], edges[1::2]), key=lambda part: min(part[1] - part[0], self.most))
        return values[first : min(end, first + self.most)].astype(np.float32)

    @torch.inference_mode()
    def embed(self, face: Face, controls: NDArray[np.float32], seed: Sequence[int], hop: int) -> tuple[list[int], Rows]:
        """Starts and rows of the windows of a call."""
        nuisance = sample_nuisance(np.random.default_rng(list(seed)))
        frames = self.made.render([self.made.rig(face)], torch.from_numpy(controls)[None], [nuisance])[0]
        pixels = (frames.clamp(0, 1) * 255).round().to(torch.uint8)
        network = self.fp._network
        starts, rows = sliding_embeddings(network, pixels, self.length, hop)  # type: ignore[arg-type]
        return starts, rows.numpy()

    def run(self, call: Call, settings: SequentialSettings) -> list[Evidence]:
        """The sequential test over a call."""
        starts, scores, calibration = call.starts, call.scores, call.calibration
        test = SequentialTest(calibration, self.length, self.fps, settings)
        return [test.add(start, float(score)) for start, score in zip(starts, scores)]


def fitted(
    genuine: Sequence[tuple[list[int], Rows]], impostors: Sequence[tuple[list[int], Rows]], length: int
) -> RepeatedLlr:
    """A calibration from windows of calls that share no frame, as many of each call as the shortest has."""
    apart = []
    for calls in (genuine, impostors):
        rows = []
        for starts, scores in calls:
            last, chosen = -length, []
            for start, score in zip(starts, scores):
                if start >= last + length:
                    chosen.append(score)
                    last = start
            rows.append(chosen)
        least = min(len(row) for row in rows)
        apart.append(np.array([row[:least] for row in rows]))
    return fit_repeated_llr(*apart)


def calibrations(
    genuine: list[tuple[list[int], Rows]], impostors: list[list[tuple[list[int], Rows]]], folds: int, length: int
) -> list[RepeatedLlr]:
    """For each person one that was fitted on the calls of the people of other folds."""
    out = []
    for fold in range(folds):
        others = [n for n in range(len(genuine)) if n % folds != fold]
        out.append(fitted([genuine[n] for n in others], [call for n in others for call in impostors[n]], length))
    return [out[n % folds] for n in range(len(genuine))]


def crossed(found: Sequence[Evidence], state: str) -> bool:
    """Whether a call was ever in a state."""
    return any(one.state == state for one in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--motion", default="")
    parser.add_argument("--portraits", default="")
    parser.add_argument("--split", default="test")
    parser.add_argument("--generator", default="warp")
    parser.add_argument("--people", type=int)
    parser.add_argument("--others", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--hop", type=int, default=8)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_large_blocks()
    fp = Fingerprinter.load(options.model, "cpu")
    if fp.model.calibration is None and options.folds < 2:
        raise SystemExit(
            f"{fp.model} has no calibration; make one with `whodrives calibrate`, or give --folds 2 or more"
        )
    study = Study(fp, options.generator, options.hop, options.seconds)
    config = SourceConfig(motion=options.motion, portraits=options.portraits, fps=study.fps, clip_length=study.length)
    people = [tracks for tracks in cast_people(config, options.split, options.people) if len(tracks) > 1]
    faces = cast_faces(config, options.split, len(people))
    rng = np.random.default_rng(0)
    own = rng.permutation(len(faces))[: len(people)]
    calls = [study.stretch(tracks[-1]) for tracks in people]
    genuine: list[tuple[list[int], Rows]] = []
    impostors: list[list[tuple[list[int], Rows]]] = []
    for number, tracks in enumerate(progress(people, description="calls")):
        face = faces[own[number]]
        enrolled = [
            study.embed(face, study.stretch(track), (1, number, take), study.length)[1]
            for take, track in enumerate(tracks[:-1])
        ]
        template = unit(np.concatenate(enrolled).mean(axis=0))
        others = rng.choice([n for n in range(len(people)) if n != number], min(options.others, len(people) - 1), False)
        starts, rows = study.embed(face, calls[number], (2, number), study.hop)
        genuine.append((starts, rows @ template))
        made = [study.embed(face, calls[other], (3, number, int(other)), study.hop) for other in others]
        impostors.append([(starts, rows @ template) for starts, rows in made])
    if options.folds:
        judged = calibrations(genuine, impostors, options.folds, study.length)
    else:
        assert fp.model.calibration is not None
        judged = [fp.model.calibration] * len(people)
    own_calls = [Call(*call, one) for call, one in zip(genuine, judged)]
    other_calls = [[Call(*call, one) for call in calls_of] for calls_of, one in zip(impostors, judged)]
    report: dict[str, Any] = {
        "model": str(fp.model),
        "people": len(people),
        "seconds": options.seconds,
        "AUC of the calls' mean scores": roc_auc(
            np.array([call.scores.mean() for call in own_calls]),
            np.array([call.scores.mean() for calls_of in other_calls for call in calls_of]),
        ),
        "correlation of windows": [round(one.correlation, 3) for one in judged[: max(options.folds, 1)]],
        # The most that scores within the range of the calibration's can say, in calls without end.
        "largest evidence for, against": [
            [round(float(one.llr(edge, 1e9)), 2) for edge in (one.one.high, one.one.low)]
            for one in judged[: max(options.folds, 1)]
        ],
    }
    good = True
    for far, frr in NOMINAL:
        settings = SequentialSettings(far, frr, CHANGE_HOURS)
        found = [study.run(call, settings) for call in own_calls]
        found_others = [study.run(call, settings) for calls_of in other_calls for call in calls_of]
        entry = _rates(found, found_others, far, frr)
        entry.update(_swaps(study, own_calls, other_calls, settings))
        good = good and entry.pop("good")
        report[f"{far:g}/{frr:g}"] = entry
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))
    return 0 if good else 1


def _rates(own: list[list[Evidence]], other: list[list[Evidence]], far: float, frr: float) -> dict[str, Any]:
    accepted, rejected = sum(crossed(c, "accept") for c in other), sum(crossed(c, "reject") for c in own)
    limits = far / (1 - frr), frr / (1 - far)
    within = [
        count <= binom.ppf(0.99, total, limit)
        for count, total, limit in ((accepted, len(other), limits[0]), (rejected, len(own), limits[1]))
    ]
    decided = [next((n for n, one in enumerate(call) if one.state != "watching"), None) for call in [*own, *other]]
    covered = [call[n].covered for call, n in zip([*own, *other], decided) if n is not None]
    return {
        "impostor calls ever accepted": f"{accepted} of {len(other)} (at most {limits[0]:.3f})",
        "genuine calls ever rejected": f"{rejected} of {len(own)} (at most {limits[1]:.3f})",
        "genuine calls ever accepted": f"{sum(crossed(c, 'accept') for c in own)} of {len(own)}",
        "impostor calls ever rejected": f"{sum(crossed(c, 'reject') for c in other)} of {len(other)}",
        "windows until a decision, median": statistics.median(covered) if covered else None,
        "false alarms of a change": sum(one.changed_at is not None for call in own for one in call),
        "good": all(within),
    }


def _swaps(
    study: Study, genuine: list[Call], impostors: list[list[Call]], settings: SequentialSettings
) -> dict[str, Any]:
    """The first half of a genuine call, then the first half of an impostor's; no window spans the swap."""
    delays, accepted = [], 0
    for own, others in zip(genuine, impostors):
        half = len(own.starts) // 2
        swap = own.starts[half - 1] + study.length if half else 0
        for other in others:
            part = len(other.starts) // 2
            joined = [*own.starts[:half], *(swap + start for start in other.starts[:part])]
            scores = np.concatenate([own.scores[:half], other.scores[:part]])
            found = study.run(Call(joined, scores, own.calibration), settings)
            if half == 0 or found[half - 1].state != "accept":
                continue
            accepted += 1
            late = [joined[n] for n, one in enumerate(found) if one.changed_at is not None and n >= half]
            if late:
                delays.append((late[0] + study.length - swap) / study.fps)
    return {
        "swaps of accepted drivers noticed": f"{len(delays)} of {accepted}",
        "seconds from swap to report, median": round(statistics.median(delays), 2) if delays else None,
    }


if __name__ == "__main__":
    sys.exit(main())
