"""What more steps and more clips are worth to the part of `plus` that learns drivers: validation AUC against both.

    python benchmarks/refit_curve.py RUN [--batches 8] [--seeds 3] [--steps 0,75,150,300,600,1200] [--threads 1]
        [--teachers 4] [--cache FILE]

RUN is a folder of `whodrives train experiments/plus.toml --refit-head 600`. Its reading layer stays; clips are made
once (the batches that --refit-head makes), and what is behind that layer is fitted anew, with seeds 0, 100 ..: 600
steps with --teachers (`train.refit_teachers`); each number of steps alone; and 600 steps on a half, a quarter and so on
of the batches. Printed: AUC of the run's own validation clips, pairs with another recording and another face / per
target, mean over seeds [smallest, largest]. `trained on`: such pairs of people it learned from, in other clips.
--cache: what was read is kept there (safetensors), for this run and number of batches.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from whodrives.models import FingerprintModel
from whodrives.models.series_head import SeriesHead
from whodrives.training.config import RecipeConfig
from whodrives.training.head_fit import fit_head
from whodrives.training.loss import Prototypes
from whodrives.training.opening import open_data, training_clips
from whodrives.training.refit import collect_features, pooled_features
from whodrives.training.release import load_run
from whodrives.training.source import AvatarSource
from whodrives.training.stored import StoredSource
from whodrives.training.validation import evaluate_vectors

STEPS = 600


def shown(values: list[float]) -> str:
    return f"{np.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def read_series(
    options: argparse.Namespace, model: FingerprintModel, source: AvatarSource | StoredSource, recipe: RecipeConfig
) -> tuple[Tensor, Tensor]:
    """`collect_features`, kept in --cache."""
    checkpoint = hashlib.sha256((options.run / "best.safetensors").read_bytes()).hexdigest()
    of = {"checkpoint": checkpoint, "batches": str(options.batches)}
    if options.cache and options.cache.is_file():
        with safe_open(options.cache, "pt") as kept:
            if kept.metadata() != of:
                raise SystemExit(f"{options.cache} is of another run or number of batches; give another --cache")
            return kept.get_tensor("features"), kept.get_tensor("drivers")
    features, drivers = collect_features(model, source, recipe, options.batches)
    if options.cache:
        save_file({"features": features, "drivers": drivers}, options.cache, of)
    return features, drivers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", default="0,75,150,300,600,1200")
    parser.add_argument("--teachers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, config, _ = load_run(options.run / "best.safetensors")
    head = model.head
    if not isinstance(head, SeriesHead):
        raise SystemExit(f"{options.run}: its network is not `plus`")
    source, unknown = open_data(config, torch.device("cpu"))
    known = training_clips(config)
    both_kinds = (unknown, known)
    read = [pooled_features(model, clips.frames, precision="fp32") for clips in both_kinds]
    begun = time.time()
    features, drivers = read_series(options, model, source, config.train)
    print(f"{len(features)} clips of {len(drivers.unique())} drivers in {time.time() - begun:.0f} s", flush=True)
    size = len(features) // options.batches
    counts = [options.batches]
    while counts[-1] > 2:
        counts.append(counts[-1] // 2)
    rows = [(STEPS, options.batches, options.teachers)]
    rows += [(int(steps), options.batches, 0) for steps in options.steps.split(",")]
    rows += [(STEPS, count, 0) for count in counts[1:]]
    print(f"{'teachers':>8s} {'steps':>6s} {'clips':>6s}  {'pair':22s}  {'per target':22s}  trained on", flush=True)
    for steps, batches, teachers in rows:
        found = []
        for seed in range(options.seeds):
            prototypes = Prototypes(len(source.drivers), config.model.embedding_dim)
            part = slice(0, batches * size)
            # Far apart: teachers have the seeds behind their run's.
            recipe = replace(config.train, seed=100 * seed, refit_teachers=teachers)
            fit_head(model, prototypes, features[part], drivers[part], source.pools, recipe, steps)
            with torch.inference_mode():
                vectors = [F.normalize(head.finish(series), dim=1).numpy() for series in read]
            of_unknown, of_known = (evaluate_vectors(*both) for both in zip(vectors, both_kinds, strict=True))
            found.append((of_unknown["pair"], of_unknown["target"], of_known["pair"]))
        columns = "  ".join(f"{shown(list(values)):22s}" for values in zip(*found, strict=True))
        print(f"{teachers:8d} {steps:6d} {batches * size:6d}  {columns}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
