"""`whodrives train`: run an experiment file."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from whodrives.training.config import TrainConfig
    from whodrives.training.distributed import World


@click.command("train")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Run folder (default: out/NAME).")
@click.option("--resume/--fresh", default=True, help="Go on from the folder's last checkpoint (default).")
@click.option("--init", metavar="WEIGHTS", help="Start from a checkpoint, a weight file, or 'bundled'.")
@click.option("--refit-head", type=click.IntRange(0), default=0, help="First fit the end of the head, this many steps.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a config value.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default=None, help="Default: cuda when there is one.")
@click.option("--until", type=int, default=None, help="Stop at this step (the schedule stays as it is).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end instead of a progress bar.")
def train(
    config: Path,
    out: Path | None,
    resume: bool,
    init: str | None,
    refit_head: int,
    overrides: tuple[str, ...],
    device: str | None,
    until: int | None,
    as_json: bool,
) -> None:
    """Train a network from the experiment file CONFIG.

    Clips are rendered on the fly from motion tracks, or read from a packed frame store. Several processes:
    torchrun --nproc-per-node N -m whodrives train CONFIG.
    """
    import torch

    from whodrives.data.lock import locked
    from whodrives.training.config import load_config
    from whodrives.training.distributed import joined

    settings = load_config(config, overrides)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if settings.train.threads:
        torch.set_num_threads(settings.train.threads)
    folder = out or Path("out") / config.stem
    folder.mkdir(parents=True, exist_ok=True)
    with joined(device) as world, locked(folder) if world.leads else nullcontext():
        _train(settings, folder, world, resume, init, refit_head, until, as_json)


def _train(
    settings: TrainConfig,
    folder: Path,
    world: World,
    resume: bool,
    init: str | None,
    refit_steps: int,
    until: int | None,
    as_json: bool,
) -> None:
    from whodrives.errors import InputError
    from whodrives.training.opening import open_data
    from whodrives.training.trainer import Progress as Step
    from whodrives.training.trainer import Trainer

    goes_on = resume and (folder / "last.safetensors").exists()
    if not (settings.train.total_steps or refit_steps or goes_on):
        raise InputError(
            "config: train.epochs = 0 learns nothing; give --refit-head STEPS, as the experiment's head says"
        )
    if init is not None and settings.train.reader_batches and not refit_steps and not goes_on:
        raise InputError(
            f"config: train.reader_batches = {settings.train.reader_batches} replaces the layer that the rest of {init}"
            " listens to; add --refit-head STEPS or --set train.reader_batches=0"
        )
    source, clips = open_data(settings, world.device)
    trainer = Trainer(settings, source, clips, folder, world)
    resumed = trainer.resume() if resume else False
    if resumed and (init is not None or refit_steps) and world.leads and not as_json:
        click.echo(f"{folder}: goes on from step {trainer.step}; --init and --refit-head counted when it began")
    if not resumed and init is not None:
        trainer.start_from(init)
    if not resumed and settings.train.reader_batches:
        from whodrives.training.reader import fit_reader

        seen = fit_reader(trainer.model, source, settings.train)
        trainer.begin([*trainer.history, {"reader_batches": settings.train.reader_batches, "clips": seen}])
    if not resumed and refit_steps:
        from whodrives.training.refit import refit_head

        refit_head(trainer.model, trainer.prototypes, source, settings.train, refit_steps)
        seen = settings.train.refit_batches * settings.train.identities * settings.train.samples
        teachers = {"teachers": settings.train.refit_teachers} if settings.train.refit_teachers else {}
        trainer.begin([*trainer.history, {"refit_head_steps": refit_steps, "clips": seen, **teachers}])
    if not resumed:
        # At once: a run that is killed early must not go on from what an older one left in this folder.
        if world.leads:
            (folder / "best.safetensors").unlink(missing_ok=True)
        trainer.save()
    columns = (
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  val {task.fields[auc]:.3f}  {task.fields[rate]:.1f} clips/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=as_json or not world.leads) as bar:
        task = bar.add_task("train", total=settings.train.total_steps, loss=0.0, auc=0.0, rate=0.0)

        def show(step: Step) -> None:
            bar.update(task, completed=step.step, loss=step.loss, auc=step.auc, rate=step.clips_per_second)

        best = trainer.run(until, show)
    if not world.leads:
        return
    measure = "pair_auc" if settings.train.learns_drivers else "motion_r2"
    result = {
        "schema_version": 1,
        "folder": str(folder),
        "steps": trainer.step,
        f"best_val_{measure}": best,
        "stopped_early": trainer.finished and trainer.step < settings.train.total_steps,
    }
    if as_json:
        click.echo(json.dumps({**result, "resumed": resumed}))
    else:
        early = f", stopped early: no gain in {settings.train.patience} validations" if result["stopped_early"] else ""
        what = "AUC (other recording, other face)" if settings.train.learns_drivers else "share of explained motion"
        click.echo(f"{trainer.step} steps, best validation {what} {best:.3f}{early}; weights in {folder}")
