"""`whodrives index`: template indexes, for `whodrives identify --index`."""

from __future__ import annotations

from pathlib import Path

import click

from whodrives.cli.options import gallery_option, json_option, model_option, open_gallery
from whodrives.cli.output import plain, print_json, print_lines, print_table
from whodrives.errors import InputError

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("index")
def index() -> None:
    """Build, show, check template indexes, and remove drivers from them: fast exact search among very many."""


@index.command("build")
@click.argument("out", type=_FILE)
@click.option(
    "--from",
    "sources",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="A file of `whodrives embed` (.npz, .parquet), instead of the gallery; may be repeated.",
)
@click.option(
    "--labels", "labels_path", type=_FILE, default=None, metavar="CSV", help="Columns name, group, scope (and path)."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing index; the old bytes are overwritten.")
@gallery_option
@model_option
@json_option
def build(
    out: Path,
    sources: tuple[Path, ...],
    labels_path: Path | None,
    overwrite: bool,
    gallery_path: Path | None,
    model: str,
    as_json: bool,
) -> int:
    """Write a template index OUT of everybody in the gallery, or of embedded videos.

    It holds biometric data: only its owner may read it.
    """
    from whodrives.verification.index_build import index_embeddings, index_gallery
    from whodrives.verification.index_labels import NO_LABELS, read_labels

    labels = NO_LABELS if labels_path is None else read_labels(labels_path)
    if sources:
        if gallery_path is not None:
            raise InputError("--from and --gallery exclude each other; an index has one source")
        report = index_embeddings(sources, out, labels, overwrite)
    else:
        from whodrives.training.weights import load_weights
        from whodrives.verification.fingerprinter import read_contract, read_model_info

        gallery = open_gallery(gallery_path)
        weights = load_weights(model)
        info = read_model_info(dict(weights.card), weights.digest)
        report = index_gallery(gallery, out, info, read_contract(weights.card), labels, overwrite)
    if as_json:
        print_json({"out": plain(str(out)), **vars(report)})
    else:
        print_lines(f"{out}: {report.templates:,} templates")
        if report.skipped:
            print_lines(f"{report.skipped:,} videos without a usable window left out")
        if report.unlabelled:
            print_lines(f"{report.unlabelled:,} names are not in {labels_path}: no group, no purpose allowed")
    return 0


@index.command("show")
@click.argument("path", type=_FILE)
@json_option
def show(path: Path, as_json: bool) -> int:
    """What a template index holds: how many templates, of which weights, groups and scopes."""
    from whodrives.verification.template_index import TemplateIndex

    opened = TemplateIndex.open(path)
    info = opened.info
    scopes = sorted({scope for one in info.scopes for scope in one})
    groups = [group for group in info.groups if group]
    if as_json:
        print_json(
            {
                "index": plain(str(path)),
                "templates": info.count,
                "dimension": info.dim,
                "weights": info.weights,
                "contract": info.contract,
                "model": info.model,
                "created": info.created,
                "source": info.source,
                "gallery": info.gallery and plain(info.gallery),
                "groups": {group: opened.count(groups=[group]) for group in groups},
                "scopes": {scope: opened.count(scopes=[scope]) for scope in scopes},
            }
        )
        return 0
    made = f"gallery {info.gallery}" if info.gallery else "embedded videos"
    print_lines(
        f"{path}: {info.count:,} templates of {info.dim} numbers, made {info.created} from {made}",
        f"weights {info.model} ({info.weights}), contract {info.contract}",
    )
    rows = [("group", group, f"{opened.count(groups=[group]):,}") for group in groups]
    rows += [("scope", scope, f"{opened.count(scopes=[scope]):,}") for scope in scopes]
    if rows:
        print_table(("label", "value", "templates"), rows)
    return 0


@index.command("remove")
@click.argument("path", type=_FILE)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def remove(path: Path, names: tuple[str, ...], as_json: bool) -> int:
    """Remove drivers from a template index for good: it is written again without them, the old bytes overwritten."""
    from whodrives.verification.index_build import remove_from_index

    left = remove_from_index(path, names)
    if as_json:
        print_json({"removed": [plain(name) for name in names], "templates": left})
    else:
        print_lines(f"{len(names)} removed, {left:,} templates left")
    return 0


@index.command("check")
@click.argument("path", type=_FILE)
@click.option("--gallery", "gallery_path", type=_FILE, default=None, metavar="PATH", help="Where its gallery lies now.")
@json_option
def check(path: Path, gallery_path: Path | None, as_json: bool) -> int:
    """Read a whole template index and compare it with its checksums, and with its gallery where there is one."""
    from whodrives.cli.output import print_warnings
    from whodrives.verification.index_source import check_source
    from whodrives.verification.template_index import TemplateIndex

    opened = TemplateIndex.open(path)
    opened.check()
    warnings = check_source(opened, gallery_path)
    if as_json:
        print_json({"index": plain(str(path)), "templates": len(opened), "warnings": [plain(one) for one in warnings]})
    else:
        print_lines(f"{path}: {len(opened):,} templates, whole")
        print_warnings(warnings)
    return 0
