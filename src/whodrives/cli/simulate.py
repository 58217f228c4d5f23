"""`whodrives simulate`: a labelled data set of avatar videos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

# Built-in people and faces of each split never meet those of another, nor the training's (which count up from 0).
SEEDS = {"train": 2_000_000, "val": 3_000_000, "test": 4_000_000}
SETTINGS = "simulate.json"
BUILTIN_RECORDINGS, MIN_SECONDS = 4, 24.0


@click.command("simulate")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--drivers", type=click.IntRange(1), default=4, show_default=True, help="How many drivers.")
@click.option("--clips", type=click.IntRange(1), default=4, show_default=True, help="Clips of each driver.")
@click.option("--cross-clips", type=click.IntRange(1), default=None, help="Of them on each other's face [all].")
@click.option("--targets", type=click.IntRange(1), default=4, show_default=True, help="How many faces.")
@click.option("--seed", type=int, default=0, show_default=True, help="Assignment of faces, and nuisance.")
@click.option("--motion", type=click.Path(dir_okay=False, path_type=Path), help="Parquet tracks [built-in drivers].")
@click.option("--portraits", type=click.Path(file_okay=False, path_type=Path), help="Photos [procedural faces].")
@click.option("--generators", default="warp", show_default=True, help="Comma-separated; so far only warp.")
@click.option("--seconds", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Length of a video.")
@click.option("--fps", type=click.FloatRange(12, 120), default=25.0, show_default=True, help="Frames per second.")
@click.option("--size", type=click.IntRange(64), default=256, show_default=True, help="Side in pixels, even.")
@click.option("--split-name", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--layout", type=click.Choice(["nvfair"]), default="nvfair", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def simulate(
    out: Path,
    drivers: int,
    clips: int,
    cross_clips: int | None,
    targets: int,
    seed: int,
    motion: Path | None,
    portraits: Path | None,
    generators: str,
    seconds: float,
    fps: float,
    size: int,
    split_name: str,
    layout: str,
    as_json: bool,
) -> None:
    """Render drivers on faces into OUT: self- and cross-reenactments with labels (manifest.csv).

    Interrupted runs go on where they stopped; other settings need another folder. A table or a folder of portraits with
    a split.csv gives only people and faces of --split-name.
    """
    from rich.console import Console
    from rich.progress import track

    from whodrives.avatars.builtin import BuiltinDriver
    from whodrives.avatars.dataset import GENERATOR, plan_dataset, render_dataset
    from whodrives.avatars.faces import load_portraits
    from whodrives.avatars.procedural import procedural_face
    from whodrives.avatars.tables import load_table
    from whodrives.cli.output import print_json
    from whodrives.errors import InputError

    if generators != GENERATOR:
        raise InputError(f"--generators {generators}: this version has only {GENERATOR!r}")
    if size % 2:
        raise InputError(f"--size {size}: H.264 needs an even side; take {size + 1}")
    base = SEEDS[split_name]
    if motion is None:
        tracks = [
            replace(
                BuiltinDriver(base + driver).recording(
                    content_seed=(base + driver) * BUILTIN_RECORDINGS + take,
                    session_seed=take // 2,
                    seconds=max(MIN_SECONDS, 2 * seconds),
                    fps=fps,
                ),
                recording=f"builtin{base + driver}-{take}",
            )
            for driver in range(drivers)
            for take in range(BUILTIN_RECORDINGS)
        ]
    else:
        everyone = load_table(motion, split=split_name)
        people = sorted({one.driver for one in everyone})
        if len(people) < drivers:
            raise InputError(f"{motion}: {drivers} drivers asked, split {split_name} has {len(people)}")
        tracks = [one for one in everyone if one.driver in people[:drivers]]
    if portraits is None:
        faces = [procedural_face(base + number) for number in range(targets)]
    else:
        faces = load_portraits(portraits, split=split_name)
        if len(faces) < targets:
            raise InputError(f"{portraits}: {targets} targets asked, split {split_name} has {len(faces)}")
    plan = plan_dataset(
        tracks, faces[:targets], clips=clips, cross_clips=cross_clips, seconds=seconds, fps=fps, seed=seed,
        split=split_name,
    )  # fmt: skip
    settings = {
        "drivers": drivers, "clips": clips, "cross_clips": cross_clips, "targets": targets, "seed": seed,
        "motion": None if motion is None else motion.name, "portraits": None if portraits is None else portraits.name,
        "generators": generators, "seconds": seconds, "fps": fps, "size": size, "split": split_name,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    note = out / SETTINGS
    if note.is_file() and json.loads(note.read_text()) != settings:
        raise InputError(f"{out}: holds videos of other settings ({SETTINGS}); choose an empty folder")
    note.write_text(json.dumps(settings, indent=1) + "\n")
    console = Console(quiet=as_json)
    records = list(track(render_dataset(plan, out, size=size, fps=fps), "rendering", total=len(plan), console=console))
    own = sum(record.is_self for record in records)
    if as_json:
        print_json({"out": str(out), "videos": len(records), "self": own, "cross": len(records) - own})
    else:
        console.print(f"{len(records)} videos ({own} self-, {len(records) - own} cross-reenactments) in {out}")
