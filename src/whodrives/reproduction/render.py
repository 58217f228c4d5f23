"""From finished runs to a table: our figures with intervals beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from whodrives.errors import InputError
from whodrives.evaluation.intervals import Interval
from whodrives.evaluation.pooling import TrialScores, collect
from whodrives.evaluation.report.parts import Matrix, Provenance
from whodrives.evaluation.report.result import Cell, TableResult
from whodrives.evaluation.report.result import Row as ReportRow
from whodrives.evaluation.trial_intervals import difference_interval, mean_interval
from whodrives.evaluation.trials import PROTOCOLS, ProtocolOptions
from whodrives.reproduction.curves import panels, scaling_curves
from whodrives.reproduction.evaluations import Evaluation
from whodrives.reproduction.tables import TRANSFER, Row, Table, paper_name

EQ1, TRAINING, OTHER_TAKES = "Eq. 1", "training AUC", "other recordings"
PADDED, MEAN = "repeated frames", "mean over targets"
# A training that takes less has no tenth of an hour to show.
SHORT = 0.05


@dataclass(frozen=True)
class Measure:
    """What a column of ours measures. generator : of the test videos, empty: all. other_takes : genuine pairs cross
    recordings."""

    protocol: str = "per_target_mean"
    generator: str = ""
    other_takes: bool = False


@dataclass(frozen=True, eq=False)
class Transfer:
    """Networks of a row's experiment that were trained on one generator each.

    evaluations : seed -> training generator -> of it, for seeds of which all are finished. hours : that are left.
    """

    evaluations: Mapping[int, Mapping[str, Evaluation]] = field(default_factory=dict)
    hours: float | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A row. evaluations : seed -> of its finished seeds. hours : of training that is left, None: no estimate.

    asked : how many seeds were asked for. amounts : what it stands for on scaling curves. transfer : None where the row
    has no such networks, or the data no second generator.
    """

    row: Row
    evaluations: Mapping[int, Evaluation] = field(default_factory=dict)
    hours: float | None = None
    asked: int = 1
    amounts: Mapping[str, float] = field(default_factory=dict)
    transfer: Transfer | None = None

    @property
    def done(self) -> tuple[Evaluation, ...]:
        """Evaluations of the finished seeds, in order."""
        return tuple(self.evaluations.values())

    @property
    def status(self) -> str:
        """Of its cells: "ok", or "not run" with what it would take."""
        return "ok" if self.evaluations else not_run(self.hours)


def not_run(hours: float | None) -> str:
    """The status of what waits for so many hours of training; None: nobody knows."""
    if hours is None:
        return "not run (no estimate)"
    return f"not run (estimated {'under 0.1' if hours < SHORT else format(hours, '.1f')} h)"


def scores_of(one: Evaluation, protocol: str, generator: str = "", other_takes: bool = False) -> TrialScores:
    """Trials of an evaluation, of one generator or of all. other_takes : genuine pairs cross recordings."""
    keep = np.ones(len(one.labels), bool) if not generator else one.labels.generator == generator
    options = ProtocolOptions(exclude_same_recording=True if other_takes else None)
    return collect(one.vectors[keep], one.labels.select(keep), PROTOCOLS[protocol], options)


def _cell(evaluations: Sequence[Evaluation], measure: Measure, published: float | None = None) -> Cell | None:
    try:
        scores = [scores_of(one, measure.protocol, measure.generator, measure.other_takes) for one in evaluations]
        interval = mean_interval(scores)
    except InputError:  # these videos form no such trials
        return None if published is None else Cell(published=published)
    seeds = tuple(round(one.auc(), 6) for one in scores)
    return Cell(interval.value, (interval.low, interval.high), seeds, published)


def build_table(
    table: Table,
    outcomes: Sequence[Outcome],
    generators: tuple[str, ...],
    provenance: Provenance,
) -> TableResult:
    """A table of the paper, or of ours.

    Parameters
    ----------
    outcomes : rows in order, those of `Table.expand`. generators : of the data.

    Columns of ours: all generators together and each alone under the paper's protocol, Eq. 1, the paper's protocol with
    genuine pairs from two recordings, and the AUC on training drivers; in a matrix each generator under one pooled ROC,
    as in the paper's Tables IV and V, and under its protocol of the other tables. An interval is over people, of the
    mean over training seeds; the seeds' own values stand beside.
    """
    measures = _matrix_measures(generators) if table.matrix else _row_measures(generators)
    # A generator of the paper's, by NVFAIR's name for it, has one column with both figures.
    same = {paper_name(name) for name in measures}
    columns = [name for name in measures if name not in (EQ1, OTHER_TAKES)]
    place = len(generators) if table.matrix else len(columns)
    columns[place:place] = [name for name in table.columns if name not in same]
    if not table.matrix:
        columns += [EQ1, OTHER_TAKES, TRAINING]
        columns += [PADDED] if any(one.padded > 0 for outcome in outcomes for one in outcome.done) else []
    rows = []
    for outcome in outcomes:
        found = {name: _column(outcome, name, measures) for name in columns}
        cells = {name: cell for name, cell in found.items() if cell is not None}
        rows.append(ReportRow(outcome.row.label, cells, outcome.row.properties))
    curves, more = scaling_curves(
        [(row, outcome.amounts) for row, outcome in zip(rows, outcomes)],
        {"overall": "the paper's protocol", EQ1: EQ1},
    )
    made = [(outcome.row, row) for outcome, row in zip(outcomes, rows)]
    matrices = _matrices(made, generators) if table.matrix else ()
    return TableResult(
        table.name,
        table.title,
        tuple(columns),
        tuple(rows),
        provenance,
        (*table.notes, *_unfinished(outcomes), *_differences(outcomes), *more),
        matrix=matrices[0] if matrices else None,
        more_matrices=matrices[1:],
        properties=table.properties,
        scaling=curves,
        panels=panels(table, made, generators, provenance.data_kind) if table.baseline else (),
    )


def _row_measures(generators: tuple[str, ...]) -> dict[str, Measure]:
    alone = {name: Measure(generator=name) for name in generators}
    return {"overall": Measure(), **alone, EQ1: Measure("cross_target"), OTHER_TAKES: Measure(other_takes=True)}


def _matrix_measures(generators: tuple[str, ...]) -> dict[str, Measure]:
    pooled = {name: Measure("pooled", name) for name in generators}
    return {**pooled, **{f"{name}, {MEAN}": Measure(generator=name) for name in generators}}


def _column(outcome: Outcome, name: str, measures: Mapping[str, Measure]) -> Cell | None:
    row, done = outcome.row, outcome.done
    published = row.published.get(paper_name(name))
    if name == TRANSFER and outcome.transfer is not None:
        return _transfer(outcome.transfer, published)
    if not row.experiment or (name not in measures and name not in (TRAINING, PADDED)):
        return None if published is None else Cell(published=published)
    if not done:
        return Cell(published=published, status=outcome.status)
    if name == TRAINING:
        known = tuple(one.training_auc for one in done)
        return Cell(float(np.mean(known)), None, known)
    if name == PADDED:
        return Cell(float(np.mean([one.padded for one in done])))
    return _cell(done, measures[name], published)


def _transfer(transfer: Transfer, published: float | None) -> Cell | None:
    """Mean pooled AUC on the generators that a network was not trained on; of each seed all of its networks count."""
    seeds = []
    for networks in transfer.evaluations.values():
        try:
            found = [
                scores_of(one, "pooled", tested).auc()
                for trained, one in networks.items()
                for tested in networks
                if tested != trained
            ]
        except InputError:  # the videos of one generator form no trials
            return None if published is None else Cell(published=published)
        seeds.append(round(float(np.mean(found)), 6))
    if not seeds:
        return Cell(published=published, status=not_run(transfer.hours))
    return Cell(float(np.mean(seeds)), None, tuple(seeds), published)


def _matrices(made: Sequence[tuple[Row, ReportRow]], generators: tuple[str, ...]) -> tuple[Matrix, ...]:
    """The rows that are trained here under one pooled ROC and under the mean over targets; none before one is."""
    rows = [(row.generator, line.cells) for row, line in made if row.generator]
    out = []
    for words, end in (("one pooled ROC over all targets", ""), (MEAN, f", {MEAN}")):
        values = tuple(
            tuple(cells[name + end].value if name + end in cells else None for name in generators) for _, cells in rows
        )
        if any(value is not None for row in values for value in row):
            out.append(Matrix(tuple(name for name, _ in rows), generators, values, protocol=words))
    return tuple(out)


def _unfinished(outcomes: Sequence[Outcome]) -> list[str]:
    """Which rows are means of fewer seeds than the others will be."""
    return [
        f"{outcome.row.label}: {len(outcome.evaluations)} of {outcome.asked} seeds so far."
        for outcome in outcomes
        if 0 < len(outcome.evaluations) < outcome.asked
    ]


def _differences(outcomes: Sequence[Outcome]) -> list[str]:
    """Every row against the first one that was run, paired over people and seeds, under both protocols."""
    done = [outcome for outcome in outcomes if outcome.evaluations and not outcome.row.generator]
    out = []
    for other in done[1:]:
        first = done[0]
        common = [seed for seed in first.evaluations if seed in other.evaluations]
        whole = len(common) == len(first.evaluations) == len(other.evaluations)
        only = "" if whole else f" (seeds {', '.join(map(str, common))} alone)"
        parts = []
        for protocol, word in (("per_target_mean", "the paper's protocol"), ("cross_target", "Eq. 1")):
            try:
                interval = difference_interval(
                    [scores_of(one, protocol) for one in map(first.evaluations.__getitem__, common)],
                    [scores_of(one, protocol) for one in map(other.evaluations.__getitem__, common)],
                )
            except InputError:
                continue
            parts.append(f"{_signed(interval)} under {word}")
        if parts:
            out.append(f"{first.row.label} minus {other.row.label}, paired over people{only}: {', '.join(parts)}.")
    return out


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
