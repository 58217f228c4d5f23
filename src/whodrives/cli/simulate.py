"""`whodrives simulate`: a labelled data set of avatar videos."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from whodrives.avatars.dataset import Rendering, Result


class Splits(click.ParamType):
    """``train:40/40,val:10/12,test:20`` as ((name, drivers, targets), ...); without a slash as many faces."""

    name = "NAME:DRIVERS[/TARGETS],..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse; fails with a usage error."""
        if not isinstance(value, str):
            return value
        out = []
        for part in value.split(","):
            name, colon, numbers = part.strip().partition(":")
            drivers, slash, targets = numbers.partition("/")
            if not colon or not drivers.isdigit() or (slash and not targets.isdigit()):
                self.fail(f"{part!r}: write it as in train:40/40,val:10/12,test:20", param, ctx)
            out.append((name, int(drivers), int(targets) if slash else int(drivers)))
        return tuple(out)


@click.command("simulate")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--drivers", type=click.IntRange(1), default=4, show_default=True, help="How many drivers.")
@click.option("--clips", type=click.IntRange(1), default=4, show_default=True, help="Clips of each driver.")
@click.option("--cross-clips", type=click.IntRange(1), default=None, help="Of them on each other's face [all].")
@click.option("--targets", type=click.IntRange(1), default=4, show_default=True, help="How many faces.")
@click.option("--seed", type=int, default=0, show_default=True, help="Assignment of faces, and nuisance.")
@click.option("--own-face-seed", type=int, default=None, help="Another assignment of own faces, all else as it is.")
@click.option("--motion", type=click.Path(), help="Parquet, CSV, JSON or video, or a folder [built-in drivers].")
@click.option("--portraits", type=click.Path(file_okay=False), help="Folder of photos.")
@click.option("--faces", default="", metavar="KINDS", help="procedural, photos, cg, or a mix with commas.")
@click.option(
    "--generators", default="warp", show_default=True, help="With commas: warp, mesh, keypoint, external ones."
)
@click.option("--external", type=click.Path(dir_okay=False), help="TOML that declares external generators.")
@click.option("--seconds", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Length of a video.")
@click.option("--fps", default="25", show_default=True, help="Frames per second; 24-30: drawn for every video.")
@click.option("--size", type=click.IntRange(64), default=256, show_default=True, help="Side in pixels, even.")
@click.option("--codec", type=click.IntRange(0, 51), default=None, metavar="CRF", help="H.264 strength [drawn].")
@click.option("--motion-licence", default="", metavar="TERMS", help="Of --motion, for the manifest [not stated].")
@click.option("--portrait-licence", default="", metavar="TERMS", help="Of --portraits, for the manifest [not stated].")
@click.option("--split-name", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--splits", type=Splits(), default=(), help="Several at once: train:40/40,test:20/24 (drivers/targets).")
@click.option("--layout", type=click.Choice(["nvfair", "avaprintdb"]), default="nvfair", show_default=True)
@click.option("--neutral", is_flag=True, help="All motion replaced by the neutral, for audits.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--prune", is_flag=True, help="Remove videos of earlier settings from OUT.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def simulate(
    out: Path, split_name: str, generators: str, workers: int, prune: bool, as_json: bool, **rest: Any
) -> None:
    """Render drivers on faces into OUT: self- and cross-reenactments with labels (manifest.csv).

    Every clip on every face goes through all generators. What OUT holds already is kept, so interrupted and extended
    runs go on where they stopped. A split.csv beside --motion or --portraits decides who plays in which split. Without
    one, --splits keeps people and faces apart within one run, but another run may take the same ones.
    """
    from whodrives.avatars.dataset import make_dataset
    from whodrives.avatars.simulation import Simulation

    names = tuple(name.strip() for name in generators.split(",") if name.strip())
    settings = Simulation(split=split_name, generators=names, **rest)
    start = time.perf_counter()
    run = make_dataset(settings, out, workers=workers, prune=prune)
    _watch(run, as_json)
    _tell(run.result, out, time.perf_counter() - start, as_json)


def _watch(run: Rendering, quiet: bool) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("rendering", total=len(run))
        for _ in run:
            bar.advance(task)


def _tell(result: Result, out: Path, seconds: float, as_json: bool) -> None:
    from whodrives.cli.output import print_json, print_lines

    records = result.records
    own = sum(record.is_self for record in records)
    if as_json:
        print_json(
            {
                "out": str(out),
                "videos": len(records),
                "self": own,
                "cross": len(records) - own,
                "rendered": result.rendered,
                "kept": result.kept,
                "removed": result.removed,
                "earlier": len(result.earlier),
                "bytes": result.bytes,
                "frames_rendered": result.frames,
                "seconds": round(seconds, 3),
                "generators": dict(Counter(record.generator for record in records)),
                "splits": dict(Counter(record.split for record in records)),
            }
        )
        return
    speed = f", {result.frames / seconds:.0f} frames/s" if result.rendered else ""
    print_lines(
        f"{len(records)} videos ({own} self-, {len(records) - own} cross-reenactments, {result.bytes / 1e6:.1f} MB) in "
        f"{out}: {result.rendered} rendered, {result.kept} kept, in {seconds:.1f} s{speed}"
    )
    if result.removed:
        print_lines(f"{result.removed} videos of earlier settings removed")
    if result.earlier:
        print_lines(f"{len(result.earlier)} videos of earlier settings are not in the manifest; --prune removes them")
