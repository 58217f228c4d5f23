"""From a finished run to a weight file: thresholds from validation trials, and the card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from whodrives.errors import InputError
from whodrives.evaluation.calibration import threshold_from_trials
from whodrives.evaluation.metrics import roc_auc
from whodrives.evaluation.protocols import cross_target, different_recordings, per_target_auc
from whodrives.evaluation.repeated import fit_repeated_llr
from whodrives.models import FingerprintModel, build_model
from whodrives.training.checkpoint import load_checkpoint
from whodrives.training.config import TrainConfig, config_from_dict
from whodrives.training.history import stage
from whodrives.training.opening import training_clips
from whodrives.training.refit import FIRST_STEP
from whodrives.training.source import AvatarSource, LabelledClips, evaluation_clips
from whodrives.training.validation import embed_clips, evaluate_clips
from whodrives.training.weights import load_weights, save_weights
from whodrives.video.contract import PreprocessingContract
from whodrives.video.domain import describe, fit_domain

FARS = (0.01, 0.05, 0.1)
WINDOWS = 4
# Faces each validation driver borrows, so that each face meets as many impostors.
OTHERS = 4
DEFAULT_FAR = 0.05
# Training clips that tell where the weights are at home, in batches that no step, refit or fit of the reader sees.
LOOKS = 576
FIRST_LOOK = 3 * FIRST_STEP


@dataclass(frozen=True)
class Trials:
    """Scores of verification trials: `genuine` and `impostor` (n,) float, cosine of probe and template; or (n, W), of
    the W windows of each probe. genuine_people, impostor_people : (n, 2) who drives and whose face it is."""

    genuine: np.ndarray
    impostor: np.ndarray
    genuine_people: np.ndarray
    impostor_people: np.ndarray


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to norm 1; (N, D) or (D,)."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def trial_windows(vectors: np.ndarray, clips: LabelledClips, per_video: int) -> Trials:
    """Trials as `verify` meets them: somebody's face, enrolled from its own driver, then driven by him or by others.

    Parameters
    ----------
    vectors : (N, D) unit rows of `clips`; the `per_video` windows of one video stand together.

    Returns
    -------
    Trials of (n, per_video). A template is made of a driver's self-reenactments; probes are the videos that show the
    same face. A genuine probe's own recording is left out of its template; recordings are unique over drivers, so
    impostors lose nothing.
    """
    if len(vectors) % per_video:
        raise InputError(f"{len(vectors)} windows do not form videos of {per_video}")
    scores: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    people: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for start in range(0, len(vectors), per_video):
        rows = clips.is_self & (clips.target == clips.target[start]) & (clips.recording != clips.recording[start])
        if rows.any():
            kind = 0 if clips.is_self[start] else 1
            scores[kind].append(vectors[start : start + per_video] @ unit(vectors[rows].mean(axis=0)))
            people[kind].append(np.array([clips.driver[start], clips.driver[rows][0]]))
    parts = [np.array(part).reshape(-1, per_video) for part in scores]
    return Trials(parts[0], parts[1], *(np.array(part).reshape(-1, 2) for part in people))


def verification_trials(vectors: np.ndarray, clips: LabelledClips, windows: int, per_video: int) -> Trials:
    """`trial_windows` with the scores of every `windows` windows averaged; `windows` at most `per_video`."""
    if windows > per_video:
        raise InputError(f"{windows} windows exceed the {per_video} of a video")
    parts = trial_windows(vectors, clips, per_video)
    count = per_video // windows
    means = [
        scores[:, : count * windows].reshape(len(scores), count, windows).mean(axis=2).ravel()
        for scores in (parts.genuine, parts.impostor)
    ]
    return Trials(*means, *(np.repeat(who, count, axis=0) for who in (parts.genuine_people, parts.impostor_people)))


def summarise(vectors: np.ndarray, clips: LabelledClips, per_video: int) -> dict[str, dict[str, float]]:
    """AUC for one window and for the mean of a video's windows: ``pair``, ``cross_target``, ``target``,
    ``verification``. Pairs show two faces, so that appearance cannot pass for driver."""
    first = slice(None, None, per_video)
    means = unit(vectors.reshape(-1, per_video, vectors.shape[1]).mean(axis=1))
    out = {}
    for rows, step, count in ((vectors, slice(None), 1), (means, first, per_video)):
        labels = clips.driver[step], clips.target[step], clips.recording[step]
        trials = verification_trials(vectors, clips, count, per_video)
        out[str(count)] = {
            "pair": different_recordings(rows, *labels, faces="different").auc,
            "cross_target": cross_target(rows, *labels).auc,
            "target": per_target_auc(rows, labels[1], clips.is_self[step]).auc,
            "verification": roc_auc(trials.genuine, trials.impostor),
        }
    return out


def load_run(path: Path) -> tuple[FingerprintModel, TrainConfig, list[dict[str, Any]]]:
    """Network in evaluation mode, experiment and training history of a checkpoint. Raises CheckpointError.

    The history has a stage for every run that the weights went through, the last one included.
    """
    state = load_checkpoint(path, {})
    config = config_from_dict({key: dict(value) for key, value in state["config"].items()})
    model = build_model(config.model)
    if config.train.ema > 0:
        average = AveragedModel(model)
        load_checkpoint(path, {"average": average})
        assert isinstance(average.module, FingerprintModel)
        model = average.module
    else:
        load_checkpoint(path, {"model": model})
    return model.eval(), config, [*state.get("history", []), stage(int(state["step"]), state["config"])]


def _descriptions(frames: Tensor) -> NDArray[np.float32]:
    """Rows of `describe` of uint8 (N, T, 1, 128, 128)."""
    return np.array([describe(clip) for clip in frames[:, :, 0].numpy()])


def _training_descriptions(config: TrainConfig) -> NDArray[np.float32]:
    """Of clips as the run saw them, of its own drivers on its own faces."""
    recipe = config.train
    source = AvatarSource(config.data, recipe.seed)
    size = recipe.identities * recipe.samples
    rows = []
    for number in range(-(-LOOKS // size)):
        batch = source.batch(FIRST_LOOK + number, recipe.identities, recipe.samples)
        rows.append(_descriptions((batch.frames * 255).round().to(torch.uint8)))
    return np.concatenate(rows)


def release(run: Path, out: Path, card: dict[str, Any], motion_gate: float, checkpoint: str = "best") -> dict[str, Any]:
    """Write the weight file of a run, with thresholds at 1%, 5% and 10% false accepts on validation trials.

    The card also has a calibration to likelihood ratios from the same trials, the pair AUC on training drivers, and the
    domain of the training clips.

    Parameters
    ----------
    run : folder of `whodrives train`. out : the .safetensors to write. card : in words; name, version, licence,
        trained_on, limits.
    motion_gate : smallest motion energy that counts as motion, in the video room's unit.

    Returns
    -------
    The whole card. Raises CheckpointError when the run has no usable checkpoint.
    """
    model, config, history = load_run(run / f"{checkpoint}.safetensors")
    # Calibrate what is shipped: the file as it is read back, half precision and all. Elsewhere first, so that a failure
    # leaves an older file at `out` alone.
    with TemporaryDirectory() as folder:
        trial = Path(folder, out.name)
        save_weights(trial, model, card)
        model = load_weights(trial).model
    if config.data.store:
        raise InputError(
            f"{run}: trained on {config.data.store}; thresholds are fitted on simulated videos only so far"
        )
    clips = evaluation_clips(config.data, "val", windows=WINDOWS, others=OTHERS, seed=1)
    vectors = embed_clips(model, clips.frames, precision="fp32", valid=clips.valid)
    thresholds: dict[str, dict[str, float]] = {}
    points: dict[str, dict[str, Any]] = {}
    for far in FARS:
        thresholds[str(far)], points[str(far)] = {}, {}
        for count in (1, WINDOWS):
            trials = verification_trials(vectors, clips, count, WINDOWS)
            point = threshold_from_trials(trials.genuine, trials.impostor, far)
            thresholds[str(far)][str(count)] = point.threshold
            points[str(far)][str(count)] = asdict(point)
    windows = trial_windows(vectors, clips, WINDOWS)
    full = {
        **card,
        "clip_length": config.data.clip_length,
        "contract": PreprocessingContract(fps=config.data.fps, normalisation=config.model.normalisation).to_dict(),
        "steps": sum(part.get("steps", 0) for part in history),
        "clips_seen": sum(part["clips"] for part in history),
        "history": history,
        "seed": config.train.seed,
        "validation_auc": summarise(vectors, clips, WINDOWS),
        "thresholds": thresholds,
        "operating_points": points,
        "default_far": DEFAULT_FAR,
        "calibration": asdict(fit_repeated_llr(windows.genuine, windows.impostor)),
        "motion_gate": motion_gate,
        "training_auc": evaluate_clips(model, training_clips(config), precision="fp32")["pair"],
        "domain": fit_domain(_training_descriptions(config), _descriptions(clips.frames)).to_card(),
    }
    digest = save_weights(out, model, full)
    return {**full, "digest": digest}
