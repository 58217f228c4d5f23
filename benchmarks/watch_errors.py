"""Error rates of the sequential test on calls of people not trained on, and how late a swapped driver is noticed.

    python benchmarks/watch_errors.py [--model FILE] [--motion PARQUET --portraits FOLDER] [--split test]
        [--generator warp] [--people N] [--others 3] [--seconds 60] [--hop 8] [--json FILE]

Every driver of the split is enrolled from all its recordings but the last, on a face of its own. Calls last as long as
the last recording does, at most --seconds: the driver's own last recording (genuine), those of `--others` other drivers
on the same face (impostors), and swaps, where an impostor takes over in the middle of a genuine call. Rendered straight
into tensors. Without --motion and --portraits: built-in drivers on drawn faces that training does not use.

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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track as progress
from scipy.stats import binom

from whodrives.avatars.faces import Face
from whodrives.avatars.generator import Generator, load_generator
from whodrives.avatars.nuisance import sample_nuisance
from whodrives.avatars.tracks import MotionTrack
from whodrives.models.sliding import sliding_embeddings
from whodrives.training.config import SourceConfig
from whodrives.training.release import unit
from whodrives.training.source import cast_faces, cast_people
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.verification.sequential import Evidence, SequentialSettings, SequentialTest

NOMINAL = ((0.01, 0.05), (0.05, 0.05))
CHANGE_HOURS = 1.0
Rows = NDArray[np.float32]


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

    def run(self, starts: Sequence[int], scores: Rows, settings: SequentialSettings) -> list[Evidence]:
        """The sequential test over a call."""
        calibration = self.fp.model.calibration
        assert calibration is not None
        test = SequentialTest(calibration, self.length, self.fps, settings)
        return [test.add(start, float(score)) for start, score in zip(starts, scores)]


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
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    fp = Fingerprinter.load(options.model, "cpu")
    if fp.model.calibration is None:
        raise SystemExit(f"{fp.model} has no calibration; make one with `whodrives calibrate`")
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
    report: dict[str, Any] = {"model": str(fp.model), "people": len(people), "seconds": options.seconds}
    good = True
    for far, frr in NOMINAL:
        settings = SequentialSettings(far, frr, CHANGE_HOURS)
        own_calls = [study.run(*call, settings) for call in genuine]
        other_calls = [study.run(*call, settings) for calls_of in impostors for call in calls_of]
        entry = _rates(own_calls, other_calls, far, frr)
        entry.update(_swaps(study, genuine, impostors, settings))
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
    study: Study,
    genuine: list[tuple[list[int], Rows]],
    impostors: list[list[tuple[list[int], Rows]]],
    settings: SequentialSettings,
) -> dict[str, Any]:
    """The first half of a genuine call, then the first half of an impostor's; no window spans the swap."""
    delays, accepted = [], 0
    for (starts, scores), others in zip(genuine, impostors):
        half = len(starts) // 2
        swap = starts[half - 1] + study.length if half else 0
        for other_starts, other_scores in others:
            part = len(other_starts) // 2
            joined = [*starts[:half], *(swap + start for start in other_starts[:part])]
            found = study.run(joined, np.concatenate([scores[:half], other_scores[:part]]), settings)
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
