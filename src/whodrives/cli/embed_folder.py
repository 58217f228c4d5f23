"""`whodrives embed -o FOLDER/`: any number of videos to Parquet parts, on one machine or several."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from whodrives.cli.options import load_fingerprinter
from whodrives.cli.output import plain, print_json, print_lines, progress_of

# What people are shown of the files that failed; the list has all of them.
SHOWN = 20


def embed_folder(
    videos: tuple[str, ...],
    out: Path,
    manifest: Path | None,
    root: Path | None,
    shard: str | None,
    workers: int | None,
    batch_size: int | None,
    ray_address: str | None,
    *,
    model: str,
    crop: str | None,
    hop: int | None,
    device: str | None,
    as_json: bool,
) -> int:
    """See `whodrives.verification.batch`. Returns the exit status: 2 when a file failed."""
    from whodrives.verification.batch.inputs import Shard, read_manifest, read_paths
    from whodrives.verification.batch.run import (
        BatchProgress,
        embed_files,
        expect_processes,
        in_processes,
        usual_settings,
    )
    from whodrives.verification.fingerprinter import Fingerprinter

    part = Shard() if shard is None else Shard.parse(shard)
    base = None if root is None else str(root)
    inputs = read_paths(videos, base, part) if manifest is None else read_manifest(manifest, base, part)
    if ray_address is None and workers != 1:
        expect_processes()
    fingerprinter = load_fingerprinter(model, device)
    settings, count = usual_settings(fingerprinter, hop, crop, workers, batch_size)
    load = partial(Fingerprinter.load, model, device)
    engine = None
    if ray_address is not None:
        from whodrives.verification.batch.on_ray import on_ray

        engine = on_ray(load, settings, ray_address, workers, fingerprinter.device.type != "cpu")
    elif count > 1:
        engine = in_processes(load, settings, count)
    with progress_of("embedding", as_json) as told:

        def show(state: BatchProgress) -> None:
            told(state.done, state.total)

        result = embed_files(fingerprinter, inputs, out, settings, shard=part, engine=engine, progress=show)
    if as_json:
        contract = fingerprinter.contract
        print_json(
            {
                "out": plain(str(out)),
                "model": fingerprinter.model.to_dict(),
                "contract": {**contract.to_dict(), "digest": contract.digest()},
                "hop": settings.hop,
                "shard": f"{part.number}/{part.count}",
                "files": len(inputs),
                "done": result.done,
                "kept": result.kept,
                "windows": result.windows,
                "failed": result.n_failed,
                "failed_kinds": result.kinds,
                "failed_list": None if result.failed_list is None else plain(str(result.failed_list)),
                "errors": [
                    {"path": plain(one.path), "type": one.kind, "message": plain(one.reason)} for one in result.failed
                ],
            }
        )
        return 2 if result.n_failed else 0
    before = f", {result.kept} were there before" if result.kept else ""
    print_lines(f"{out}: {result.done} files, {result.windows} fingerprints{before}")
    for one in result.failed[:SHOWN]:
        click.echo(plain(f"left out: {one.kind}: {one.reason}"), err=True)
    if result.n_failed:
        click.echo(plain(f"{result.n_failed} files left out, all listed in {result.failed_list}"), err=True)
    return 2 if result.n_failed else 0
