"""`whodrives calibrate`: a finished training run becomes a weight file with thresholds."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import click

from whodrives.errors import InputError

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_WORDS = ("name", "version", "licence", "trained_on", "limits")


def _read_card(path: Path) -> dict[str, str]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not a readable TOML file ({error})") from error
    wrong = [key for key, value in values.items() if key not in _WORDS or not isinstance(value, str)]
    if wrong:
        raise InputError(f"{path}: {wrong[0]!r} is unknown or no text; give texts named {', '.join(_WORDS)}")
    return values


@click.command("calibrate")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .safetensors.")
@click.option(
    "--card", "card_path", type=_file, metavar="TOML", help="Card in words: name, version, licence, trained_on, limits."
)
@click.option("--name", default=None, help="Name on the card (default: the file's stem).")
@click.option("--licence", default=None, help="Licence on the card (default: unstated).")
@click.option("--trained-on", default=None, help="Description of the training data on the card.")
@click.option("--limits", default=None, help="Limits on the card.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def calibrate(
    run: Path,
    out: Path,
    card_path: Path | None,
    name: str | None,
    licence: str | None,
    trained_on: str | None,
    limits: str | None,
    checkpoint: str,
    as_json: bool,
) -> None:
    """Turn a checkpoint of the training folder RUN into a weight file.

    Thresholds at 1%, 5% and 10% false accepts come from verification trials of the validation people and faces.
    """
    from whodrives.training.release import release
    from whodrives.video.gate import MotionGate

    card = {"name": out.stem, "licence": "unstated", "trained_on": "", "limits": ""}
    card |= _read_card(card_path) if card_path else {}
    said = {"name": name, "licence": licence, "trained_on": trained_on, "limits": limits}
    card |= {key: value for key, value in said.items() if value is not None}
    full = release(run, out, card, motion_gate=MotionGate().threshold, checkpoint=checkpoint)
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **full}))
        return
    # Some weights are fitted before the first step, and make none.
    steps = f"{full['steps']} steps, " if full["steps"] else ""
    click.echo(f"{out}: digest {full['digest']}, {steps}{full['clips_seen']} clips")
    for count, values in full["validation_auc"].items():
        click.echo(f"  {count} window(s): " + ", ".join(f"{key} AUC {value:.3f}" for key, value in values.items()))
    for far, limits_by_count in full["thresholds"].items():
        click.echo(
            f"  {float(far):.0%} false accepts: " + ", ".join(f"{n}: {t:+.4f}" for n, t in limits_by_count.items())
        )
