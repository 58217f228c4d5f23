"""What a network reads from fixed validation clips while it trains."""

from __future__ import annotations

import contextlib

import numpy as np
import torch
from torch import Tensor

from whodrives.errors import InputError
from whodrives.evaluation.protocols import different_recordings, per_target_auc
from whodrives.models import FingerprintModel
from whodrives.training.motion import MotionReadout
from whodrives.training.source import LabelledClips

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@torch.inference_mode()
def embed_clips(
    model: FingerprintModel,
    frames: Tensor,
    batch_size: int = 8,
    precision: str = "bf16",
    valid: Tensor | None = None,
) -> np.ndarray:
    """frames (N, T, 1, 128, 128) uint8 or float -> (N, D) float32 unit rows; the model is left in its mode.

    valid : int64 (N,) leading real frames; None: all.
    """
    training, device = model.training, next(model.parameters()).device
    model.eval()
    out = []
    with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
        for start in range(0, len(frames), batch_size):
            part = slice(start, start + batch_size)
            real = None if valid is None else valid[part].to(device)
            out.append(model(frames[part].to(device), real).float().cpu())
    model.train(training)
    return torch.cat(out).numpy()


def evaluate_clips(model: FingerprintModel, clips: LabelledClips, precision: str = "bf16") -> dict[str, float]:
    """AUC of labelled clips: ``pair`` (different recordings AND faces) and ``target`` (per-target mean, where there are
    cross-reenactments).

    Each validation driver is shown on a few faces only: pairs that share a face would let appearance pass for driver.
    """
    return evaluate_vectors(embed_clips(model, clips.frames, precision=precision, valid=clips.valid), clips)


def evaluate_vectors(vectors: np.ndarray, clips: LabelledClips) -> dict[str, float]:
    """As `evaluate_clips`, of clips that are embedded already: (N, D) unit rows."""
    faces = pair_faces(clips)
    found = {"pair": different_recordings(vectors, clips.driver, clips.target, clips.recording, faces=faces).auc}
    with contextlib.suppress(InputError):  # no target has self- and cross-reenactments
        found["target"] = per_target_auc(vectors, clips.target, clips.is_self).auc
    return found


@torch.inference_mode()
def explained_motion(
    model: FingerprintModel,
    readout: MotionReadout,
    clips: LabelledClips,
    precision: str = "bf16",
    batch_size: int = 8,
) -> float:
    """Explained share of the true motion's variance (at most 1), mean over `motion.spans` and the controls that move.

    Of the variance of the clips themselves, whatever the readout's scale is.

    Raises
    ------
    InputError
        The clips' motion is not known.
    """
    if clips.motion is None:
        raise InputError("validation clips do not tell their motion; take simulated ones")
    training, device = model.training, next(model.parameters()).device
    model.eval()
    errors, totals = [], []
    for start in range(0, len(clips.frames), batch_size):
        part = slice(start, start + batch_size)
        told = clips.motion[part].to(device)
        with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
            changes = readout(model.represent(clips.frames[part].to(device)))
        errors.append(readout.errors(changes, told) * len(told))
        totals.append(readout.errors(torch.zeros_like(changes), told) * len(told))
    model.train(training)
    error, total = torch.stack(errors).sum(dim=0), torch.stack(totals).sum(dim=0)
    return float((1 - error / total)[total > 0].mean())


def pair_faces(clips: LabelledClips) -> str:
    """Which pairs validate: on ``different`` faces, or ``any`` where every driver shows one face only (originals).

    Raises
    ------
    InputError
        No driver has two recordings, or there is one driver only.
    """
    one, two = np.triu_indices(len(clips.driver), 1)
    same_driver, same_face = clips.driver[one] == clips.driver[two], clips.target[one] == clips.target[two]
    genuine = same_driver & (clips.recording[one] != clips.recording[two])
    if not genuine.any() or same_driver.all():
        raise InputError(
            f"{len(clips.driver)} validation clips of {len(np.unique(clips.driver))} drivers form no trials: give the "
            "validation split at least two drivers, one of them with two recordings"
        )
    across = ~same_face
    return "different" if (genuine & across).any() and (~same_driver & across).any() else "any"
