"""`whodrives evaluate`: one model on one labelled data set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whodrives.cli.options import json_option

if TYPE_CHECKING:
    from whodrives.data.record import Record
    from whodrives.evaluation.embed_records import EmbeddedVideos
    from whodrives.evaluation.listed import ListedPairs
    from whodrives.evaluation.readers import Reader
    from whodrives.evaluation.report.result import EvaluationResult
    from whodrives.training.subject import Subject

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("evaluate")
@click.argument("model")
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--split", default=None, help="Only this split [test where there is one, else all].")
@click.option("--protocol", default=None, help="The main one [per_target_mean]; see docs/evaluation.md.")
@click.option("--pairs", type=_FILE, help="AVAPrintDB list of trials, CSV enrolment_sample,test_sample,label.")
@click.option(
    "--generators", default="", help="Only these, with commas. One, with --pairs: the list as rendered by it."
)
@click.option("--negatives", type=click.Choice(["any", "same_source"]), default="any", show_default=True)
@click.option("--include-originals", is_flag=True, help="Footage that no generator touched takes part.")
@click.option("--exclude-same-recording/--allow-same-recording", default=None, help="Genuine pairs cross recordings.")
@click.option("--faces", type=click.Choice(["any", "different", "same"]), default="any", help="Of protocol recordings.")
@click.option("--content", type=_FILE, help="CSV recording,content: only pairs of equal content.")
@click.option("--attributes", type=_FILE, help="CSV driver,ATTRIBUTE,...: a table of subgroups for each.")
@click.option("--frozen", type=click.Path(exists=True, path_type=Path), help="The same videos made with --neutral.")
@click.option("--controls/--no-controls", default=True, help="Static frame, shuffled, reversed, untrained network.")
@click.option("--mask-padding", is_flag=True, help="Leave repeated frames of short videos out (the paper does not).")
@click.option("--windows", type=click.IntRange(1), default=1, show_default=True, help="Mean of so many clips a video.")
@click.option("--training-auc/--no-training-auc", default=True, help="Of a checkpoint, on its training drivers.")
@click.option("--layout", default="auto", show_default=True, help="As for prepare.")
@click.option("--splits", type=_FILE, help="As for prepare.")
@click.option("--metadata", type=_FILE, help="As for prepare.")
@click.option("--frames", type=click.Path(exists=True, file_okay=False, path_type=Path), help="As for prepare.")
@click.option("--folder-fps", type=float, default=None, help="Frames/s of folders of PNG frames.")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the report.")
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Gets a line for this evaluation.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of shuffling.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads that decode.")
@click.option("--device", default=None, help="cpu, cuda ... (default: a GPU when there is one).")
@json_option
def evaluate(
    model: str,
    data: Path,
    split: str | None,
    protocol: str | None,
    pairs: Path | None,
    generators: str,
    negatives: str,
    include_originals: bool,
    exclude_same_recording: bool | None,
    faces: str,
    content: Path | None,
    attributes: Path | None,
    frozen: Path | None,
    controls: bool,
    mask_padding: bool,
    windows: int,
    training_auc: bool,
    folder_fps: float | None,
    out: Path | None,
    ledger: Path | None,
    seed: int,
    workers: int,
    device: str | None,
    as_json: bool,
    **where: Any,
) -> int:
    """Measure MODEL on the labelled videos of DATA.

    MODEL is a weight file, 'bundled', a preset (untrained) or a training checkpoint. DATA is a data set in one of the
    layouts, a CSV manifest, or a packed frame store. The paper's protocol and its Eq. 1 always stand side by side.
    Exit status: 0 measured, 1 some videos could not be read (they are listed), 2 wrong call.
    """
    import torch

    from whodrives.cli.output import progress
    from whodrives.errors import InputError
    from whodrives.evaluation.evaluate import EvaluationSettings
    from whodrives.evaluation.labels import read_content
    from whodrives.evaluation.listed import LISTED
    from whodrives.evaluation.trials import ProtocolOptions
    from whodrives.reproduction.choose import choose_videos, read_attributes
    from whodrives.reproduction.judge import CONTROLS, judge
    from whodrives.training.subject import load_subject
    from whodrives.training.training_auc import training_auc as measure

    if pairs is not None and protocol is not None:
        raise InputError(f"--pairs is a protocol of its own: leave out --protocol {protocol}, or --pairs")
    protocol = protocol or "per_target_mean"
    settings = EvaluationSettings(
        protocol,
        ProtocolOptions(negatives, "matched" if content else "any", exclude_same_recording, faces),
        seed,
        None,
        read_attributes(attributes) if attributes else {},
        include_originals=include_originals,
    )
    if frozen is not None and frozen.resolve() == data.resolve():
        raise InputError(
            f"--frozen {frozen}: these are the videos themselves; make their twins with simulate --neutral"
        )
    subject = load_subject(model)
    wanted = tuple(name.strip() for name in generators.split(",") if name.strip())
    options: dict[str, Any] = {
        "contract": subject.contract,
        "length": subject.length,
        "windows": windows,
        "split": split,
        "generators": wanted,
        "include_originals": include_originals or protocol == "real_to_avatar",
        "folder_fps": folder_fps,
    }
    chosen = choose_videos(data, **options, **where)
    twins = choose_videos(frozen, **options).reader if frozen is not None else None
    known = subject.training_auc
    if known is None and training_auc and subject.config is not None:
        known = measure(Path(model))
    listed = _listed(pairs, chosen.reader.records, wanted) if pairs is not None else None
    settings = replace(settings, training_auc=known)
    if listed is not None:
        settings = replace(settings, protocol=LISTED, pairs=listed)
    total = len(chosen.reader.records) + (len(twins.records) if twins is not None else 0)
    with progress("embedding", total, as_json) as advance:
        result, videos = judge(
            subject,
            chosen.reader,
            settings,
            data=chosen.description,
            data_kind=chosen.kind,
            command="whodrives " + " ".join(sys.argv[1:]),
            split=chosen.split,
            root=data,
            frozen=twins,
            controls=CONTROLS if controls else (),
            content=read_content(content) if content else None,
            mask_padding=mask_padding,
            restrictions={"generators": ", ".join(wanted) or "all"},
            workers=workers,
            device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
            advance=advance,
        )
    if ledger is not None:
        from whodrives.reproduction.provenance import append_ledger

        append_ledger(ledger, result)
    written = {}
    if out is not None:
        from whodrives.evaluation.report import write_report

        written = {name: str(path) for name, path in write_report(result, out).items()}
    _tell(result, subject, chosen.reader, videos, written, as_json)
    return 1 if videos.failed else 0


def _listed(path: Path, records: Sequence[Record], generators: Sequence[str]) -> ListedPairs:
    """Trials of a list; warns of labels that contradict the drivers' names."""
    from whodrives.cli.output import print_warnings
    from whodrives.data.avaprintdb_pairs import read_pairs, resolve_pairs
    from whodrives.errors import InputError
    from whodrives.evaluation.listed import number_pairs

    if len(generators) > 1:
        raise InputError("--pairs with several --generators: name the one whose videos take the places of the list's")
    found = resolve_pairs(read_pairs(path), records, generators[0] if generators else None)
    if not found.trials:
        names = ", ".join(found.missing[:3])
        raise InputError(
            f"{path}: none of its {found.total} pairs is there; {names} and others have no video of this split"
        )
    if found.mislabelled:
        print_warnings([f"{found.mislabelled} pairs of {path.name} have a label that contradicts the drivers' names"])
    return replace(number_pairs(found.trials, records), missing=found.total - len(found.trials))


def _tell(
    result: EvaluationResult,
    subject: Subject,
    reader: Reader,
    videos: EmbeddedVideos,
    written: dict[str, str],
    as_json: bool,
) -> None:
    from whodrives.cli.output import plain, print_json, print_lines, print_warnings
    from whodrives.cli.report import print_document
    from whodrives.evaluation.report.contents import evaluation_document
    from whodrives.evaluation.report.result import to_dict

    failed: list[tuple[Record, str]] = [(reader.records[number], reason) for number, reason in videos.failed]
    if as_json:
        print_json(
            {
                **to_dict(result),
                "model": subject.name,
                "data": result.provenance.data,
                "failed": [{"path": plain(str(record.path)), "reason": plain(reason)} for record, reason in failed],
                "report": written,
            }
        )
        return
    print_document(evaluation_document(result))
    if videos.padded.any():
        count = int((videos.padded > 0).sum())
        print_lines(
            f"{count} videos are shorter than a clip; {videos.padded.mean():.1%} of all frames repeat the last one"
        )
    print_warnings([reason for _, reason in failed[:20]])
    if len(failed) > 20:
        print_warnings([f"and {len(failed) - 20} more videos that could not be read; --json lists all"])
    if written:
        print_lines(f"report: {written['html']}")
