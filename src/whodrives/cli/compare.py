"""`whodrives compare`: the score of two videos."""

from __future__ import annotations

import click

from whodrives.cli.options import embedding_options, far_option, json_option, load_fingerprinter
from whodrives.cli.output import print_json, print_lines, print_warnings


@click.command("compare")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@far_option
@embedding_options
@json_option
def compare(
    a: str,
    b: str,
    far: float | None,
    model: str,
    crop: str | None,
    hop: int | None,
    device: str | None,
    as_json: bool,
) -> int:
    """Does one person drive both videos, A and B?"""
    from whodrives.verification.decision import check_far

    fingerprinter = load_fingerprinter(model, device)
    check_far(fingerprinter.model, far)
    result = fingerprinter.compare(a, b, far=far, crop=crop, hop=hop)
    if as_json:
        print_json(result.to_dict())
    else:
        words = {"accept": "same driver", "reject": "different drivers", "abstain": "no answer"}
        print_lines(f"{words[result.decision]}: {result.reason}")
        if result.decision == "abstain" and result.score is not None:
            print_lines(f"score {result.score:+.4f}")
        print_warnings(result.warnings)
    return 0 if result.decision == "accept" else 1
