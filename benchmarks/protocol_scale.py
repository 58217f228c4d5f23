"""The paper's protocol over a test set of NVFAIR's size: seconds, memory, and the ratio to a loop over pairs.

    python benchmarks/protocol_scale.py [--videos 42800] [--targets 35] [--large 1000000]

Embeddings are made up (256 dimensions, a driver's share in each), since only their number matters here. A loop scores
20,000 of the same pairs one by one with NumPy, extrapolated to all of them; it computes no AUC, which the protocol's
time includes. Three loops, from the least work a pair to the most:
  dot       one dot product of rows scaled to norm 1 beforehand
  distance  norm of the difference of two such rows, as the field's published evaluation scores a pair
  cosine    dot product and both norms anew for every pair, which is the protocol's score: the reference
`summarise` gives the AUC alone, `collect` also keeps every trial with its people and faces, as intervals need them.
`large`: a million videos of 32 dimensions on 20,000 faces through `summarise`, which never holds more than a tile.

Exit status 1 unless both take at most 5 s and `summarise` is at least 40 times as fast as the loop `cosine`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable

import numpy as np

from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.pooling import collect, summarise, unit_rows
from whodrives.evaluation.trials import PROTOCOLS

SECONDS, RATIO, LOOPED = 5.0, 40.0, 20_000


def peak_memory() -> float:
    """Peak resident memory of this process in MiB, since `forget_peak`."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def forget_peak() -> None:
    """Let `peak_memory` count from now; getrusage cannot, and a child inherits its parent's."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def made_up(videos: int, targets: int, dim: int, own_share: float, seed: int = 0) -> tuple[np.ndarray, VideoLabels]:
    """Embeddings and labels: every target is also a driver, `own_share` of a target's videos are its own."""
    rng = np.random.default_rng(seed)
    target = np.arange(videos) % targets
    is_self = rng.random(videos) < own_share
    driver = np.where(is_self, target, (target + 1 + rng.integers(targets - 1, size=videos)) % targets)
    people = rng.standard_normal((targets, dim)).astype(np.float32)
    vectors = people[driver] + 2 * rng.standard_normal((videos, dim)).astype(np.float32)
    names = np.array([f"id{number:05d}" for number in range(targets)])
    labels = VideoLabels(
        driver=names[driver],
        target=names[target],
        recording=np.array([f"r{number}" for number in rng.integers(40, size=videos)]),
        generator=np.full(videos, "made up"),
        source=np.full(videos, "made up"),
        content=np.full(videos, ""),
        is_self=is_self,
        is_original=np.zeros(videos, bool),
    )
    return vectors, labels


LOOPS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "dot": np.dot,
    "distance": lambda a, b: -np.linalg.norm(a - b),
    "cosine": lambda a, b: np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)),
}


def loop(unit: np.ndarray, labels: VideoLabels, score: Callable[[np.ndarray, np.ndarray], float], pairs: int) -> float:
    """Seconds a pair of the plain way: one score of two rows after the other."""
    own = np.flatnonzero((labels.target == labels.target[0]) & labels.is_self).tolist()
    cross = np.flatnonzero((labels.target == labels.target[0]) & ~labels.is_self).tolist()
    scores = []
    begun = time.perf_counter()
    for a, b in itertools.islice(itertools.product(own, cross), pairs):
        scores.append(score(unit[a], unit[b]))
    return (time.perf_counter() - begun) / len(scores)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=42_800)
    parser.add_argument("--targets", type=int, default=35)
    parser.add_argument("--large", type=int, default=1_000_000, help="videos of the second part; 0 leaves it out")
    options = parser.parse_args()
    vectors, labels = made_up(options.videos, options.targets, 256, 0.252)
    protocol = PROTOCOLS["per_target_mean"]
    unit = unit_rows(vectors)
    fast: list[float] = []
    kept: list[float] = []
    slow: dict[str, list[float]] = {name: [] for name in LOOPS}
    for _ in range(3):
        begun = time.perf_counter()
        summary = summarise(vectors, labels, protocol)
        fast.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        scores = collect(vectors, labels, protocol)
        auc = scores.auc()
        kept.append(time.perf_counter() - begun)
        for name, score in LOOPS.items():
            slow[name].append(loop(unit, labels, score, LOOPED) * len(scores.score))
    trials = len(scores.score)
    seconds, keeping = float(np.median(fast)), float(np.median(kept))
    looped = {name: float(np.median(times)) for name, times in slow.items()}
    print(f"{options.videos:,} videos, {options.targets} targets, {trials:,} trials, AUC {auc:.4f}")
    for name, took, rounds in (("summarise", seconds, fast), ("collect + AUC", keeping, kept)):
        print(f"{name:15s} {took:8.2f} s (rounds {', '.join(f'{value:.2f}' for value in rounds)})")
    print(
        f"peak memory {peak_memory():,.0f} MiB, of which {vectors.nbytes / 2**20:,.0f} MiB embeddings; summarise's AUC "
        f"differs by {abs(summary.auc - auc):.1e}, at most {summary.error:.1e}"
    )
    for name, took in looped.items():
        print(
            f"loop {name:10s} {took:8.2f} s, extrapolated from {LOOPED:,} pairs; {took / seconds:.1f} times summarise, "
            f"{took / keeping:.1f} times collect"
        )
    del scores, vectors, labels, unit
    if options.large:
        vectors, labels = made_up(options.large, options.large // 50, 32, 0.25, seed=1)
        for name in ("per_target_mean", "cross_target"):
            forget_peak()
            begun = time.perf_counter()
            summary = summarise(vectors, labels, PROTOCOLS[name])
            count = int(summary.genuine.sum() + summary.impostor.sum())
            print(
                f"{options.large:,} videos, {name}: {count:,} trials in {time.perf_counter() - begun:.1f} s, "
                f"peak memory {peak_memory():,.0f} MiB, of which {vectors.nbytes / 2**20:,.0f} MiB embeddings"
            )
    return 0 if max(seconds, keeping) <= SECONDS and looped["cosine"] >= RATIO * seconds else 1


if __name__ == "__main__":
    sys.exit(main())
