"""`reproduce motion`: what is left of motion at every stage of a network, before and after training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.evaluation.motion_ratio import motion_ratio
from whodrives.evaluation.report.parts import MotionRatio, Provenance
from whodrives.evaluation.report.result import Cell, Row, TableResult
from whodrives.evaluation.resampling import leave_one_out_interval
from whodrives.models import FingerprintModel
from whodrives.reproduction.stage import Stage

COLUMNS = ("motion ratio", "adjacent cosine", "centred step")
NOTES = (
    "The paper's central claim is that a generic encoder maps adjacent frames to nearly the same features, while F5C "
    "keeps measurable motion. Motion ratio: mean of ||f_t+1 - f_t|| / ||f_t||; adjacent cosine: of f_t and f_t+1.",
    "Both are confounded: what a network adds to every input (biases, learned positions) lowers the ratio and raises "
    "the cosine although it carries nothing. Centred step divides ||f_t+1 - f_t|| by the typical distance of two "
    "frames of any clips, and is the figure to compare networks by. Intervals are over drivers.",
)


def motion_table(networks: Mapping[str, FingerprintModel], stage: Stage, provenance: Provenance) -> TableResult:
    """Rows: every stage of every network, on the motions of `stage` shown on its faces in turn.

    networks : name -> network; all see the same clips, each motion once, faces and generators in turn.
    """
    made, faces, motions = stage.clips.shape[:3]
    picks = [stage.clips[n % made, (n // made) % faces, n] for n in range(motions)]
    clips = torch.from_numpy(np.stack(picks))
    rows, bars = [], {}
    for name, model in networks.items():
        found = motion_ratio(model, clips)
        for place in found.ratio:
            measures = (found.ratio[place], found.cosine[place], found.centred[place])
            cells = {
                column: Cell(float(np.nanmean(values)), _interval(values, stage.driver))
                for column, values in zip(COLUMNS, measures)
            }
            rows.append(Row(f"{name}: {place}", cells))
            bars[f"{name}: {place}"] = MotionRatio(float(np.nanmean(measures[0])), float(np.nanmean(measures[1])))
    return TableResult(
        "motion", "Motion that is left at each stage", COLUMNS, tuple(rows), provenance, NOTES, motion_ratio=bars
    )


def _interval(values: NDArray[np.float64], driver: NDArray[np.str_]) -> tuple[float, float]:
    """95% of the mean, every driver left out in turn."""
    names, code = np.unique(driver, return_inverse=True)
    total = np.bincount(code, weights=np.nan_to_num(values), minlength=len(names))
    count = np.bincount(code, weights=np.isfinite(values), minlength=len(names))
    left_out = (total.sum() - total) / (count.sum() - count)
    found = leave_one_out_interval(float(total.sum() / count.sum()), left_out, share=False)
    return found.low, found.high
