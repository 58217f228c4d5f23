"""`whodrives train`: run an experiment file."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@click.command("train")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Run folder (default: out/NAME).")
@click.option("--resume/--fresh", default=True, help="Go on from the folder's last checkpoint (default).")
@click.option("--init", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Checkpoint to start from.")
@click.option("--refit-head", type=click.IntRange(0), default=0, help="First refit the MLP alone, this many steps.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a config value.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default=None, help="Default: cuda when there is one.")
@click.option("--until", type=int, default=None, help="Stop at this step (the schedule stays as it is).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end instead of a progress bar.")
def train(
    config: Path,
    out: Path | None,
    resume: bool,
    init: Path | None,
    refit_head: int,
    overrides: tuple[str, ...],
    device: str | None,
    until: int | None,
    as_json: bool,
) -> None:
    """Train a network from the experiment file CONFIG; clips are rendered on the fly from motion tracks."""
    import torch

    from whodrives.training.config import load_config
    from whodrives.training.source import AvatarSource, evaluation_clips
    from whodrives.training.trainer import Progress as Step
    from whodrives.training.trainer import Trainer

    settings = load_config(config, overrides)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    folder = out or Path("out") / config.stem
    if settings.train.threads:
        torch.set_num_threads(settings.train.threads)
    source = AvatarSource(settings.data, settings.train.seed, device)
    trainer = Trainer(settings, source, evaluation_clips(settings.data, "val"), folder, device)
    resumed = trainer.resume() if resume else False
    if not resumed and init is not None:
        trainer.start_from(init)
    if not resumed and refit_head:
        from whodrives.training.refit import refit_head as refit

        refit(trainer.model, trainer.prototypes, source, settings.train, refit_head)
        clips = settings.train.refit_batches * settings.train.identities * settings.train.samples
        trainer.history.append({"refit_head_steps": refit_head, "clips": clips})
        trainer.save()
    columns = (
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  val AUC {task.fields[auc]:.3f}  {task.fields[rate]:.1f} clips/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=as_json) as bar:
        task = bar.add_task("train", total=settings.train.total_steps, loss=0.0, auc=0.0, rate=0.0)

        def show(step: Step) -> None:
            bar.update(task, completed=step.step, loss=step.loss, auc=step.auc, rate=step.clips_per_second)

        best = trainer.run(until, show)
    result = {"schema_version": 1, "folder": str(folder), "steps": trainer.step, "best_val_pair_auc": best}
    if as_json:
        click.echo(json.dumps({**result, "resumed": resumed}))
    else:
        click.echo(
            f"{trainer.step} steps, best validation AUC (other recording, other face) {best:.3f}; weights in {folder}"
        )
