"""`whodrives demo`: from nothing to verified drivers, with built-in drivers and procedural faces only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from whodrives.cli.options import load_fingerprinter

if TYPE_CHECKING:
    from whodrives.verification.decision import Decision

# Far from every seed that training or validation uses.
DRIVER_SEED, FACE_SEED = 7_000_000, 7_100_000
NAMES = ("ana", "ben", "cem", "dora")
ENROLLED = NAMES[:2]
SECONDS, FPS, SIZE = 10.24, 25.0, 256
ENROLMENTS, PROBES = 3, 2


@dataclass(frozen=True)
class DemoVideo:
    """One rendered video: who drives it, whose face (a number) it shows, and which recording moves it."""

    path: Path
    driver: str
    face: int
    recording: int


@dataclass(frozen=True)
class Trial:
    """One verification: the claim, the truth and the answer."""

    video: DemoVideo
    claimed: str
    decision: Decision

    @property
    def genuine(self) -> bool:
        """Whether the claimed person really drives the video."""
        return self.video.driver == self.claimed

    @property
    def right(self) -> bool | None:
        """True / False; None for an abstention."""
        if self.decision.decision == "abstain":
            return None
        return (self.decision.decision == "accept") == self.genuine


def render_videos(folder: Path, on_video: Any = None) -> tuple[list[DemoVideo], list[DemoVideo]]:
    """Render the demo's videos (H.264, 256 x 256, 25 fps, 10.24 s): enrolment videos and probes.

    All drivers use the same two faces: the enrolled are enrolled on both, and every probe of a face is driven by
    somebody else's motion or the claimed person's own, so that appearance can tell nothing.
    """
    import torch

    from whodrives.avatars.drivers.builtin import BuiltinDriver
    from whodrives.avatars.encode import write_mp4
    from whodrives.avatars.nuisance import sample_nuisance
    from whodrives.avatars.procedural import procedural_face
    from whodrives.avatars.warp import build_rig, render

    rng = np.random.default_rng(DRIVER_SEED)
    rigs = [build_rig(procedural_face(FACE_SEED + number), SIZE) for number in range(2)]
    enrolment: list[DemoVideo] = []
    probes: list[DemoVideo] = []
    for number, name in enumerate(NAMES):
        person = BuiltinDriver(DRIVER_SEED + number)
        first = ENROLMENTS if name in ENROLLED else 0
        for recording in range(first + PROBES):
            if name not in ENROLLED:
                recording += ENROLMENTS
            # Probes come from other sessions than the enrolment.
            # The content seed is the script; nobody shares one, or equal scripts would pass for equal drivers.
            track = person.recording(
                content_seed=DRIVER_SEED + 100 * number + recording,
                session_seed=int(recording >= ENROLMENTS),
                seconds=SECONDS,
                fps=FPS,
            )
            face = recording % 2
            controls = torch.from_numpy(track.values[None, : round(SECONDS * FPS)].astype(np.float32))
            with torch.inference_mode():
                frames = render([rigs[face]], controls, [sample_nuisance(rng)], grey=False)[0]
            video = DemoVideo(folder / f"{name}-{recording}-face{face}.mp4", name, face, recording)
            write_mp4(video.path, (frames * 255).round().byte().permute(0, 2, 3, 1).numpy(), FPS)
            (enrolment if recording < ENROLMENTS else probes).append(video)
            if on_video is not None:
                on_video(video)
    return enrolment, probes


@click.command("demo")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(out: Path, as_json: bool) -> None:
    """Render avatars of four drivers, enrol two, verify genuine and impostor videos, write OUT/report.html."""
    from rich.console import Console
    from rich.progress import Progress

    from whodrives.cli.demo_report import write_report
    from whodrives.verification.gallery import Gallery

    console = Console(quiet=as_json)
    videos = out / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    # A name of its own: the folder may hold somebody's real gallery.
    database = out / "demo-gallery.db"
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    total = len(ENROLLED) * ENROLMENTS + len(NAMES) * PROBES
    with Progress(console=console) as bar:
        task = bar.add_task("rendering avatar videos", total=total)
        enrolment, probes = render_videos(videos, lambda _: bar.advance(task))
        task = bar.add_task("enrolling", total=len(ENROLLED))
        fingerprinter = load_fingerprinter("bundled")
        gallery = Gallery.open(database)
        for name in ENROLLED:
            own = [str(video.path) for video in enrolment if video.driver == name]
            gallery.enroll(name, fingerprinter.embed(*own))
            bar.advance(task)
        task = bar.add_task("verifying", total=len(probes))
        trials = []
        for video in probes:
            embedding = fingerprinter.embed(str(video.path))
            trials += [Trial(video, claimed, gallery.verify(embedding, claimed=claimed)) for claimed in ENROLLED]
            bar.advance(task)
    report = out / "report.html"
    write_report(report, trials, enrolment)
    if as_json:
        rows = [
            {
                "video": trial.video.path.name,
                "driver": trial.video.driver,
                "claimed": trial.claimed,
                "decision": trial.decision.decision,
                "score": trial.decision.score,
                "right": trial.right,
            }
            for trial in trials
        ]
        click.echo(json.dumps({"schema_version": 1, "trials": rows, "report": str(report)}))
        return
    _print_table(console, trials)
    wrong = sum(trial.right is False for trial in trials)
    console.print(f"{len(trials)} decisions, {wrong} wrong. Report: {report}")


def _print_table(console: Any, trials: list[Trial]) -> None:
    from rich.table import Table

    table = Table(title="Who is driving? Same faces, other drivers")
    for column in ("video", "claimed driver", "true driver", "score", "threshold", "decision", "right?"):
        table.add_column(column)
    for trial in sorted(trials, key=lambda t: (t.claimed, not t.genuine, t.video.path.name)):
        decision = trial.decision
        mark = {True: "yes", False: "[bold red]WRONG[/]", None: "abstained"}[trial.right]
        score = "-" if decision.score is None else f"{decision.score:+.4f}"
        limit = "-" if decision.threshold is None else f"{decision.threshold:+.4f}"
        table.add_row(trial.video.path.name, trial.claimed, trial.video.driver, score, limit, decision.decision, mark)
    console.print(table)
