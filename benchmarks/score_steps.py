"""What steps of a score cost networks whose embeddings crowd together: AUC of untrained ones, by the size of the steps.

    python benchmarks/score_steps.py --motion SHARED/motion/mu3d.parquet --portraits SHARED/portraits/cremad

Validation people on four faces each, 32 frames at 12.5 a second, pairs from two recordings. Without --motion: built-in
drivers on procedural faces.
"""

from __future__ import annotations

import argparse

import numpy as np

from whodrives.evaluation.metrics import roc_auc
from whodrives.evaluation.ties import settle
from whodrives.models import ModelConfig
from whodrives.training.config import SourceConfig
from whodrives.training.source import evaluation_clips
from whodrives.training.subject import untrained_twin
from whodrives.training.validation import embed_clips

BITS = (16, 18, 20, 22, 24)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motion", default="")
    parser.add_argument("--portraits", default="")
    options = parser.parse_args()
    data = SourceConfig(motion=options.motion, portraits=options.portraits, fps=12.5, clip_length=32)
    clips = evaluation_clips(data, "val", others=3)
    one, two = np.triu_indices(len(clips.driver), 1)
    crossing = clips.recording[one] != clips.recording[two]
    one, two = one[crossing], two[crossing]
    genuine = clips.driver[one] == clips.driver[two]
    for representation in ("feat_diff", "pixel_diff"):
        network = untrained_twin(ModelConfig(representation=representation))
        rows = embed_clips(network, clips.frames, precision="fp32").astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        score = np.einsum("ij,ij->i", rows[one], rows[two])
        found = {"exact": score, **{f"2^-{bits}": settle(score.copy(), 2.0**-bits) for bits in BITS}}
        print(f"{representation}: {len(rows)} clips, half of the cosines within {np.median(1 - score):.1e} of 1; AUC")
        print("  " + "  ".join(f"{name} {roc_auc(s[genuine], s[~genuine]):.4f}" for name, s in found.items()))


if __name__ == "__main__":
    main()
