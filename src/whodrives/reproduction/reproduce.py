"""Tables from data: train what is missing, evaluate what is finished, write reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from whodrives.evaluation.report.parts import Provenance
from whodrives.evaluation.report.result import TableResult
from whodrives.evaluation.trial_intervals import METHOD
from whodrives.reproduction.curves import amounts_of
from whodrives.reproduction.evaluations import Evaluation, evaluate_run
from whodrives.reproduction.material import Material
from whodrives.reproduction.pace import Paces
from whodrives.reproduction.provenance import commit, data_digest, software, today
from whodrives.reproduction.queue import RunState, states, work
from whodrives.reproduction.render import Outcome, Transfer, build_table
from whodrives.reproduction.runs import Run, make_run, row_config
from whodrives.reproduction.tables import Row, Table
from whodrives.training.trainer import Progress


@dataclass(frozen=True)
class Plan:
    """Every row of some tables with its runs, one a seed. runs : each once, first seeds before second ones, and before
    all that only columns of other rows need.

    transfer : row -> generator -> runs that are trained on it alone, one a seed.
    """

    rows: tuple[tuple[Table, Row, tuple[Run, ...]], ...]
    runs: tuple[Run, ...]
    transfer: Mapping[Row, Mapping[str, tuple[Run, ...]]] = field(default_factory=dict)


def plan(tables: Sequence[Table], material: Material, recipe: str | Path, seeds: Sequence[int], root: Path) -> Plan:
    """What tables need. Raises InputError for an unknown recipe or a row that cannot be."""
    rows: list[tuple[Table, Row, tuple[Run, ...]]] = []
    transfer: dict[Row, dict[str, tuple[Run, ...]]] = {}

    def runs_of(experiment: str, generator: str = "") -> tuple[Run, ...]:
        data = material.only(generator) if generator else material.settings
        name = f"{experiment}-{generator}" if generator else experiment
        return tuple(make_run(root, name, row_config(experiment, recipe, data, seed)) for seed in seeds)

    for table in tables:
        for row in table.expand(material.generators):
            if not row.experiment:
                rows.append((table, row, ()))
                continue
            rows.append((table, row, runs_of(row.experiment, row.generator)))
            if row.transfer and len(material.generators) > 1:
                transfer[row] = {name: runs_of(row.experiment, name) for name in material.generators}
    groups = [runs for _, _, runs in rows]
    also = [runs for found in transfer.values() for runs in found.values()]
    places = range(len(seeds))
    by_seed = [runs[place] for part in (groups, also) for place in places for runs in part if runs]
    # The same experiment under two names (k = 4 is the default) is one run: the key tells.
    unique = {(run.key, run.config.train.seed): run for run in reversed(by_seed)}

    def same(runs: tuple[Run, ...]) -> tuple[Run, ...]:
        return tuple(unique[run.key, run.config.train.seed] for run in runs)

    return Plan(
        tuple((table, row, same(runs)) for table, row, runs in rows),
        tuple(dict.fromkeys(same(tuple(by_seed)))),
        {row: {name: same(runs) for name, runs in found.items()} for row, found in transfer.items()},
    )


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
    if budget != 0:
        work(planned.runs, budget, device, on_step)
    found = {state.run: state for state in states(planned.runs, Paces(device))}
    evaluations: dict[tuple[Run, bool], Evaluation] = {}
    first = {run for _, _, runs in planned.rows for run in runs[:1]}

    def evaluated(run: Run, mask_padding: bool) -> Evaluation:
        key = (run, mask_padding)
        if key not in evaluations:
            on_evaluation(run)
            evaluations[key] = evaluate_run(
                run,
                material,
                mask_padding=mask_padding,
                controls=controls and run in first,
                workers=workers,
                device=device,
                command=command,
                ledger=ledger,
            )
        return evaluations[key]

    results = []
    for table in dict.fromkeys(table for table, _, _ in planned.rows):
        outcomes: list[Outcome] = []
        seeds: set[int] = set()
        for _, row, runs in (entry for entry in planned.rows if entry[0] is table):
            done = {run.config.train.seed: evaluated(run, table.mask_padding) for run in runs if found[run].done}
            transfer = None
            if row in planned.transfer:
                networks = planned.transfer[row]
                whole = {
                    seed[0].config.train.seed: {
                        name: evaluated(run, table.mask_padding) for name, run in zip(networks, seed)
                    }
                    for seed in zip(*networks.values())
                    if all(found[run].done for run in seed)
                }
                transfer = Transfer(whole, _hours([runs[0] for runs in networks.values()], found))
                seeds |= whole.keys()
            seeds |= done.keys()
            amounts = amounts_of(row, runs[0].config) if done and row.amounts else {}
            outcomes.append(Outcome(row, done, _hours(runs[:1], found), len(runs), amounts, transfer))
        origin = _provenance(planned, material, command, tuple(sorted(seeds)))
        results.append(build_table(table, outcomes, material.generators, origin))
    return results


def _hours(runs: Sequence[Run], found: dict[Run, RunState]) -> float | None:
    """Training that runs still take; None: of one no pace is known."""
    hours = [found[run].hours for run in runs]
    return None if None in hours else sum(one for one in hours if one is not None)


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
        data_sha256=data_digest(material.records),
        software=software(),
        intervals=METHOD,
    )
