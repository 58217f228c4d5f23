"""`whodrives prepare`: a data set decoded once into a packed frame store; with --check it is only looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whodrives.cli.options import json_option

if TYPE_CHECKING:
    from whodrives.data.check import Report, Tally
    from whodrives.data.listing import Listing

# What people are shown of a long list; --json has all of it.
SHOWN = 20
_file = click.Path(path_type=Path)


@click.command("prepare")
@click.argument("root", type=_file)
@click.argument("store", type=_file, required=False)
@click.option("--check", "only_check", is_flag=True, help="Validate and report; change nothing.")
@click.option(
    "--layout",
    type=click.Choice(["auto", "nvfair", "avaprintdb", "gagavatar", "folder", "manifest"]),
    default="auto",
    show_default=True,
)
@click.option("--splits", type=_file, metavar="FILE", help="Who is in which split: NVFAIR's list or a CSV.")
@click.option("--metadata", type=_file, metavar="FILE", help="Table about single files: licences, permitted use.")
@click.option("--frames", type=_file, metavar="DIR", help="PNG frames that NVFAIR's split lists name.")
@click.option(
    "--order",
    type=click.Choice(["auto", "target/driver", "driver/target"]),
    default="auto",
    show_default=True,
    help="Folders of GAGAvatar-Benchmark.",
)
@click.option("--cleared", type=click.Choice(["research", "publication"]), help="Only files cleared for this use.")
@click.option("--quick", is_flag=True, help="Names, tables and sizes; no file is opened.")
@click.option("--decode", is_flag=True, help="Decode every frame.")
@click.option("--codec", type=click.Choice(["delta", "raw"]), default="delta", show_default=True, help="Of STORE.")
@click.option("--fps", type=float, default=25.0, show_default=True, help="Frames/s of STORE.")
@click.option("--native", is_flag=True, help="Keep every source frame in STORE instead of resampling.")
@click.option("--folder-fps", type=float, help="Frames/s of folders of PNG frames, which state none.")
@click.option("--retry-failed", is_flag=True, help="Try files again that could not be decoded before.")
@click.option("--add", "keep_others", is_flag=True, help="Keep videos in STORE that ROOT does not list.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@json_option
def prepare(
    root: Path,
    store: Path | None,
    only_check: bool,
    cleared: str | None,
    quick: bool,
    decode: bool,
    codec: str,
    fps: float,
    native: bool,
    folder_fps: float | None,
    retry_failed: bool,
    keep_others: bool,
    workers: int,
    as_json: bool,
    **where: Any,
) -> int:
    """Decode the data set in ROOT into the packed frame store STORE, or --check it.

    ROOT is a folder in one of the layouts, or a CSV manifest. Started again, packing goes on where it stopped.
    Exit status: 0 fit for use, 1 problems found or files left out, 2 wrong call or nothing there.
    """
    if only_check == (store is not None):
        raise click.UsageError("give either STORE, to pack, or --check.")
    if quick and decode:
        raise click.UsageError("--quick opens no file and --decode reads all of each; give one of them.")
    listing = _list(root, cleared, strict=store is not None, **where)
    if store is None:
        return _check(listing, "sizes" if quick else "decode" if decode else "headers", workers, as_json)
    options = {
        "codec": codec,
        "folder_fps": folder_fps,
        "retry_failed": retry_failed,
        "keep_others": keep_others,
        "workers": workers,
    }
    return _pack(listing, root, store, None if native else fps, options, as_json)


def _list(root: Path, cleared: str | None, strict: bool, **where: Any) -> Listing:
    from dataclasses import replace

    from whodrives.data.layouts import list_dataset
    from whodrives.data.record import cleared_for

    listing = list_dataset(root, strict=strict, **where)
    if cleared is None:
        return listing
    records = cleared_for(listing.records, cleared)
    note = f"only the {len(records)} of {len(listing.records)} videos cleared for {cleared}"
    return replace(listing, records=records, notes=(*listing.notes, note))


def _check(listing: Listing, depth: str, workers: int, as_json: bool) -> int:
    from whodrives.cli.output import print_json, progress
    from whodrives.data.check import check

    with progress("checking", len(listing.records), as_json) as advance:
        report = check(listing, depth, workers, lambda count: [advance() for _ in range(count)])
    if as_json:
        print_json(report.as_dict())
    else:
        _tell(report)
    return 1 if report.problems else 0


def _pack(listing: Listing, root: Path, store: Path, fps: float | None, options: dict[str, Any], as_json: bool) -> int:
    from whodrives.cli.output import print_json, print_lines, progress
    from whodrives.data.store_pack import pack
    from whodrives.video.contract import PreprocessingContract

    base = root if root.is_dir() else root.parent
    with progress("packing", len(listing.records), as_json) as advance:
        result = pack(
            listing.records,
            store,
            contract=PreprocessingContract(fps=fps),
            root=base,
            progress=lambda _: advance(),
            **options,
        )
    if as_json:
        failed = [{"path": path, "reason": reason} for path, reason in result.failed]
        print_json({"store": str(store), **{**asdict(result), "failed": failed}})
    else:
        print_lines(
            f"{store}: {result.videos} videos, {result.frames} frames, {result.bytes / 1e6:.1f} MB; "
            f"{result.packed} packed now, {result.kept} kept"
        )
        if result.others:
            what = "kept" if options["keep_others"] else "no longer listed; --add keeps such ones"
            print_lines(f"{result.others} videos that ROOT does not list: {what}")
        for note in listing.notes:
            print_lines(f"note: {note}")
        for path, reason in result.failed[:SHOWN]:
            print_lines(f"left out: {path}: {reason}")
        if len(result.failed) > SHOWN:
            print_lines(f"... and {len(result.failed) - SHOWN} more; --json lists all")
    return 1 if result.failed else 0


def _tell(report: Report) -> None:
    from whodrives.cli.output import print_lines

    print_lines(f"{report.root}: layout {report.layout}, {report.total.videos} videos, {report.bytes / 1e6:.1f} MB")
    _counts("split", report.splits, "videos", "self", "cross", "identities", "recordings")
    _counts("generator", report.generators, "videos", "self", "cross", "drivers", "targets")
    for name, counts in {
        "frame rate": report.fps,
        "resolution": report.resolutions,
        "licence": report.licences,
        "research use": report.research_use,
        "publication use": report.publication_use,
    }.items():
        if counts and set(counts) != {"not stated"}:
            print_lines(f"{name}: {_few([f'{value} ({count})' for value, count in counts.items()])}")
    if report.short:
        print_lines(f"{report.short} videos have under 64 frames: one padded window each")
    for note in report.notes:
        print_lines(f"note: {note}")
    _problems(report)


def _counts(name: str, tallies: Mapping[str, Tally], *fields: str) -> None:
    from whodrives.cli.output import print_table

    rows = [(key, *(str(getattr(tally, field)) for field in fields)) for key, tally in tallies.items()]
    print_table((name, *fields), rows)


def _problems(report: Report) -> None:
    from whodrives.cli.output import print_lines

    lines = [*report.layout_problems, *(file.message for file in report.bad_files)]
    lines += [f"equal content: {_few(list(group))}" for group in report.duplicates or ()]
    lines += [
        f"{' and '.join(overlap.splits)} share {len(overlap.identities)} identities: {_few(list(overlap.identities))}"
        for overlap in report.overlaps
    ]
    for line in lines[:SHOWN]:
        print_lines(f"problem: {line}")
    if len(lines) > SHOWN:
        print_lines(f"... and {len(lines) - SHOWN} more; --json lists all")
    print_lines("no problems found" if not lines else f"{len(lines)} problems found")


def _few(words: list[str], limit: int = 6) -> str:
    return ", ".join(words[:limit]) + (f" and {len(words) - limit} more" if len(words) > limit else "")
