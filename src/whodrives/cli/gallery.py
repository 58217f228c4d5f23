"""`whodrives gallery`: look after the enrolled drivers."""

from __future__ import annotations

from pathlib import Path

import click

from whodrives.cli.options import gallery_option, json_option, open_gallery
from whodrives.cli.output import plain, print_json, print_lines, print_table


@click.group("gallery")
def gallery() -> None:
    """List, show, remove, purge, export and import enrolled drivers."""


@gallery.command("list")
@gallery_option
@json_option
def list_(gallery_path: Path | None, as_json: bool) -> int:
    """List the enrolled drivers."""
    opened = open_gallery(gallery_path)
    drivers = opened.list()
    if as_json:
        print_json({"gallery": plain(str(opened.path)), "drivers": [driver.to_dict() for driver in drivers]})
    elif not drivers:
        print_lines(f"{opened.path}: nobody is enrolled")
    else:
        rows = [
            (driver.name, f"{len(driver.samples)}", f"{driver.usable_windows}", driver.created, driver.model)
            for driver in drivers
        ]
        print_table(("driver", "videos", "windows", "enrolled", "model"), rows)
    return 0


@gallery.command("show")
@click.argument("name")
@gallery_option
@json_option
def show(name: str, gallery_path: Path | None, as_json: bool) -> int:
    """Show one driver and the enrolled videos."""
    driver = open_gallery(gallery_path).show(name)
    if as_json:
        print_json({"driver": driver.to_dict()})
    else:
        print_lines(
            f"{driver.name}: enrolled {driver.created}",
            f"weights {driver.model} ({driver.weights}), contract {driver.contract}",
        )
        rows = [
            (sample.source, sample.added, f"{sample.frames}", f"{sample.usable_windows} of {sample.n_windows}")
            for sample in driver.samples
        ]
        print_table(("video", "added", "frames", "usable windows"), rows)
    return 0


@gallery.command("remove")
@click.argument("name")
@gallery_option
@json_option
def remove(name: str, gallery_path: Path | None, as_json: bool) -> int:
    """Forget a driver for good: the template and all samples are deleted and overwritten."""
    open_gallery(gallery_path).remove(name)
    if as_json:
        print_json({"removed": name})
    else:
        print_lines(f"{name}: removed")
    return 0


@gallery.command("purge")
@gallery_option
@json_option
def purge(gallery_path: Path | None, as_json: bool) -> int:
    """Overwrite what deleted drivers left in the file; only needed when `remove` says so."""
    open_gallery(gallery_path).purge()
    if as_json:
        print_json({"purged": True})
    return 0


@gallery.command("export")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@gallery_option
@json_option
def export(path: Path, overwrite: bool, gallery_path: Path | None, as_json: bool) -> int:
    """Write the whole gallery to the JSON file PATH. It holds biometric data: keep it as safe as the gallery."""
    count = open_gallery(gallery_path).export(path, overwrite)
    if as_json:
        print_json({"out": plain(str(path)), "drivers": count})
    else:
        print_lines(f"{path}: {count} driver{'s' if count != 1 else ''}")
    return 0


@gallery.command("import")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace drivers of the same name.")
@gallery_option
@json_option
def import_(path: Path, replace: bool, gallery_path: Path | None, as_json: bool) -> int:
    """Add every driver of the exported gallery PATH, all or none."""
    from whodrives.verification.gallery_archive import read_archive

    read_archive(path)  # a bad archive must not leave an empty gallery behind
    count = open_gallery(gallery_path, create=True).import_(path, replace)
    if as_json:
        print_json({"imported": count})
    else:
        print_lines(f"{count} driver{'s' if count != 1 else ''} imported")
    return 0
