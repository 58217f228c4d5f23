"""What an evaluation judges: a network with everything that decides its input."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from whodrives.models import PRESETS, FingerprintModel, ModelConfig, build_model
from whodrives.training.checkpoint import is_checkpoint
from whodrives.training.config import TrainConfig
from whodrives.training.release import load_run
from whodrives.training.weights import load_weights
from whodrives.video.contract import DEFAULT_CONTRACT, PreprocessingContract
from whodrives.video.gate import DEFAULT_THRESHOLD


@dataclass(frozen=True, eq=False)
class Subject:
    """model : in evaluation mode. contract, length : its input, T frames. digest : 16 hex digits of the file.

    training_auc : pair AUC on its training drivers, None where not known. motion_gate : grey levels. config : of the
    run, for a training checkpoint. seed : of the training, None where not known.
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


def load_subject(source: str | Path) -> Subject:
    """A weight file, ``bundled``, a preset (untrained) or a training checkpoint.

    Raises
    ------
    WeightsError, CheckpointError
        Missing or damaged.
    """
    path = Path(source)
    if str(source) != "bundled" and str(source) not in PRESETS and path.is_file() and is_checkpoint(path):
        model, config, _ = load_run(path)
        contract = PreprocessingContract(fps=config.data.fps, normalisation=config.model.normalisation)
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
    )


def untrained_twin(config: ModelConfig, seed: int = 0) -> FingerprintModel:
    """The same architecture with random weights: what moving much gives away without any learning."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(config).eval()
