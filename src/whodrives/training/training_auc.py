"""Whether a run has learned its own training drivers: without that, a control says nothing."""

from __future__ import annotations

from pathlib import Path

from whodrives.training.config import TrainConfig
from whodrives.training.opening import training_clips
from whodrives.training.release import load_run
from whodrives.training.validation import evaluate_clips


def training_auc(checkpoint: Path, config: TrainConfig | None = None) -> float:
    """Pair AUC (different recordings and faces) of a checkpoint on drivers and faces that it was trained on; 0..1.

    New windows, nuisance and pairings of those drivers, fp32. config : the same experiment with the data where they are
    now; None: where they were in training.

    Raises
    ------
    CheckpointError, InputError, StoreError
        The checkpoint is unusable, or its training data are not where its configuration says.
    """
    model, trained, _ = load_run(checkpoint)
    return evaluate_clips(model, training_clips(config or trained), precision="fp32")["pair"]
