"""`whodrives verify` and `whodrives identify`: a video against the gallery."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whodrives.cli.options import (
    embedding_options,
    far_option,
    gallery_option,
    json_option,
    load_fingerprinter,
    open_gallery,
)
from whodrives.cli.output import number, print_json, print_lines, print_table, print_warnings
from whodrives.errors import InputError

if TYPE_CHECKING:
    from whodrives.verification.decision import Identification


@click.command("verify")
@click.argument("video")
@click.option("--as", "claimed", required=True, metavar="NAME", help="The enrolled driver that the video claims.")
@far_option
@gallery_option
@embedding_options
@json_option
def verify(
    video: str,
    claimed: str,
    far: float | None,
    gallery_path: Path | None,
    model: str,
    crop: str | None,
    hop: int | None,
    device: str | None,
    as_json: bool,
) -> int:
    """Does the enrolled driver NAME drive VIDEO? Accepts, rejects or abstains, with the reason."""
    from whodrives.verification.decision import check_far

    gallery = open_gallery(gallery_path)
    gallery.show(claimed)  # an unknown name is told before the video is read
    fingerprinter = load_fingerprinter(model, device)
    check_far(fingerprinter.model, far)
    result = gallery.verify(fingerprinter.embed(video, crop=crop, hop=hop), claimed, far)
    if as_json:
        print_json(result.to_dict())
    else:
        print_lines(f"{result.decision}: {result.reason}")
        _print_windows(result.windows)
        print_warnings(result.warnings)
    return 0 if result.decision == "accept" else 1


@click.command("identify")
@click.argument("video")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Candidates to list.")
@click.option(
    "--index",
    "index_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    metavar="FILE",
    help="Search this template index (see `whodrives index`) instead of the gallery.",
)
@click.option("--group", "groups", multiple=True, metavar="G", help="With --index: only this group; may be repeated.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="S",
    help="With --index: only who allowed this purpose (each, if repeated).",
)
@click.option(
    "--fpir",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=None,
    help="With --index: share of strangers who may be taken for somebody [default: 0.05].",
)
@far_option
@gallery_option
@embedding_options
@json_option
def identify(
    video: str,
    top: int,
    index_path: Path | None,
    groups: tuple[str, ...],
    scopes: tuple[str, ...],
    fpir: float | None,
    far: float | None,
    gallery_path: Path | None,
    model: str,
    crop: str | None,
    hop: int | None,
    device: str | None,
    as_json: bool,
) -> int:
    """Which of the enrolled drivers drives VIDEO, if any of them?"""
    from whodrives.verification.index_decision import DEFAULT_FPIR, identify_in_index
    from whodrives.verification.index_source import check_source
    from whodrives.verification.template_index import TemplateIndex

    if index_path is not None:
        if far is not None:
            raise InputError("--far is for one comparison; with --index give --fpir, the rate for all of them")
        index = TemplateIndex.open(index_path)
        warnings = check_source(index, gallery_path)
        fingerprinter = load_fingerprinter(model, device)
        index.require_comparable(fingerprinter.model, fingerprinter.contract)  # told before the video is read
        probe = fingerprinter.embed(video, crop=crop, hop=hop)
        found = identify_in_index(index, probe, fpir or DEFAULT_FPIR, top, groups or None, scopes or None)
        return _print_identification(replace(found, warnings=(*found.warnings, *warnings)), as_json)
    if groups or scopes or fpir is not None:
        raise InputError("--group, --scope and --fpir are for a template index; give --index FILE")
    from whodrives.verification.decision import check_far

    gallery = open_gallery(gallery_path)
    fingerprinter = load_fingerprinter(model, device)
    check_far(fingerprinter.model, far)
    return _print_identification(gallery.identify(fingerprinter.embed(video, crop=crop, hop=hop), far, top), as_json)


def _print_identification(result: Identification, as_json: bool) -> int:
    if as_json:
        print_json(result.to_dict())
    else:
        answer = {"match": result.name or "", "nobody": "nobody of the enrolled", "abstain": "no answer"}
        print_lines(f"{answer[result.decision]}: {result.reason}")
        rows = [(f"{rank}", who.name, number(who.score)) for rank, who in enumerate(result.candidates, 1)]
        print_table(("rank", "driver", "score"), rows)
        if result.false_match_bound is not None:
            people = f"{result.gallery_size} enrolled"
            print_lines(f"{people}: a stranger is taken for somebody in up to {result.false_match_bound:.0%} of calls")
        print_warnings(result.warnings)
    return 0 if result.decision == "match" else 1


def _print_windows(windows: Any) -> None:
    if len(windows) < 2:
        return
    rows = []
    for window in windows:
        cells = (f"{window.seconds:.2f}", f"{window.valid}", f"{window.energy:.2f}", number(window.score))
        rows.append((*cells, window.problem or ""))
    print_table(("second", "frames", "motion", "score", "left out"), rows)
