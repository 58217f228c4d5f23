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
from whodrives.reproduction.evaluations import Evaluation
from whodrives.reproduction.tables import Row, Table, paper_name

EQ1, TRAINING, OTHER_TAKES = "Eq. 1", "training AUC", "other recordings"
PADDED = "repeated frames"


@dataclass(frozen=True, eq=False)
class Outcome:
    """A row. evaluations : seed -> of its finished seeds. hours : of training that is left, None: no estimate yet.

    asked : how many seeds were asked for.
    """

    row: Row
    evaluations: Mapping[int, Evaluation] = field(default_factory=dict)
    hours: float | None = None
    asked: int = 1

    @property
    def done(self) -> tuple[Evaluation, ...]:
        """Evaluations of the finished seeds, in order."""
        return tuple(self.evaluations.values())

    @property
    def status(self) -> str:
        """Of its cells: "ok", or "not run" with what it would take."""
        if self.evaluations:
            return "ok"
        return "not run (no estimate yet)" if self.hours is None else f"not run (estimated {self.hours:.1f} h)"


def scores_of(one: Evaluation, protocol: str, generator: str = "", other_takes: bool = False) -> TrialScores:
    """Trials of an evaluation, of one generator or of all. other_takes : genuine pairs cross recordings."""
    keep = np.ones(len(one.labels), bool) if not generator else one.labels.generator == generator
    options = ProtocolOptions(exclude_same_recording=True if other_takes else None)
    return collect(one.vectors[keep], one.labels.select(keep), PROTOCOLS[protocol], options)


def _cell(
    evaluations: Sequence[Evaluation],
    protocol: str,
    generator: str,
    published: float | None,
    other_takes: bool = False,
) -> Cell | None:
    try:
        scores = [scores_of(one, protocol, generator, other_takes) for one in evaluations]
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

    Columns of ours: all generators together and each alone under the paper's protocol (in a matrix: each alone), Eq. 1,
    the paper's protocol with genuine pairs from two recordings, and the AUC on training drivers. An interval is over
    people, of the mean over training seeds; the seeds' own values stand beside.
    """
    own = generators if table.matrix else ("overall", *generators)
    # A generator of the paper's, by NVFAIR's name for it, has one column with both figures.
    same = {paper_name(name) for name in own}
    columns = list(dict.fromkeys((*own, *(name for name in table.columns if name not in same))))
    extra = [] if table.matrix else [EQ1, OTHER_TAKES, TRAINING]
    padded = any(one.padded > 0 for outcome in outcomes for one in outcome.done)
    columns += extra + ([PADDED] if padded and not table.matrix else [])
    rows = []
    for outcome in outcomes:
        row, cells = outcome.row, {}
        for name in columns:
            cell = _column(outcome, name, name in own)
            if cell is not None:
                cells[name] = cell
        rows.append(ReportRow(row.label, cells, row.properties))
    return TableResult(
        table.name,
        table.title,
        tuple(columns),
        tuple(rows),
        provenance,
        (*table.notes, *_unfinished(outcomes), *_differences(outcomes)),
        matrix=_matrix(outcomes, generators) if table.matrix else None,
        properties=table.properties,
    )


def _column(outcome: Outcome, name: str, ours: bool) -> Cell | None:
    row, done = outcome.row, outcome.done
    published = row.published.get(paper_name(name))
    if not row.experiment or (not ours and name not in (EQ1, OTHER_TAKES, TRAINING, PADDED)):
        return None if published is None else Cell(published=published)
    if not done:
        return Cell(published=published, status=outcome.status)
    if name == TRAINING:
        known = tuple(one.training_auc for one in done)
        return Cell(float(np.mean(known)), None, known)
    if name == PADDED:
        return Cell(float(np.mean([one.padded for one in done])))
    if name == EQ1:
        return _cell(done, "cross_target", "", None)
    if name == OTHER_TAKES:
        return _cell(done, "per_target_mean", "", None, other_takes=True)
    return _cell(done, "per_target_mean", "" if name == "overall" else name, published)


def _matrix(outcomes: Sequence[Outcome], generators: tuple[str, ...]) -> Matrix | None:
    rows = [outcome for outcome in outcomes if outcome.row.generator]
    values = []
    for outcome in rows:
        done = outcome.done
        cells = [_cell(done, "per_target_mean", name, None) if done else None for name in generators]
        values.append(tuple(None if cell is None else cell.value for cell in cells))
    if not rows or all(value is None for row in values for value in row):
        return None
    return Matrix(tuple(outcome.row.generator for outcome in rows), generators, tuple(values))


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
