"""`whodrives enroll`: several videos of a driver to one template."""

from __future__ import annotations

from pathlib import Path

import click

from whodrives.cli.options import (
    default_gallery,
    embedding_options,
    gallery_option,
    json_option,
    load_fingerprinter,
    open_gallery,
)
from whodrives.cli.output import embed_all, plain, print_json, print_lines, print_warnings


@click.command("enroll")
@click.argument("name")
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option("--add", is_flag=True, help="Add the videos to a driver who is enrolled already.")
@click.option("--replace", is_flag=True, help="Forget what is stored under the name first.")
@gallery_option
@embedding_options
@json_option
def enroll(
    name: str,
    videos: tuple[str, ...],
    add: bool,
    replace: bool,
    gallery_path: Path | None,
    model: str,
    crop: str | None,
    hop: int | None,
    device: str | None,
    as_json: bool,
) -> int:
    """Enroll the driver NAME from one or more VIDEOs, best several recordings of different days."""
    from whodrives.verification.gallery import require_usable
    from whodrives.verification.gallery_rows import normalise_name

    name = normalise_name(name)
    if not (add or replace) and (gallery_path or default_gallery()).is_file():
        # Asked before the videos are read, which takes a while; `Gallery.enroll` asks again.
        open_gallery(gallery_path).require_free(name)
    fingerprinter = load_fingerprinter(model, device)
    embedding = embed_all(fingerprinter, videos, crop, hop, as_json)
    # Only now: bad videos must not leave an empty gallery behind.
    require_usable(name, embedding)
    result = open_gallery(gallery_path, create=True).enroll(name, embedding, replace=replace, add=add)
    if as_json:
        print_json(
            {
                "driver": result.driver.to_dict(),
                "added": result.added,
                "replaced": result.replaced,
                "model": embedding.model.to_dict(),
                "warnings": [plain(warning) for warning in result.warnings],
            }
        )
    else:
        samples = len(result.driver.samples)
        print_lines(
            f"{result.driver.name}: {'replaced' if result.replaced else 'enrolled'}, {samples} "
            f"video{'s' if samples != 1 else ''}, {result.driver.usable_windows} windows in the template"
        )
        print_warnings(result.warnings)
    return 0
