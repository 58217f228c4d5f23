"""`whodrives calibrate`: a finished training run becomes a weight file with thresholds."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("calibrate")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .safetensors.")
@click.option("--name", default=None, help="Name on the card (default: the file's stem).")
@click.option("--licence", default="unstated", show_default=True, help="Licence on the card.")
@click.option("--trained-on", default="", help="Description of the training data on the card.")
@click.option("--limits", default="", help="Limits on the card.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def calibrate(
    run: Path,
    out: Path,
    name: str | None,
    licence: str,
    trained_on: str,
    limits: str,
    checkpoint: str,
    as_json: bool,
) -> None:
    """Turn a checkpoint of the training folder RUN into a weight file.

    Thresholds at 1%, 5% and 10% false accepts come from verification trials of the validation people and faces.
    """
    from whodrives.training.release import release
    from whodrives.video.gate import MotionGate

    card = {"name": name or out.stem, "licence": licence, "trained_on": trained_on, "limits": limits}
    full = release(run, out, card, motion_gate=MotionGate().threshold, checkpoint=checkpoint)
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **full}))
        return
    click.echo(f"{out}: digest {full['digest']}, {full['steps']} steps, {full['clips_seen']} clips")
    for count, values in full["validation_auc"].items():
        click.echo(f"  {count} window(s): " + ", ".join(f"{key} AUC {value:.3f}" for key, value in values.items()))
    for far, limits_by_count in full["thresholds"].items():
        click.echo(
            f"  {float(far):.0%} false accepts: " + ", ".join(f"{n}: {t:+.4f}" for n, t in limits_by_count.items())
        )
