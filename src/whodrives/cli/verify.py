"""`whodrives verify` and `whodrives identify`: a video against the gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from whodrives.cli.options import embedding_options, far_option, gallery_option, json_option, open_gallery
from whodrives.cli.output import number, print_json, print_lines, print_table, print_warnings


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
    from whodrives.verification.fingerprinter import Fingerprinter

    gallery = open_gallery(gallery_path)
    gallery.show(claimed)  # an unknown name is told before the video is read
    fingerprinter = Fingerprinter.load(model, device)
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
@far_option
@gallery_option
@embedding_options
@json_option
def identify(
    video: str,
    top: int,
    far: float | None,
    gallery_path: Path | None,
    model: str,
    crop: str | None,
    hop: int | None,
    device: str | None,
    as_json: bool,
) -> int:
    """Which of the enrolled drivers drives VIDEO, if any of them?"""
    from whodrives.verification.decision import check_far
    from whodrives.verification.fingerprinter import Fingerprinter

    gallery = open_gallery(gallery_path)
    fingerprinter = Fingerprinter.load(model, device)
    check_far(fingerprinter.model, far)
    result = gallery.identify(fingerprinter.embed(video, crop=crop, hop=hop), far, top)
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
