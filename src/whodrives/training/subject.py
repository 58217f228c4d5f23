"""What an evaluation judges: a network with everything that decides its input."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from whodrives.data.store import FrameStore
from whodrives.errors import InputError
from whodrives.evaluation.repeated import RepeatedLlr, read_calibration
from whodrives.models import PRESETS, FingerprintModel, ModelConfig, build_model
from whodrives.training.checkpoint import is_checkpoint
from whodrives.training.config import TrainConfig
from whodrives.training.release import load_run
from whodrives.training.weights import WeightsError, is_shipped, load_weights
from whodrives.video.contract import DEFAULT_CONTRACT, PreprocessingContract
from whodrives.video.gate import DEFAULT_THRESHOLD


@dataclass(frozen=True, eq=False)
class Subject:
    """model : in evaluation mode. contract, length : its input, T frames. digest : 16 hex digits of the file.

    training_auc : pair AUC on its training drivers, None where not known. motion_gate : grey levels. config : of the
    run, for a training checkpoint. seed : of the training, None where not known. calibration : of its scores, None
    where its card has none.
    """

    name: str
    model: FingerprintModel
    contract: PreprocessingContract
    length: int
    digest: str
    training_auc: float | None = None
    motion_gate: float = DEFAULT_THRESHOLD
    config: TrainConfig | None = None
    seed: int | None = None
    calibration: RepeatedLlr | None = None


def load_subject(source: str | Path) -> Subject:
    """A weight file, ``bundled``, a preset (untrained) or a training checkpoint.

    Raises
    ------
    WeightsError, CheckpointError, StoreError
        Missing or damaged, or the store that a run learned from is not there to tell its contract.
    """
    path = Path(source)
    if not is_shipped(source) and str(source) not in PRESETS and path.is_file() and is_checkpoint(path):
        model, config, _ = load_run(path)
        contract = _contract_of(config)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        name = f"{path.parent.name}/{path.name}"
        return Subject(
            name, model, contract, config.data.clip_length, digest, None, DEFAULT_THRESHOLD, config, config.train.seed
        )
    weights = load_weights(source)
    card = weights.card
    contract = (
        PreprocessingContract.from_dict(card["contract"])
        if "contract" in card
        else PreprocessingContract(fps=DEFAULT_CONTRACT.fps, normalisation=weights.model.config.normalisation)
    )
    return Subject(
        str(card.get("name", source)),
        weights.model,
        contract,
        int(card.get("clip_length", 64)),
        weights.digest,
        card.get("training_auc"),
        float(card.get("motion_gate", DEFAULT_THRESHOLD)),
        None,
        card.get("seed"),
        _calibration_of(card, source),
    )


def _calibration_of(card: Mapping[str, Any], source: str | Path) -> RepeatedLlr | None:
    try:
        return read_calibration(card)
    except (TypeError, ValueError, KeyError, AttributeError, InputError) as error:
        raise WeightsError(
            f"{source}: the calibration in its card cannot be used ({error}); copy both again"
        ) from error


def _contract_of(config: TrainConfig) -> PreprocessingContract:
    """What a run's frames went through: the store's contract where it learned from one, else the rendered rate."""
    values = PreprocessingContract(fps=config.data.fps).to_dict()
    if config.data.store:
        values = FrameStore.open(config.data.store).contract.to_dict()
    return PreprocessingContract.from_dict({**values, "normalisation": config.model.normalisation})


def untrained_twin(config: ModelConfig, seed: int = 0) -> FingerprintModel:
    """The same architecture with random weights: what moving much gives away without any learning."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(config).eval()
