"""`whodrives embed`: videos to a file of fingerprints, or to a folder of them (`cli.embed_folder`)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whodrives.cli.options import embedding_options, json_option, load_fingerprinter
from whodrives.cli.output import plain, print_error, print_json, print_lines, print_table, progress
from whodrives.errors import InputError, WhodrivesError

if TYPE_CHECKING:
    from whodrives.verification.embedding import Embedding

FORMATS = (".npz", ".parquet")
_file = click.Path(path_type=Path)


@click.command("embed")
@click.argument("videos", nargs=-1, metavar="[VIDEO...]")
@click.option("-o", "--out", required=True, metavar="OUT", help="File (.npz, .parquet) or folder (end it with /).")
@click.option("--manifest", type=_file, metavar="FILE", help="CSV or Parquet with a column path, for a folder OUT.")
@click.option("--root", type=_file, metavar="DIR", help="What paths in OUT are relative to [default: the manifest's].")
@click.option("--shard", metavar="I/N", help="Only share I of N of the files, for several machines and one folder OUT.")
@click.option("--workers", type=click.IntRange(1), help="Processes, or actors of Ray [default: what the machine has].")
@click.option("--batch-size", type=click.IntRange(1), help="Windows in one pass [default: 2, on a GPU 32].")
@click.option("--ray", "ray_address", metavar="ADDRESS", help="Work on a Ray cluster ('local': one of this machine).")
@embedding_options
@json_option
def embed(
    videos: tuple[str, ...],
    out: str,
    manifest: Path | None,
    root: Path | None,
    shard: str | None,
    workers: int | None,
    batch_size: int | None,
    ray_address: str | None,
    model: str,
    crop: str | None,
    hop: int | None,
    device: str | None,
    as_json: bool,
) -> int:
    """Write the fingerprint of every window of every VIDEO.

    To a file, the arrays (columns) with a row for each window: embeddings (W, 256) unit float32, paths, start_frames,
    and valid_frames (real frames of the window) and usable (long enough, moving). To a folder (-o OUT/), for any number
    of files and folders of videos or a manifest: Parquet parts, by several processes; started again, it goes on where
    it stopped. A bad file is reported, the others are still done (exit status 2).
    """
    if bool(videos) == (manifest is not None):
        raise click.UsageError("give either VIDEO... or --manifest.")
    if out.endswith(("/", os.sep)) or os.path.isdir(out):
        from whodrives.cli.embed_folder import embed_folder

        return embed_folder(
            videos, Path(out), manifest, root, shard, workers, batch_size, ray_address,
            model=model, crop=crop, hop=hop, device=device, as_json=as_json,
        )  # fmt: skip
    for given, name in (
        (manifest, "--manifest"),
        (root, "--root"),
        (shard, "--shard"),
        (workers, "--workers"),
        (batch_size, "--batch-size"),
        (ray_address, "--ray"),
    ):
        if given is not None:
            raise click.UsageError(f"{name} needs a folder to write into: end -o {out} with /.")
    return _to_file(videos, Path(out), model, crop, hop, device, as_json)


def _to_file(
    videos: tuple[str, ...], out: Path, model: str, crop: str | None, hop: int | None, device: str | None, as_json: bool
) -> int:
    if out.suffix.lower() not in FORMATS:
        raise InputError(f"{out}: unknown kind of file; end the name in {' or '.join(FORMATS)}, or / for a folder")
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.absolute().parent}; make it first")
    fingerprinter = load_fingerprinter(model, device)
    done: list[Embedding] = []
    failed: list[tuple[str, WhodrivesError]] = []
    with progress("embedding", len(videos), as_json) as advance:
        for video in videos:
            try:
                done.append(fingerprinter.embed(video, crop=crop, hop=hop))
            except WhodrivesError as error:
                failed.append((video, error))
            advance()
    if done:
        write_embeddings(out, done)
    if as_json:
        print_json(
            {
                "out": plain(str(out)) if done else None,
                "model": fingerprinter.model.to_dict(),
                "contract": {**fingerprinter.contract.to_dict(), "digest": fingerprinter.contract.digest()},
                "videos": [_summary(part) for part in done],
                "errors": [
                    {"path": plain(path), "type": type(problem).__name__, "message": plain(str(problem))}
                    for path, problem in failed
                ],
            }
        )
    else:
        rows = []
        for part in done:
            info = part.videos[0]
            usable = f"{int(part.usable.sum())} of {len(part.windows)}"
            rows.append((info.path, f"{info.n_frames}", f"{info.source_fps:.2f}", usable, "; ".join(info.warnings)))
        if rows:
            print_table(("video", "frames", "source fps", "usable windows", "warnings"), rows)
            print_lines(f"{sum(len(part.windows) for part in done)} fingerprints in {out}")
        for _, problem in failed:
            print_error(type(problem).__name__, str(problem), as_json=False)
    return 2 if failed else 0


def write_embeddings(out: Path, parts: list[Embedding]) -> None:
    """Write the fingerprints of several videos, in one step, so that no half of a file is ever seen."""
    import numpy as np

    joined = type(parts[0]).join(parts)
    columns = {
        "paths": np.array([joined.videos[window.video].path for window in joined.windows], dtype=np.str_),
        "start_frames": np.array([window.start for window in joined.windows], dtype=np.int64),
        "valid_frames": np.array([window.valid for window in joined.windows], dtype=np.int64),
        "usable": joined.usable,
    }
    origin = {"weights": joined.model.digest, "contract": joined.contract.digest()}
    handle, temporary = tempfile.mkstemp(dir=out.absolute().parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            if out.suffix.lower() == ".npz":
                np.savez(file, embeddings=joined.vectors, **columns, **origin)  # type: ignore[arg-type]
            else:
                import pyarrow as pa
                from pyarrow import parquet

                flat = pa.array(joined.vectors.ravel(), type=pa.float32())
                arrays = {"embeddings": pa.FixedSizeListArray.from_arrays(flat, joined.vectors.shape[1])}
                arrays["paths"] = pa.array([plain(path) for path in columns["paths"]], type=pa.string())
                arrays.update({name: pa.array(values) for name, values in columns.items() if name != "paths"})
                parquet.write_table(pa.table(arrays).replace_schema_metadata(origin), file)
        # mkstemp files are private; this one is an ordinary output.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, out)
    except BaseException:
        os.unlink(temporary)
        raise


def _summary(part: Embedding) -> dict[str, object]:
    info = part.videos[0]
    return {
        "path": plain(info.path),
        "n_frames": info.n_frames,
        "fps": info.fps,
        "source_fps": info.source_fps,
        "repeated": info.repeated,
        "dropped": info.dropped,
        "scene_cuts": list(info.scene_cuts),
        "crop": list(info.crop),
        "windows": len(part.windows),
        "usable_windows": int(part.usable.sum()),
        "warnings": list(info.warnings),
    }
