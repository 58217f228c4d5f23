"""`whodrives reproduce`: the paper's tables, and our ablations, from one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whodrives.cli.options import json_option
from whodrives.errors import InputError

if TYPE_CHECKING:
    from whodrives.reproduction.material import Material
    from whodrives.reproduction.runs import Run
    from whodrives.training.trainer import Progress

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
SIMULATED = "simulated"


@click.command("reproduce")
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@click.option("--data", default=SIMULATED, show_default=True, help="A data set with splits, or 'simulated'.")
@click.option("--motion", type=_FILE, help="Simulated: parquet of real tracks [built-in drivers].")
@click.option("--portraits", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Simulated: photos.")
@click.option("--recipe", default="small", show_default=True, help="'paper', 'small', 'smaller' or a TOML file.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Trainings of each row.")
@click.option("--budget", type=click.FloatRange(0), default=None, metavar="MINUTES", help="Of training in this call.")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("out/reproduce"))
@click.option("--test-drivers", type=click.IntRange(3), default=20, show_default=True, help="Simulated.")
@click.option("--test-targets", type=click.IntRange(2), default=20, show_default=True, help="Simulated.")
@click.option("--test-clips", type=click.IntRange(2), default=4, show_default=True, help="Simulated: of each driver.")
@click.option("--test-seconds", type=click.FloatRange(0.5), default=5.2, show_default=True, help="Simulated.")
@click.option("--frozen/--no-frozen", default=True, help="Simulated: the control on videos without motion.")
@click.option("--controls/--no-controls", default=True, help="Of every row's first seed; they take most of the time.")
@click.option("--people", type=click.IntRange(4), default=12, show_default=True, help="Of motion, disentanglement.")
@click.option("--faces", type=click.IntRange(2), default=4, show_default=True, help="Of motion, disentanglement.")
@click.option("--layout", default="auto", help="Of --data, as for prepare.")
@click.option("--splits", type=_FILE, help="As for prepare.")
@click.option("--metadata", type=_FILE, help="As for prepare.")
@click.option("--frames", type=click.Path(exists=True, file_okay=False, path_type=Path), help="As for prepare.")
@click.option("--fps", type=float, default=None, help="Frames/s of --data [every source frame].")
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Gets a line for every evaluation.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="For rendering and decoding.")
@click.option("--device", default=None, help="cpu, cuda ... (default: a GPU when there is one).")
@json_option
def reproduce(
    tables: tuple[str, ...],
    data: str,
    recipe: str,
    seeds: int,
    budget: float | None,
    out: Path,
    controls: bool,
    people: int,
    faces: int,
    ledger: Path | None,
    workers: int,
    device: str | None,
    as_json: bool,
    **where: Any,
) -> int:
    """Train, evaluate and print tables: table2 .. table8, figure2, our ablations, motion, disentanglement, all.

    Everything lies in OUT and is made once: call again to go on where the budget ended. Published figures stand in
    columns of their own. Exit status: 0 complete, 1 some rows or seeds were not reached, 2 wrong call.
    """
    import torch

    from whodrives.cli.output import print_json, print_lines
    from whodrives.cli.report import print_document
    from whodrives.evaluation.report import write_report
    from whodrives.evaluation.report.comparison import table_document
    from whodrives.evaluation.report.result import to_dict
    from whodrives.reproduction.analyses import ANALYSES, run_analyses
    from whodrives.reproduction.reproduce import plan
    from whodrives.reproduction.reproduce import reproduce as run_tables
    from whodrives.reproduction.tables import load_table, table_names

    # Analyses show every motion on every face, which only rendering can.
    everything = (*table_names(), *(ANALYSES if data == SIMULATED else ()))
    names = list(dict.fromkeys(name for asked in tables for name in (everything if asked == "all" else (asked,))))
    chosen = [load_table(name) for name in names if name not in ANALYSES]
    wanted = [name for name in names if name in ANALYSES]
    if wanted and data != SIMULATED:
        raise InputError(f"{', '.join(wanted)}: needs --data simulated, where every motion is on every face")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    material = _material(data, out, workers, as_json, where)
    planned = plan(chosen, material, recipe, range(1, seeds + 1), out / "runs")
    command = "whodrives " + " ".join(sys.argv[1:])
    with _Bar(as_json) as bar:
        results = run_tables(
            planned,
            material,
            command,
            budget=None if budget is None else budget * 60,
            controls=controls,
            workers=workers,
            device=device,
            ledger=ledger,
            on_step=bar.step,
            on_evaluation=bar.evaluation,
        )
    results += run_analyses(wanted, material, recipe, out / "runs", command, people, faces)
    waiting, lacking = 0, 0
    reports = {}
    for result in results:
        reports[result.name] = {key: str(path) for key, path in write_report(result, out / result.name).items()}
        waiting += sum(any(cell.status != "ok" for cell in row.cells.values()) for row in result.rows)
        lacking += sum(any(0 < len(cell.seeds) < seeds for cell in row.cells.values()) for row in result.rows)
        if not as_json:
            print_document(table_document(result))
    if as_json:
        tables_made = [to_dict(result) for result in results]
        counts = {"rows_not_run": waiting, "rows_lacking_seeds": lacking}
        print_json({"tables": tables_made, "reports": reports, **counts})
    else:
        print_lines(*(f"{name}: {paths['html']}" for name, paths in reports.items()))
        if waiting:
            print_lines(f"{waiting} rows were not reached; call again with a --budget to go on")
        if lacking:
            print_lines(f"{lacking} rows lack some of the {seeds} seeds; call again with a --budget to go on")
    return 1 if waiting or lacking else 0


def _material(data: str, out: Path, workers: int, quiet: bool, where: dict[str, Any]) -> Material:
    from whodrives.cli.output import progress_of
    from whodrives.reproduction.material import labelled, simulated

    motion, portraits = where["motion"], where["portraits"]
    if data == SIMULATED:
        with progress_of("rendering test videos", quiet) as advance:
            return simulated(
                out / "data",
                str(motion or ""),
                str(portraits or ""),
                drivers=where["test_drivers"],
                targets=where["test_targets"],
                clips=where["test_clips"],
                seconds=where["test_seconds"],
                workers=workers,
                frozen=where["frozen"],
                advance=advance,
            )
    if motion or portraits:
        raise InputError("--motion and --portraits belong to --data simulated")
    options = {name: where[name] for name in ("layout", "splits", "metadata", "frames")}
    with progress_of("packing", quiet) as advance:
        return labelled(out, Path(data), fps=where["fps"], workers=workers, advance=advance, **options)


class _Bar:
    """A progress bar over the steps of the run at hand; quiet where nobody looks."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
        self._bar = Progress(
            *columns,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, words="")
        self._run: Run | None = None

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def step(self, run: Run, step: Progress) -> None:
        """One step of training."""
        if run is not self._run:
            self._bar.reset(self._task, description=f"{run.name}, seed {run.config.train.seed}", total=step.total)
            self._run = run
        words = f"loss {step.loss:.3f}  val AUC {step.auc:.3f}  {step.clips_per_second:.1f} clips/s"
        self._bar.update(self._task, completed=step.step, words=words)

    def evaluation(self, run: Run) -> None:
        """A run is evaluated now."""
        self._bar.reset(self._task, description=f"evaluating {run.name}, seed {run.config.train.seed}", total=None)
        self._bar.update(self._task, words="")
        self._run = None
