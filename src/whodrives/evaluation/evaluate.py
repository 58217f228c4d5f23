"""From embeddings and labels to a whole result: both protocols, metrics, controls, subgroups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.controls import duration_vectors
from whodrives.evaluation.detection import COST_MODELS, measured_tar, min_detection_cost
from whodrives.evaluation.embed_records import AS_IT_IS, EmbeddedVideos
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.listed import LISTED
from whodrives.evaluation.llr import cllr, min_cllr
from whodrives.evaluation.measured import Measured, measure, protocol_entry
from whodrives.evaluation.metrics import eer
from whodrives.evaluation.people import identification, subgroups
from whodrives.evaluation.rates import ROUNDS, rate_intervals
from whodrives.evaluation.report.measure import around, measured_curves, score_histograms, tar_entry
from whodrives.evaluation.report.parts import (
    MIN_TRAINING_AUC,
    Auc,
    Bounds,
    Control,
    Estimate,
    Histograms,
    Matrix,
    Provenance,
)
from whodrives.evaluation.report.result import BOTH_PROTOCOLS, EvaluationResult
from whodrives.evaluation.settings import REAL_TO_AVATAR, EvaluationSettings
from whodrives.evaluation.trial_intervals import METHOD
from whodrives.evaluation.twins import check_twin_labels, check_twins

__all__ = ["EvaluationSettings", "evaluate", "generator_matrix", "identification"]

TARGET_FARS = (0.001, 0.01, 0.05, 0.1)
MOST = 1_000_000
NOT_KNOWN = "training AUC not known: no evidence until it is"
Vectors = NDArray[np.float32]


def evaluate(
    videos: EmbeddedVideos,
    labels: VideoLabels,
    settings: EvaluationSettings,
    provenance: Provenance,
    total: int,
    motion_gate: float = 0.0,
    frozen: tuple[EmbeddedVideos, VideoLabels] | None = None,
    restrictions: Mapping[str, str] | None = None,
) -> EvaluationResult:
    """Everything that a report shows.

    Parameters
    ----------
    videos : embeddings; the variant `AS_IT_IS` is the network, every other one a control. labels : of the videos that
        could be read, in their order. provenance : where the figures come from. total : videos asked for, for coverage.
    motion_gate : grey levels under which a video would be an abstention. frozen : twins without motion, their labels.
    restrictions : which videos and frames were looked at, in words, beside those of the settings.

    Raises
    ------
    InputError
        The main protocol has no trials, a restriction has nothing to go by, listed pairs have frozen twins beside them,
        the twins are none (`twins.check_twins`), or shapes that do not fit.
    """
    settings.check(labels)
    vectors = videos.vectors[AS_IT_IS]
    if frozen is not None:
        if settings.pairs is not None:
            raise InputError("a list of pairs names no frozen twins: leave one of them out")
        if not videos.failed and not frozen[0].failed:
            check_twin_labels(labels, frozen[1])
        check_twins(vectors, labels, frozen[0].vectors[AS_IT_IS], frozen[1])
    if settings.pairs is not None:
        settings = replace(settings, pairs=settings.pairs.among(videos.number))
    main = measure(vectors, labels, settings.protocol, settings)
    genuine, impostor = main.kinds(settings.seed)
    eer_ci95, tar_ci95 = _rates(main, impostor.size, settings.seed)
    names = dict.fromkeys((settings.protocol, *BOTH_PROTOCOLS))
    decided = (videos.energy >= motion_gate) & (videos.padded < 0.5)
    rate = eer(genuine, impostor)
    return EvaluationResult(
        protocol=settings.protocol,
        auc=Auc(main.auc, main.ci95, _by_generator(vectors, labels, settings), main.by_target),
        eer=rate,
        eer_ci95=around(rate, eer_ci95),
        tar_at_far={
            f"{far:g}": tar_entry(measured_tar(genuine, impostor, far), tar_ci95.get(far)) for far in TARGET_FARS
        },
        min_dcf={name: min_detection_cost(genuine, impostor, model).cost for name, model in COST_MODELS.items()},
        cllr=_cllr(videos, genuine, impostor, settings),
        min_cllr=min_cllr(*_some(genuine, impostor, settings.seed)),
        coverage=float(decided.sum() / max(total, 1)),
        n_videos=len(labels),
        n_drivers=len(labels.drivers),
        n_targets=len(labels.targets),
        n_pairs=main.counts,
        protocols={name: protocol_entry(vectors, labels, name, settings, main) for name in names},
        controls=_controls(videos, labels, settings, frozen),
        identification=identification(vectors, labels),
        subgroups=subgroups(videos.energy, labels, main.scores, settings.attributes) if main.scores else (),
        curves=measured_curves(genuine, impostor),
        histograms=_histograms(genuine, impostor),
        matrix=_matrix(vectors, labels, settings),
        provenance=replace(
            provenance, intervals=f"{METHOD}; of rates: people drawn anew {ROUNDS} times", seed=settings.seed
        ),
        restrictions={**settings.restrictions(), **(restrictions or {})},
        padded_share=float(videos.padded.mean()),
    )


def _rates(main: Measured, impostors: int, seed: int) -> tuple[Bounds | None, dict[float, Bounds]]:
    """Intervals of the EER and of TAR at the rates that so many impostor trials can show."""
    if main.scores is None:
        return None, {}
    return rate_intervals(main.scores, [far for far in TARGET_FARS if impostors * far >= 1 - 1e-9], seed)


def _some(
    genuine: NDArray[np.float64], impostor: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most `MOST` of each kind, drawn at random: pooling adjacent violators walks through them one by one."""
    rng = np.random.default_rng(seed)
    return tuple(part if part.size <= MOST else rng.choice(part, MOST, replace=False) for part in (genuine, impostor))  # type: ignore[return-value]


def _cllr(
    videos: EmbeddedVideos, genuine: NDArray[np.float64], impostor: NDArray[np.float64], settings: EvaluationSettings
) -> float | None:
    """Bits, of scores as the network's card calibrates them; None without calibration, or where videos give unequal
    numbers of windows, so that one score is worth more than another."""
    if settings.calibration is None or len(np.unique(videos.windows)) != 1:
        return None
    windows = int(videos.windows[0])
    return cllr(*(settings.calibration.llr(kind, windows) for kind in (genuine, impostor)))


def _histograms(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> Histograms | None:
    try:
        return score_histograms(genuine, impostor)
    except InputError:  # all scores alike
        return None


def _by_generator(vectors: Vectors, labels: VideoLabels, settings: EvaluationSettings) -> dict[str, Estimate]:
    out = {}
    for name in np.unique(labels.generator).tolist():
        keep = labels.generator == name
        if settings.protocol == REAL_TO_AVATAR:
            if labels.is_original[keep].all():
                continue
            # Its trials have an original on one side, whatever made the other.
            keep |= labels.is_original
        try:
            found = measure(vectors[keep], labels.select(keep), settings.protocol, settings.only(keep))
        except InputError:
            continue  # originals alone, say, have no impostors
        out[name] = Estimate(found.auc, found.ci95)
    return out


def _controls(
    videos: EmbeddedVideos,
    labels: VideoLabels,
    settings: EvaluationSettings,
    frozen: tuple[EmbeddedVideos, VideoLabels] | None,
) -> dict[str, Control]:
    out = {}
    for name, vectors in videos.vectors.items():
        if name != AS_IT_IS:
            out[name] = _control(vectors, labels, settings, learns=name != "untrained")
    if frozen is not None:
        out["frozen"] = _control(frozen[0].vectors[AS_IT_IS], frozen[1], settings)
    if np.isfinite(videos.seconds).all():
        out["duration only"] = _control(duration_vectors(videos.seconds), labels, settings, learns=False)
    return out


def _control(vectors: Vectors, labels: VideoLabels, settings: EvaluationSettings, learns: bool = True) -> Control:
    """One control. Where a network has to have learned something for it to count, it counts only with the training AUC
    beside that shows it."""
    training = settings.training_auc if learns else None
    trained = not learns or (training is not None and training >= MIN_TRAINING_AUC)
    notes = [NOT_KNOWN] if learns and training is None else []
    try:
        found = measure(vectors, labels, settings.protocol, settings)
    except InputError as error:
        return Control(None, trained=trained, training_auc=training, note="; ".join([*notes, str(error)]))
    return Control(found.auc, found.ci95, trained, training, "; ".join([*notes, *found.notes]))


def generator_matrix(vectors: Vectors, labels: VideoLabels, settings: EvaluationSettings) -> Matrix:
    """AUC of comparing a video by the row's generator with one by the column's, under the main protocol.

    Genuine pairs cross recordings in every cell unless the settings say otherwise: off the diagonal one recording
    rendered by two generators would be genuine, and on it never.

    Raises
    ------
    InputError
        For a list of pairs, or ``real_to_avatar``, whose trials have no generator on one side; for no generator at all.
    """
    if settings.protocol in (LISTED, REAL_TO_AVATAR):
        raise InputError(
            f"the protocol {settings.protocol!r} has no matrix of generators: its trials are not of two generators"
        )
    names = np.unique(labels.generator[~labels.is_original]).tolist()
    options = settings.options
    if options.exclude_same_recording is None:
        options = replace(options, exclude_same_recording=True)
    values: dict[tuple[str, str], float | None] = {}
    for number, one in enumerate(names):
        for other in names[number:]:
            # Neither side of a trial is the first, so that the matrix is symmetric.
            keep = (labels.generator == one) | (labels.generator == other)
            cell = replace(settings, options=replace(options, generators=(one, other)))
            try:
                found: float | None = measure(vectors[keep], labels.select(keep), cell.protocol, cell).auc
            except InputError:
                found = None
            values[one, other] = values[other, one] = found
    rows = tuple(tuple(values[one, other] for other in names) for one in names)
    return Matrix(tuple(names), tuple(names), rows, "enrolled from", "probed with")


def _matrix(vectors: Vectors, labels: VideoLabels, settings: EvaluationSettings) -> Matrix | None:
    if settings.protocol in (LISTED, REAL_TO_AVATAR) or len(np.unique(labels.generator[~labels.is_original])) < 2:
        return None
    found = generator_matrix(vectors, labels, settings)
    return found if any(value is not None for row in found.values for value in row) else None
