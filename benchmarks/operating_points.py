"""What the thresholds and the calibration on a card do on labelled videos; a part of evaluate_weights.py.

Trials as `verify` meets them: somebody's face, enrolled from its driver's other self-reenactments, then driven by the
driver or by others. Of one window and of the mean of all windows of a video: FAR and FRR at the thresholds that the
card has for a nominal FAR, EER (intervals: 95%, people resampled), Cllr of the card's calibration and minCllr, in bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.data.record import Record
from whodrives.evaluation.intervals import metric_interval
from whodrives.evaluation.llr import cllr, min_cllr
from whodrives.evaluation.metrics import eer
from whodrives.evaluation.protocols import Pairs
from whodrives.training.release import Trials, verification_trials
from whodrives.training.source import LabelledClips
from whodrives.verification.embedding import ModelInfo

NOMINAL = (0.01, 0.05)
Scores = NDArray[np.float64]


def pairs_of(trials: Trials) -> Pairs:
    """Verification trials as pairs, for intervals over people."""
    people = np.concatenate((trials.genuine_people, trials.impostor_people))
    genuine = np.arange(len(people)) < len(trials.genuine)
    return Pairs(np.concatenate((trials.genuine, trials.impostor)), genuine, people[:, 0], people[:, 1])


def rates(threshold: float) -> dict[str, Callable[[Scores, Scores], float]]:
    """FAR and FRR of genuine and impostor scores at a threshold."""
    return {
        "FAR": lambda genuine, impostor: float((impostor >= threshold).mean()),
        "FRR": lambda genuine, impostor: float((genuine < threshold).mean()),
    }


def labelled(records: list[Record], per_video: int) -> LabelledClips:
    """The labels of the windows of videos, a video's together; without frames."""
    columns = [
        np.repeat(np.array([getattr(r, name) for r in records]), per_video)
        for name in ("driver", "target", "recording", "is_self")
    ]
    return LabelledClips(torch.empty(0), *columns)


def operating_points(
    vectors: NDArray[np.floating], records: list[Record], info: ModelInfo
) -> dict[str, dict[str, Any]]:
    """(V, W, D) unit vectors -> ``one window`` and ``mean of W`` -> measure -> value or interval."""
    per_video = vectors.shape[1]
    clips = labelled(records, per_video)
    flat = vectors.reshape(-1, vectors.shape[2])
    calibration = info.calibration
    out = {}
    for count in (1, per_video):
        trials = verification_trials(flat, clips, count, per_video)
        pairs = pairs_of(trials)
        found: dict[str, Any] = {"genuine": len(trials.genuine), "impostor": len(trials.impostor)}
        for nominal in NOMINAL:
            threshold = info.thresholds.get(nominal, {}).get(count)
            if threshold is not None:
                for name, rate in rates(threshold).items():
                    found[f"{name} at {nominal:.0%}"] = metric_interval(pairs, rate)
        found["EER"] = metric_interval(pairs, eer)
        if calibration is not None:
            genuine, impostor = (calibration.llr(part, count) for part in (trials.genuine, trials.impostor))
            found["Cllr"] = round(cllr(genuine, impostor), 3)
            found["minCllr"] = round(min_cllr(trials.genuine, trials.impostor), 3)
        out["one window" if count == 1 else f"mean of {count}"] = found
    return out
