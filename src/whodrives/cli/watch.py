"""`whodrives watch`: a file, stream or camera against one enrolled driver, while it runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from whodrives.cli.options import gallery_option, load_fingerprinter, model_option, open_gallery
from whodrives.cli.output import number, print_lines, print_warnings

LOOKS_BEFORE_WARNING = 16


@click.command("watch")
@click.argument("source")
@click.option("--as", "claimed", required=True, metavar="NAME", help="The enrolled driver that the call claims.")
@click.option(
    "--far",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Nominal rate of calls in which an impostor is ever accepted.",
)
@click.option(
    "--frr",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Nominal rate of calls in which the driver is ever rejected.",
)
@click.option(
    "--change-hours",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Mean hours of a call until a change of driver is reported that did not happen, at least.",
)
@click.option("--hop", type=click.IntRange(1), default=8, show_default=True, help="Frames between looks.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=None, help="Stop after so much stream.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="Seconds to try again for after a live stream broke.",
)
@click.option("--crop", default=None, metavar="X,Y,W,H", help="Pixels of the upright frame; or face, face:2.")
@click.option("--device", default=None, metavar="DEVICE", help="cpu, cuda ... (default: a GPU when there is one).")
@gallery_option
@model_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, one every look.")
def watch(
    source: str,
    claimed: str,
    far: float,
    frr: float,
    change_hours: float,
    hop: int,
    seconds: float | None,
    patience: float,
    crop: str | None,
    device: str | None,
    gallery_path: Path | None,
    model: str,
    as_json: bool,
) -> int:
    """Does the enrolled driver NAME drive SOURCE, and does it stay that driver?

    SOURCE is a file, a stream (rtsp://, http://, ...) or a camera (camera:0). Memory does not grow, and every HOP
    frames the decision is looked at again: accept, reject or watching. Exit status at the end: 0 accepted, 1 not.
    """
    from whodrives.cli.output import SCHEMA_VERSION
    from whodrives.verification.fingerprinter import resolve_crop
    from whodrives.verification.sequential import SequentialSettings
    from whodrives.verification.watch import Watch, open_source
    from whodrives.video.domain import far_warning
    from whodrives.video.live import is_live

    settings = SequentialSettings(far, frr, change_hours)
    gallery = open_gallery(gallery_path)
    gallery.show(claimed)  # an unknown name is told before anything is opened
    fingerprinter = load_fingerprinter(model, device)
    template = gallery.template_for(fingerprinter.blank(), claimed)
    if not is_live(source):
        crop, about = resolve_crop(source, crop)
        print_warnings(about)
    decision, looks, told_far = "watching", 0, False
    distances: list[float] = []
    with open_source(source, patience) as opened:
        watching = Watch(opened, fingerprinter, template, hop=hop, settings=settings, crop=crop)
        if not watching.test.can_tell_changes:
            print_warnings(["these weights are too weak to report a change of driver at so low a rate of false alarms"])
        for update in watching:
            looks += 1
            if update.distance is not None and update.problem is None:
                distances = [*distances[1 - LOOKS_BEFORE_WARNING :], update.distance]
            # At the latest beside the first decision.
            due = len(distances) == LOOKS_BEFORE_WARNING or update.decision != "watching"
            if not told_far and due and (unlike := far_warning(distances)):
                print_warnings([unlike])
                told_far = True
            if as_json:
                line = {"schema_version": SCHEMA_VERSION, "claimed": claimed, **update.to_dict()}
                click.echo(json.dumps(line, allow_nan=False))
            elif update.decision != decision or update.changed_at is not None:
                told = (
                    f"{update.seconds:8.2f} s  {update.decision:8}  llr {update.llr:+.2f}  mean {number(update.mean)}"
                )
                if update.changed_at is not None:
                    told += f"  the driver changed at {update.changed_at:.2f} s"
                print_lines(told)
            decision = update.decision
            if seconds is not None and update.seconds >= seconds:
                break
    if not told_far and (unlike := far_warning(distances)):
        print_warnings([unlike])
    if not looks:
        print_warnings(
            [f"{opened.path}: ended before a whole window of {fingerprinter.model.clip_length} frames of one shot"]
        )
    if not as_json:
        print_lines(f"{decision} after {looks} looks")
    return 0 if decision == "accept" else 1
