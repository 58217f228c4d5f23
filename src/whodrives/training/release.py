"""From a finished run to a weight file: thresholds from validation trials, and the card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whodrives.errors import InputError
from whodrives.evaluation.metrics import roc_auc, threshold_at_far
from whodrives.evaluation.protocols import different_recordings, per_target_mean
from whodrives.models import build_model
from whodrives.training.checkpoint import load_checkpoint
from whodrives.training.config import config_from_dict
from whodrives.training.source import LabelledClips, evaluation_clips
from whodrives.training.trainer import embed_clips
from whodrives.training.weights import save_weights
from whodrives.video.contract import PreprocessingContract

FARS = (0.01, 0.05, 0.1)
WINDOWS = 4
DEFAULT_FAR = 0.05


@dataclass(frozen=True)
class Trials:
    """Scores of verification trials: `genuine` and `impostor` (n,) float, cosine of probe and template."""

    genuine: np.ndarray
    impostor: np.ndarray


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to norm 1; (N, D) or (D,)."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def verification_trials(
    vectors: np.ndarray, driver: np.ndarray, recording: np.ndarray, windows: int, per_video: int
) -> Trials:
    """Trials as `verify` makes them: a template from all other recordings against `windows` windows of one video.

    Parameters
    ----------
    vectors : (N, D) unit rows; the `per_video` windows of one video stand together. driver, recording : (N,).
    windows : windows of a probe whose scores are averaged, at most `per_video`.

    Returns
    -------
    Trials. For every probe video the claimed driver's template leaves the probe's recording out; recordings are
    unique over drivers, so impostor templates lose nothing.
    """
    if len(vectors) % per_video or windows > per_video:
        raise InputError(f"{len(vectors)} windows do not form videos of {per_video}, or {windows} exceed that")
    genuine: list[float] = []
    impostor: list[float] = []
    people = np.unique(driver)
    for start in range(0, len(vectors), per_video):
        templates = []
        for person in people:
            rows = (driver == person) & (recording != recording[start])
            templates.append(unit(vectors[rows].mean(axis=0)) if rows.any() else np.full(vectors.shape[1], np.nan))
        scores = vectors[start : start + per_video] @ np.stack(templates).T
        groups = scores[: per_video // windows * windows].reshape(-1, windows, len(people)).mean(axis=1)
        own = people == driver[start]
        genuine += groups[:, own].ravel().tolist()
        impostor += groups[:, ~own].ravel().tolist()
    return Trials(np.array(genuine), np.array(impostor))


def summarise(vectors: np.ndarray, clips: LabelledClips, per_video: int) -> dict[str, dict[str, float]]:
    """AUC for one window and for the mean of a video's windows: ``pair``, ``target`` and ``verification``."""
    first = slice(None, None, per_video)
    means = unit(vectors.reshape(-1, per_video, vectors.shape[1]).mean(axis=1))
    out = {}
    for name, rows, labels, count in (
        ("1", vectors, (clips.driver, clips.target, clips.recording), 1),
        (str(per_video), means, (clips.driver[first], clips.target[first], clips.recording[first]), per_video),
    ):
        trials = verification_trials(vectors, clips.driver, clips.recording, count, per_video)
        out[name] = {
            "pair": different_recordings(rows, *labels).auc,
            "target": per_target_mean(rows, labels[0], labels[1]).auc,
            "verification": roc_auc(trials.genuine, trials.impostor),
        }
    return out


def release(run: Path, out: Path, card: dict[str, Any], motion_gate: float, checkpoint: str = "best") -> dict[str, Any]:
    """Write the weight file of a run, with thresholds at 1%, 5% and 10% false accepts on validation trials.

    Parameters
    ----------
    run : folder of `whodrives train`. out : the .safetensors to write. card : name, licence, trained_on, limits.
    motion_gate : smallest motion energy that counts as motion, in the video room's unit.

    Returns
    -------
    The whole card. Raises CheckpointError when the run has no usable checkpoint.
    """
    path = run / f"{checkpoint}.safetensors"
    probe = _stored_state(path)
    config = config_from_dict({key: dict(value) for key, value in probe["config"].items()})
    model = build_model(config.model)
    load_checkpoint(path, {"model": model})
    clips = evaluation_clips(config.data, "val", windows=WINDOWS, seed=1)
    vectors = embed_clips(model.eval(), clips.frames, precision="fp32")
    thresholds: dict[str, dict[str, float]] = {}
    for far in FARS:
        thresholds[str(far)] = {}
        for count in (1, WINDOWS):
            trials = verification_trials(vectors, clips.driver, clips.recording, count, WINDOWS)
            thresholds[str(far)][str(count)] = float(threshold_at_far(trials.impostor, far))
    full = {
        **card,
        "clip_length": config.data.clip_length,
        "contract": PreprocessingContract(normalisation=config.model.normalisation).to_dict(),
        "steps": probe["step"],
        "clips_seen": probe["step"] * config.train.identities * config.train.samples,
        "seed": config.train.seed,
        "training": config.to_dict(),
        "validation_auc": summarise(vectors, clips, WINDOWS),
        "thresholds": thresholds,
        "default_far": DEFAULT_FAR,
        "motion_gate": motion_gate,
    }
    digest = save_weights(out, model, full)
    return {**full, "digest": digest}


def _stored_state(path: Path) -> dict[str, Any]:
    return load_checkpoint(path, {})
