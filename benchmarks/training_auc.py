"""AUC of a weight file on the drivers that it was trained on, the `training_auc` of its card.

    python benchmarks/training_auc.py [MODEL] --motion TABLE --portraits DIR [--threads 2]

Pairs of two recordings on two faces of the first 24 training drivers, by the data description of the last stage in the
card, fp32. The research data that the card names are not in the repository: say where they are. Under 0.8 the controls
of `whodrives evaluate` prove nothing about these weights, and read "not trained". Exit status 1 then.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from whodrives.training.config import config_from_dict
from whodrives.training.opening import training_clips
from whodrives.training.validation import evaluate_clips
from whodrives.training.weights import load_weights

ENOUGH = 0.8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="bundled")
    parser.add_argument("--motion", type=Path, required=True)
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    weights = load_weights(options.model)
    stages = [stage for stage in weights.card.get("history", []) if "config" in stage]
    if not stages:
        raise SystemExit(f"{options.model}: its card has no training history; give a file of `whodrives calibrate`")
    config = config_from_dict(stages[-1]["config"])
    places = replace(config.data, motion=str(options.motion), portraits=str(options.portraits))
    clips = training_clips(replace(config, data=places))
    auc = evaluate_clips(weights.model, clips, precision="fp32")["pair"]
    print(f"{len(clips.driver)} clips of {len(np.unique(clips.driver))} training drivers: pair AUC {auc:.4f}")
    return int(auc < ENOUGH)


if __name__ == "__main__":
    sys.exit(main())
