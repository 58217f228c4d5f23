"""Does it matter which face is a driver's own? The same data set under two assignments.

    whodrives simulate A --drivers 20 --targets 20 --clips 4 --cross-clips 1 --seconds 2.72 ... --own-face-seed 0
    whodrives simulate B ... (all else the same) --own-face-seed 1
    python benchmarks/own_face.py A B [--weights bundled] [--generator warp]

Which face a driver owns decides which videos are self-reenactments and so the pairs of the paper's per-target protocol.
The assignment is random and says nothing, so both must give one AUC: each value must lie in the other's 95% interval
over people. Embeddings of the first 64 frames. Exit status 1 when they do not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from rich.progress import track

from whodrives.data.manifest import read_manifest
from whodrives.evaluation.embed_videos import embed_windows, load_windows
from whodrives.evaluation.intervals import Interval, per_target_interval
from whodrives.evaluation.protocols import cosines
from whodrives.training.weights import load_weights


def per_target(root: Path, weights: str, generator: str) -> tuple[Interval, int]:
    """The paper's protocol on one data set, and the number of videos."""
    records = [record for record in read_manifest(root) if record.generator == generator]
    if not records:
        raise SystemExit(f"{root}: no videos by {generator}")
    model = load_weights(weights).model
    vectors = [
        embed_windows(model, load_windows([record.path], 1))[0, 0]
        for record in track(records, f"embedding {root.name}")
    ]
    driver, target, is_self = (np.array([getattr(r, n) for r in records]) for n in ("driver", "target", "is_self"))
    return per_target_interval(cosines(np.stack(vectors)), driver, target, is_self), len(records)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--generator", default="warp")
    options = parser.parse_args()
    (one, n), (two, m) = (
        per_target(root, options.weights, options.generator) for root in (options.first, options.second)
    )
    print(f"{options.first}: {one} ({n} videos)\n{options.second}: {two} ({m} videos)")
    same = one.holds(two.value) and two.holds(one.value)
    print("the same within their intervals" if same else "FAIL: the assignment matters")
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
