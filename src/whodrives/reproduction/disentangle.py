"""`reproduce disentanglement`: what of driver, face, generator, pose and action units can be read from what."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.evaluation.disentanglement import swaps, variance_shares
from whodrives.evaluation.frame_features import frame_features
from whodrives.evaluation.probes import classify, deal_folds, regress
from whodrives.evaluation.report.parts import Provenance
from whodrives.evaluation.report.result import Cell, Row, TableResult
from whodrives.models import FingerprintModel
from whodrives.reproduction.stage import Stage

CLASSES = ("driver", "target", "generator")
COLUMNS = (
    *(column for name in CLASSES for column in (name, f"{name}, chance")),
    "pose, R2",
    "action units, R2",
    "share of face",
    "share of motion",
    "share of interaction",
    "swap AUC",
)
NOTES = (
    "Linear probes (ridge) on held-out recordings for the driver, on held-out drivers for everything else; every "
    "driver is shown on every face by every generator, so that nothing but motion can tell drivers apart. Chance: the "
    "same probe on exchanged labels, the 95th percentile. R2: of roll and yaw, and of the action units, mean over "
    "channels; for f_t of their values, for d_t of their changes, for the embedding of how much each moves (log of "
    "its spread).",
    "Shares: two-way analysis of variance over faces and motions, one generator (the paper's f_t = a + mu_t; what "
    "neither a face nor a motion alone explains is interaction). Swap AUC: how often another face leaves the embedding "
    "nearer than another driver's motion on the same face does.",
)
Floats = NDArray[np.float64]


def disentanglement_table(
    networks: Mapping[str, FingerprintModel], stage: Stage, provenance: Provenance, places: int = 2
) -> TableResult:
    """Rows: f_t, d_t and the embedding of every network.

    places : frames of each clip at which f_t and d_t are probed.
    """
    length = stage.clips.shape[3]
    at = np.linspace(0, length - 2, places + 2).astype(int)[1:-1]
    labels, clips = stage.labels(), stage.flat()
    repeat = len(clips) // len(stage.driver)
    pose, units = np.tile(stage.pose, (repeat, 1, 1)), np.tile(stage.action_units, (repeat, 1, 1))
    rows = []
    for name, model in networks.items():
        features = frame_features(model, clips, at.tolist())
        embedding = _embed(model, clips)
        for what, x, moved in (
            ("f_t", features.f, lambda values: values[:, at]),
            ("d_t", features.d, lambda values: values[:, at + 1] - values[:, at]),
            ("embedding", embedding[:, None], lambda values: np.log(values.std(axis=1, keepdims=True) + 1e-3)),
        ):
            cells = _probe(x, labels, {"pose, R2": moved(pose), "action units, R2": moved(units)})
            shape = (*stage.clips.shape[:3], x.shape[1] * x.shape[2])
            shares = variance_shares(x.reshape(shape)[0])
            cells["share of face"] = Cell(shares.face)
            cells["share of motion"] = Cell(shares.motion)
            cells["share of interaction"] = Cell(shares.interaction)
            if what == "embedding":
                interval = swaps(x.reshape(shape)[0], stage.driver).auc
                cells["swap AUC"] = Cell(interval.value, (interval.low, interval.high))
            rows.append(Row(f"{name}: {what}", cells))
    return TableResult(
        "disentanglement", "What can be read from features and embedding", COLUMNS, tuple(rows), provenance, NOTES
    )


def _probe(
    x: NDArray[np.float32], labels: Mapping[str, NDArray[np.str_]], values: Mapping[str, Floats]
) -> dict[str, Cell]:
    """x (N, K, D), labels (N,), values (N, K, channels) -> cells."""
    count = x.shape[1]
    flat = x.reshape(-1, x.shape[2])
    spread = {name: np.repeat(column, count) for name, column in labels.items()}
    clip = np.repeat(np.arange(len(x)), count)
    by_take = deal_folds(spread["recording"], 4, within=spread["driver"])
    by_driver = deal_folds(spread["driver"], 4)
    cells = {}
    for name in CLASSES:
        fold = by_take if name == "driver" else by_driver
        unit = spread["recording"] if name == "driver" else clip
        found = classify(flat, spread[name], fold, unit, rounds=20)
        cells[name] = Cell(found.accuracy)
        cells[f"{name}, chance"] = Cell(float(np.percentile(found.permuted, 95)))
    for name, wanted in values.items():
        probe = regress(flat, wanted.reshape(len(flat), -1), by_driver, clip, rounds=1)
        cells[name] = Cell(float(np.nanmean(probe.r2)))
    return cells


@torch.inference_mode()
def _embed(model: FingerprintModel, clips: torch.Tensor, batch: int = 8) -> NDArray[np.float32]:
    model.eval()
    return np.concatenate([model(part).float().cpu().numpy() for part in clips.split(batch)])
