"""Evaluations of finished runs, each made once and kept beside its run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.evaluation.embed_records import AS_IT_IS
from whodrives.evaluation.evaluate import EvaluationSettings
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.report.result import EvaluationResult, from_json, to_json
from whodrives.evaluation.report.write import write_text
from whodrives.reproduction.judge import CONTROLS, judge
from whodrives.reproduction.material import Material
from whodrives.reproduction.provenance import append_ledger, data_digest
from whodrives.reproduction.runs import Run
from whodrives.training.subject import load_subject
from whodrives.training.training_auc import training_auc


@dataclass(frozen=True, eq=False)
class Evaluation:
    """result : with controls where they were asked for. vectors : float32 (N, D). labels : of these N videos.

    padded : mean share of repeated frames. training_auc : pair AUC on the run's training drivers.
    """

    result: EvaluationResult
    vectors: NDArray[np.float32]
    labels: VideoLabels
    padded: float
    training_auc: float


def evaluate_run(
    run: Run,
    material: Material,
    *,
    mask_padding: bool = False,
    controls: bool = False,
    workers: int = 1,
    device: str = "cpu",
    command: str = "",
    ledger: Path | None = None,
    advance: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Evaluate the last checkpoint of a run on the test videos, or read back what was measured on just these before.

    ledger : file that gets a line for every new evaluation; None: none.

    Raises
    ------
    CheckpointError, InputError
        The run cannot be read, or the videos form no trials.
    """
    subject = load_subject(run.checkpoint)
    reader = material.test(subject.contract, subject.length)
    name = f"{data_digest(reader.records)[:8]}-{subject.digest[:8]}" + ("-masked" if mask_padding else "")
    kept, arrays = run.folder / f"evaluation-{name}.json", run.folder / f"evaluation-{name}.npz"
    learned = _training_auc(run)
    wanted = set(CONTROLS) | ({"frozen"} if material.frozen else set()) if controls else set()
    if kept.is_file() and arrays.is_file():
        found = from_json(kept.read_text(encoding="utf-8"))
        if isinstance(found, EvaluationResult) and wanted <= found.controls.keys():
            with np.load(arrays) as stored:
                records = [reader.records[number] for number in stored["number"]]
                labels = VideoLabels.from_records(records)
                return Evaluation(found, stored["vectors"], labels, float(stored["padded"]), learned)
    result, videos = judge(
        subject,
        reader,
        EvaluationSettings(training_auc=learned),
        data=material.description,
        data_kind=material.heading,
        command=command,
        split="test",
        frozen=material.frozen(subject.contract, subject.length) if controls and material.frozen else None,
        controls=CONTROLS if controls else (),
        mask_padding=mask_padding,
        workers=workers,
        device=device,
        advance=advance,
    )
    padded = float(videos.padded.mean())
    vectors = videos.vectors[AS_IT_IS]
    partial = arrays.with_name(f".{arrays.name}")
    with partial.open("wb") as file:
        np.savez(file, vectors=vectors, number=videos.number, padded=padded)
    partial.replace(arrays)
    write_text(kept, to_json(result))
    if ledger is not None:
        append_ledger(ledger, result)
    labels = VideoLabels.from_records([reader.records[number] for number in videos.number])
    return Evaluation(result, vectors, labels, padded, learned)


def _training_auc(run: Run) -> float:
    """AUC of the run on its training drivers; measured once for a checkpoint."""
    path = run.folder / "training_auc.json"
    steps = run.steps_done()
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["steps"] == steps:
            return float(known["auc"])
    auc = training_auc(run.checkpoint, run.config)
    write_text(path, json.dumps({"steps": steps, "auc": auc}) + "\n")
    return auc
