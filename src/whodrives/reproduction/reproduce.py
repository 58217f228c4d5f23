"""Tables from data: train what is missing, evaluate what is finished, write reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whodrives.evaluation.report.parts import Provenance
from whodrives.evaluation.report.result import TableResult
from whodrives.evaluation.trial_intervals import METHOD
from whodrives.reproduction.evaluations import Evaluation, evaluate_run
from whodrives.reproduction.material import Material
from whodrives.reproduction.provenance import commit, software, today
from whodrives.reproduction.queue import RunState, states, work
from whodrives.reproduction.render import Outcome, build_table
from whodrives.reproduction.runs import Run, make_run, row_config
from whodrives.reproduction.tables import Row, Table
from whodrives.training.trainer import Progress


@dataclass(frozen=True)
class Plan:
    """Every row of some tables with its runs, one a seed. runs : each once, first seeds before second ones."""

    rows: tuple[tuple[Table, Row, tuple[Run, ...]], ...]
    runs: tuple[Run, ...]


def plan(tables: Sequence[Table], material: Material, recipe: str | Path, seeds: Sequence[int], root: Path) -> Plan:
    """What tables need. Raises InputError for an unknown recipe or a row that cannot be."""
    rows: list[tuple[Table, Row, tuple[Run, ...]]] = []
    for table in tables:
        for row in table.expand(material.generators):
            if not row.experiment:
                rows.append((table, row, ()))
                continue
            data = material.only(row.generator) if row.generator else material.settings
            name = f"{row.experiment}-{row.generator}" if row.generator else row.experiment
            runs = tuple(make_run(root, name, row_config(row.experiment, recipe, data, seed)) for seed in seeds)
            rows.append((table, row, runs))
    by_seed = [run for place in range(len(seeds)) for _, _, runs in rows for run in runs[place : place + 1]]
    # The same experiment under two names (k = 4 is the default) is one run: the key tells.
    unique = {(run.key, run.config.train.seed): run for run in reversed(by_seed)}
    same = tuple((t, r, tuple(unique[run.key, run.config.train.seed] for run in runs)) for t, r, runs in rows)
    order = [unique[run.key, run.config.train.seed] for run in by_seed]
    return Plan(same, tuple(dict.fromkeys(order)))


def reproduce(
    planned: Plan,
    material: Material,
    command: str,
    *,
    budget: float | None = None,
    controls: bool = True,
    workers: int = 1,
    device: str = "cpu",
    ledger: Path | None = None,
    on_step: Callable[[Run, Progress], object] = lambda run, step: None,
    on_evaluation: Callable[[Run], object] = lambda run: None,
) -> list[TableResult]:
    """Train until the budget is spent, evaluate every finished run, build the tables.

    Parameters
    ----------
    budget : seconds for training, None: no limit; 0 trains nothing. controls : in the evaluation of each row's first
        seed. workers : decoding threads.
    ledger : file that gets a line for every new evaluation.
    on_step, on_evaluation : told of the run at hand. Controls stand in each run's own evaluation, for the first seed.

    Raises
    ------
    CheckpointError, InputError, StoreError
        As for training and evaluating.
    """
    found = {state.run: state for state in work(planned.runs, budget, device, on_step)} if budget != 0 else {}
    found = found or {state.run: state for state in states(planned.runs)}
    evaluations: dict[tuple[Run, bool], Evaluation] = {}
    results = []
    for table in dict.fromkeys(table for table, _, _ in planned.rows):
        outcomes: list[Outcome] = []
        seeds: set[int] = set()
        for _, row, runs in (entry for entry in planned.rows if entry[0] is table):
            done = {}
            for number, run in enumerate(runs):
                if not found[run].done:
                    continue
                key = (run, table.mask_padding)
                if key not in evaluations:
                    on_evaluation(run)
                    evaluations[key] = evaluate_run(
                        run,
                        material,
                        mask_padding=table.mask_padding,
                        controls=controls and number == 0,
                        workers=workers,
                        device=device,
                        command=command,
                        ledger=ledger,
                    )
                done[run.config.train.seed] = evaluations[key]
            seeds |= done.keys()
            outcomes.append(Outcome(row, done, _hours(runs, found), len(runs)))
        origin = _provenance(planned, material, command, tuple(sorted(seeds)))
        results.append(build_table(table, outcomes, material.generators, origin))
    return results


def _hours(runs: Sequence[Run], found: dict[Run, RunState]) -> float | None:
    """Training that the first seed still takes; None: no pace known."""
    return found[runs[0]].hours if runs else None


def _provenance(planned: Plan, material: Material, command: str, seeds: tuple[int, ...]) -> Provenance:
    """seeds : of the runs that were measured, not of those that are still waiting."""
    recipe = planned.runs[0].config.train if planned.runs else None
    budget = (
        f"{recipe.total_steps} steps of {recipe.identities} x {recipe.samples} clips each" if recipe else "no training"
    )
    return Provenance(
        model=f"networks trained for {budget}",
        data=material.description,
        data_kind=material.heading,
        commit=commit(),
        command=command,
        date=today(),
        split="test",
        seed=seeds or None,
        software=software(),
        intervals=METHOD,
    )
