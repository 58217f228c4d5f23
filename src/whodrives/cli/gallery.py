"""`whodrives gallery`: look after the enrolled drivers."""

from __future__ import annotations

from pathlib import Path

import click

from whodrives.cli.options import gallery_option, json_option, model_option, open_gallery
from whodrives.cli.output import plain, print_json, print_lines, print_table


@click.group("gallery")
def gallery() -> None:
    """List, show, remove, purge, export and import enrolled drivers; move them to new weights."""


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
    templates = open_gallery(gallery_path).templates(name)
    if as_json:
        print_json({"driver": templates[0].to_dict(), "older": [driver.to_dict() for driver in templates[1:]]})
        return 0
    for driver in templates:
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


@gallery.command("status")
@gallery_option
@model_option
@json_option
def status(gallery_path: Path | None, model: str, as_json: bool) -> int:
    """Who can be verified with the weights MODEL, and who must be enrolled again first.

    To move to new weights: enroll everybody with `--add --model NEW`; meanwhile the old templates serve the old
    weights. Then `gallery forget` these. Exit status 1 while somebody is missing.
    """
    from whodrives.training.onnx_weights import open_weights
    from whodrives.verification.fingerprinter import read_contract, read_model_info

    weights = open_weights(model)
    info = read_model_info(dict(weights.card), weights.digest)
    found = open_gallery(gallery_path).status(info, read_contract(weights.card))
    if as_json:
        print_json(found.to_dict())
    else:
        rows = [(group.model, group.weights, group.contract, f"{group.templates}") for group in found.groups]
        print_table(("weights", "digest", "contract", "templates"), rows)
        print_lines(f"{info}: {len(found.ready)} ready, {len(found.outdated)} to be enrolled again")
        print_lines(*(f"  {name}" for name in found.outdated))
    return 1 if found.outdated else 0


@gallery.command("forget")
@click.argument("weights")
@gallery_option
@json_option
def forget(weights: str, gallery_path: Path | None, as_json: bool) -> int:
    """Delete every template of the weight file with the digest WEIGHTS, for good.

    Who has no template of other weights is then no longer enrolled.
    """
    count = open_gallery(gallery_path).forget_weights(weights)
    if as_json:
        print_json({"forgotten": count})
    else:
        print_lines(f"{count} template{'s' if count != 1 else ''} of weights {weights} deleted")
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
