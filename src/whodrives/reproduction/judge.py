"""One network on one data set: embed everything once, with controls, and measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from whodrives.evaluation.controls import ALTERATIONS
from whodrives.evaluation.embed_records import AS_IT_IS, EmbeddedVideos, Variant, embed_records
from whodrives.evaluation.evaluate import EvaluationSettings, evaluate
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.readers import Reader
from whodrives.evaluation.report.parts import Provenance
from whodrives.evaluation.report.result import EvaluationResult
from whodrives.evaluation.twins import check_twin_labels
from whodrives.reproduction.provenance import commit, data_digest, software, today
from whodrives.training.subject import Subject, untrained_twin

CONTROLS = (*ALTERATIONS, "untrained")


def labels_of(reader: Reader, videos: EmbeddedVideos, content: Mapping[str, str] | None = None) -> VideoLabels:
    """Labels of the videos that could be read, in the order of their embeddings."""
    return VideoLabels.from_records([reader.records[number] for number in videos.number], content)


def judge(
    subject: Subject,
    reader: Reader,
    settings: EvaluationSettings,
    *,
    data: str,
    data_kind: str,
    command: str,
    split: str = "",
    root: Path | None = None,
    frozen: Reader | None = None,
    controls: Sequence[str] = CONTROLS,
    content: Mapping[str, str] | None = None,
    mask_padding: bool = False,
    workers: int = 1,
    device: torch.device | str = "cpu",
    restrictions: Mapping[str, str] | None = None,
    advance: Callable[[], object] = lambda: None,
) -> tuple[EvaluationResult, EmbeddedVideos]:
    """Evaluate a network.

    Parameters
    ----------
    subject : the network. reader : the videos. settings : what is measured. data, data_kind, command, split, root : for
    the provenance. frozen : twins of the videos without motion. controls : of `CONTROLS`. content : recording -> label.
    mask_padding : leave repeated frames of short videos out. workers : threads that decode. restrictions : how the
    videos were chosen, in words, for the report. advance : called once a video, those of `frozen` included.

    Returns
    -------
    The result, and the embeddings behind it (`AS_IT_IS` and the controls).

    Raises
    ------
    InputError
        No video could be read, they form no trials, a restriction has nothing to go by, or the videos of `frozen` are
        no twins of the others. What can be told from labels is told before anything is decoded.
    """
    named = VideoLabels.from_records(reader.records, content)
    settings.check(named)
    if frozen is not None:
        check_twin_labels(named, VideoLabels.from_records(frozen.records))
    variants = {AS_IT_IS: Variant(subject.model)}
    for name in controls:
        model = untrained_twin(subject.model.config) if name == "untrained" else subject.model
        variants[name] = Variant(model.to(device), name if name in ALTERATIONS else "")
    subject.model.to(device)
    arguments = {"mask_padding": mask_padding, "workers": workers, "device": device, "seed": settings.seed}
    videos = embed_records(reader, variants, advance=advance, **arguments)  # type: ignore[arg-type]
    twins = None
    if frozen is not None:
        still = embed_records(frozen, {AS_IT_IS: variants[AS_IT_IS]}, advance=advance, **arguments)  # type: ignore[arg-type]
        twins = (still, labels_of(frozen, still, content))
    provenance = Provenance(
        model=subject.name,
        data=data,
        data_kind=data_kind,
        commit=commit(),
        command=command,
        date=today(),
        split=split,
        weights_sha256=subject.digest,
        data_sha256=data_digest(reader.records, root),
        software=software(),
    )
    labels = labels_of(reader, videos, content)
    looked_at = {
        **(restrictions or {}),
        "mask_padding": "yes" if mask_padding else "no",
        "windows": str(getattr(reader, "windows", "not known")),
    }
    total, gate = len(reader.records), subject.motion_gate
    settings = replace(settings, calibration=subject.calibration)
    return evaluate(videos, labels, settings, provenance, total, gate, twins, looked_at), videos
