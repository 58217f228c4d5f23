"""From embeddings and labels to a whole result: both protocols, metrics, controls, subgroups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.controls import duration_vectors
from whodrives.evaluation.detection import COST_MODELS, measured_tar, min_detection_cost
from whodrives.evaluation.embed_records import AS_IT_IS, EmbeddedVideos
from whodrives.evaluation.identification import cmc, fnir_at_fpir, search
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.listed import LISTED, ListedPairs, listed_trials
from whodrives.evaluation.llr import min_cllr
from whodrives.evaluation.metrics import eer, roc_auc
from whodrives.evaluation.pooling import TrialScores, collect, unit_rows
from whodrives.evaluation.report.measure import (
    estimate,
    fnir_entry,
    measured_curves,
    score_histograms,
    subgroup_entry,
    tar_entry,
)
from whodrives.evaluation.report.parts import (
    Auc,
    Control,
    Estimate,
    Histograms,
    Identification,
    Matrix,
    PairCounts,
    Protocol,
    Provenance,
    Subgroup,
)
from whodrives.evaluation.report.result import BOTH_PROTOCOLS, EvaluationResult
from whodrives.evaluation.subgroups import by_subgroup, terciles
from whodrives.evaluation.ties import products
from whodrives.evaluation.trial_intervals import METHOD, trials_interval
from whodrives.evaluation.trials import ProtocolOptions, find_protocol

TARGET_FARS = (0.001, 0.01, 0.05, 0.1)
MOST = 1_000_000
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured.

    protocol : the main one; ``listed``: the trials of `pairs`. options : restrict a protocol's trials. seed : of random
    alterations. training_auc : of the network on its training drivers, None: not known. attributes : attribute ->
    driver -> subgroup. pairs : trials that somebody else chose, by the places of their videos in the reader's records.

    Raises InputError for ``listed`` without pairs, pairs without ``listed``, or listed pairs with options.
    """

    protocol: str = "per_target_mean"
    options: ProtocolOptions = field(default_factory=ProtocolOptions)
    seed: int = 0
    training_auc: float | None = None
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pairs: ListedPairs | None = None

    def __post_init__(self) -> None:
        if (self.protocol == LISTED) != (self.pairs is not None):
            raise InputError("a list of pairs and the protocol 'listed' go together")
        if self.pairs is not None and self.options != ProtocolOptions():
            raise InputError("a list of pairs says itself which trials count: leave out options that restrict trials")


def evaluate(
    videos: EmbeddedVideos,
    labels: VideoLabels,
    settings: EvaluationSettings,
    provenance: Provenance,
    total: int,
    motion_gate: float = 0.0,
    frozen: tuple[EmbeddedVideos, VideoLabels] | None = None,
) -> EvaluationResult:
    """Everything that a report shows.

    Parameters
    ----------
    videos : embeddings; the variant `AS_IT_IS` is the network, every other one a control. labels : of the videos that
        could be read, in their order. provenance : where the figures come from. total : videos asked for, for coverage.
    motion_gate : grey levels under which a video would be an abstention. frozen : twins without motion, their labels.

    Raises
    ------
    InputError
        The main protocol has no trials, listed pairs have frozen twins beside them, or shapes that do not fit.
    """
    if settings.pairs is not None:
        if frozen is not None:
            raise InputError("a list of pairs names no frozen twins: leave one of them out")
        settings = replace(settings, pairs=settings.pairs.among(videos.number))
    vectors = videos.vectors[AS_IT_IS]
    main = _scored(vectors, labels, settings.protocol, settings)
    interval = trials_interval(main)
    genuine, impostor = main.score[main.genuine].astype(np.float64), main.score[~main.genuine].astype(np.float64)
    names = dict.fromkeys((settings.protocol, *BOTH_PROTOCOLS))
    decided = (videos.energy >= motion_gate) & (videos.padded < 0.5)
    return EvaluationResult(
        protocol=settings.protocol,
        auc=Auc(
            interval.value,
            (interval.low, interval.high),
            _by_generator(vectors, labels, settings),
            main.by_target() if main.per_target else {},
        ),
        eer=eer(genuine, impostor),
        tar_at_far={f"{far:g}": tar_entry(measured_tar(genuine, impostor, far)) for far in TARGET_FARS},
        min_dcf={name: min_detection_cost(genuine, impostor, model).cost for name, model in COST_MODELS.items()},
        min_cllr=min_cllr(*_some(genuine, impostor, settings.seed)),
        coverage=float(decided.sum() / max(total, 1)),
        n_videos=len(labels),
        n_drivers=len(labels.drivers),
        n_targets=len(labels.targets),
        n_pairs=PairCounts(genuine.size, impostor.size),
        protocols={name: protocol_entry(vectors, labels, name, settings, main) for name in names},
        controls=_controls(videos, labels, settings, frozen),
        identification=identification(vectors, labels),
        subgroups=_subgroups(videos, labels, main, settings.attributes),
        curves=measured_curves(genuine, impostor),
        histograms=_histograms(genuine, impostor),
        provenance=replace(provenance, intervals=METHOD, seed=settings.seed),
    )


def _some(
    genuine: NDArray[np.float64], impostor: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most `MOST` of each kind, drawn at random: pooling adjacent violators walks through them one by one."""
    rng = np.random.default_rng(seed)
    return tuple(part if part.size <= MOST else rng.choice(part, MOST, replace=False) for part in (genuine, impostor))  # type: ignore[return-value]


def _histograms(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> Histograms | None:
    try:
        return score_histograms(genuine, impostor)
    except InputError:  # all scores alike
        return None


def _scored(vectors: Vectors, labels: VideoLabels, name: str, settings: EvaluationSettings) -> TrialScores:
    """Trials of a protocol; listed ones by their places among these videos."""
    if name == LISTED and settings.pairs is not None:
        return listed_trials(vectors, labels, settings.pairs)
    return collect(vectors, labels, find_protocol(name), _options_for(name, settings))


def _only(settings: EvaluationSettings, keep: NDArray[np.bool_]) -> EvaluationSettings:
    """For the videos of a mask: listed pairs renumbered to places among them."""
    return settings if settings.pairs is None else replace(settings, pairs=settings.pairs.among(np.flatnonzero(keep)))


def protocol_entry(
    vectors: Vectors,
    labels: VideoLabels,
    name: str,
    settings: EvaluationSettings,
    known: TrialScores | None = None,
) -> Protocol:
    """AUC of one protocol with its interval, or why it cannot be measured on these videos.

    known : trials of `settings.protocol`, where they are there already.
    """
    try:
        if known is not None and name == settings.protocol:
            scores = known
        else:
            scores = _scored(vectors, labels, name, settings)
        interval = trials_interval(scores)
    except InputError as error:
        return Protocol(None, note=str(error))
    count = int(scores.genuine.sum())
    ratio = scores.distance_ratio() if name == "cross_target" else None
    return Protocol(
        interval.value,
        (interval.low, interval.high),
        PairCounts(count, len(scores.genuine) - count),
        ratio if ratio is not None and np.isfinite(ratio) else None,
        _left_out(settings) if name == LISTED else "",
    )


def _left_out(settings: EvaluationSettings) -> str:
    missing = settings.pairs.missing if settings.pairs is not None else 0
    return f"{missing} listed pairs are left out, a video of theirs is not there" if missing else ""


def _options_for(name: str, settings: EvaluationSettings) -> ProtocolOptions:
    """The main protocol's restrictions, but for whether recordings may be the same, which each has a default for."""
    if name == settings.protocol:
        return settings.options
    return replace(settings.options, exclude_same_recording=None, faces="any")


def _by_generator(vectors: Vectors, labels: VideoLabels, settings: EvaluationSettings) -> dict[str, Estimate]:
    out = {}
    for name in np.unique(labels.generator).tolist():
        keep = labels.generator == name
        try:
            scores = _scored(vectors[keep], labels.select(keep), settings.protocol, _only(settings, keep))
            out[name] = estimate(trials_interval(scores))
        except InputError:
            continue  # originals alone, say, have no impostors
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
    """One control; where a network has to have learned something for it to count, its training AUC stands beside."""
    entry = protocol_entry(vectors, labels, settings.protocol, settings)
    training, note = (settings.training_auc if learns else None), entry.note
    if learns and training is None and not note:
        note = "training AUC not known: no evidence until it is"
    return Control(entry.auc, entry.ci95, training_auc=training, note=note)


def identification(vectors: Vectors, labels: VideoLabels) -> Identification | None:
    """Who is it? Every driver is enrolled with the mean of its first recording, the other recordings are probes.

    For FNIR at FPIR every second driver stays out of the gallery. None where nobody has two recordings.
    """
    unit = unit_rows(vectors)
    templates, people, probes = [], [], []
    for driver in labels.drivers:
        rows = np.flatnonzero(labels.driver == driver)
        first = np.sort(labels.recording[rows])[0]
        enrolled = rows[labels.recording[rows] == first]
        templates.append(unit[enrolled].mean(axis=0))
        people.append(str(driver))
        probes.extend(rows[labels.recording[rows] != first].tolist())
    if not probes or len(people) < 2:
        return None
    table = products(unit_rows(np.stack(templates)), unit[probes])
    who = labels.driver[probes].tolist()
    curve = cmc(search(table, people, who))
    fnir = {}
    if len(people) > 3:
        closed = search(table[::2], people[::2], who)
        fnir = {f"{rate:g}": fnir_entry(fnir_at_fpir(closed, rate)) for rate in (0.01, 0.1)}
    return Identification(float(curve[0]), tuple(curve[:20].tolist()), fnir)


def _subgroups(
    videos: EmbeddedVideos, labels: VideoLabels, main: TrialScores, attributes: Mapping[str, Mapping[str, str]]
) -> tuple[Subgroup, ...]:
    groups: dict[str, Mapping[str, str]] = dict(attributes)
    energy = {str(d): float(videos.energy[labels.driver == d].mean()) for d in labels.drivers}
    try:
        edges = terciles(list(energy.values()))
        groups["expressivity (motion energy)"] = dict(zip(energy, edges.label(list(energy.values()))))
    except InputError:
        pass  # too few people to make three parts
    out = []
    for attribute, of_driver in groups.items():
        first = [of_driver.get(str(main.drivers[code])) for code in main.first]
        second = [of_driver.get(str(main.drivers[code])) for code in main.second]
        same = np.array([a if a == b else None for a, b in zip(first, second)], dtype=object)
        try:
            measured = by_subgroup(
                roc_auc,
                main.score[main.genuine],
                main.score[~main.genuine],
                same[main.genuine].tolist(),
                same[~main.genuine].tolist(),
                minimum=5,
            )
            out.append(subgroup_entry(attribute, measured))
        except InputError:
            continue  # nobody has this attribute
    return tuple(out)


def generator_matrix(vectors: Vectors, labels: VideoLabels, settings: EvaluationSettings) -> Matrix:
    """AUC of comparing a video by the row's generator with one by the column's, under the main protocol."""
    names = np.unique(labels.generator[~labels.is_original]).tolist()
    rows = []
    for one in names:
        row: list[float | None] = []
        for other in names:
            options = replace(settings.options, generators=(one, other))
            try:
                row.append(collect(vectors, labels, find_protocol(settings.protocol), options).auc())
            except InputError:
                row.append(None)
        rows.append(tuple(row))
    return Matrix(tuple(names), tuple(names), tuple(rows))
