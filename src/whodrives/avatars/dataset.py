"""Labelled data sets of avatar videos on disk: planned, rendered, kept up to date."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.clips import Clip, cut_clips
from whodrives.avatars.generator import Generator, load_generator
from whodrives.avatars.ledger import Entry, Ledger, content_key, face_digest
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.plan import PlannedVideo, clip_file, plan_dataset
from whodrives.avatars.simulation import Simulation
from whodrives.avatars.workers import Group, Take, Task, one_thread, render_frames, run_groups
from whodrives.data import avaprintdb
from whodrives.data.lock import locked
from whodrives.data.manifest import NAME as MANIFEST
from whodrives.data.manifest import write_manifest
from whodrives.data.record import Record
from whodrives.errors import InputError

__all__ = [
    "Clip", "Failure", "PlannedVideo", "RenderError", "Rendering", "Result", "cut_clips", "make_dataset",
    "plan_dataset", "render_dataset", "render_video",
]  # fmt: skip

MAX_GROUP = 32


@dataclass(frozen=True)
class Failure:
    """A video that could not be rendered, and why."""

    path: Path
    reason: str


class RenderError(InputError):
    """Some videos could not be rendered; all others are finished. `failures` names each."""

    def __init__(self, out: Path, failures: Sequence[Failure], planned: int) -> None:
        self.failures = tuple(failures)
        shown = "; ".join(f"{one.path}: {one.reason}" for one in self.failures[:3])
        more = f"; and {len(self.failures) - 3} more" if len(self.failures) > 3 else ""
        super().__init__(
            f"{out}: {len(self.failures)} of {planned} videos could not be rendered ({shown}{more}). The others are "
            "there and in the manifest; mend the cause and run again"
        )


@dataclass(frozen=True)
class Result:
    """What a run left.

    Parameters
    ----------
    records : every planned video, sorted by path. rendered, kept : how many were made, and were there already.
    bytes : of all planned files. frames : of the rendered ones.
    earlier : files of other settings in the same folder that no longer are in the manifest, relative to it.
    removed : how many of such files pruning took away.
    """

    records: tuple[Record, ...]
    rendered: int
    kept: int
    bytes: int
    frames: int
    earlier: tuple[Path, ...]
    removed: int


class Rendering:
    """One run over a plan: iterate once to render; `result` holds the `Result` afterwards.

    Iteration yields each video's `Record` (path under the data set) as it is finished, those that are there already
    first, and at its end writes the manifest, or raises `RenderError` when some failed. Leaving it early keeps what is
    finished: the next run goes on from there; until a run has come to its end, there is no manifest. A folder takes one
    run at a time (`data.lock.BusyError`).
    """

    def __init__(
        self,
        plan: Sequence[PlannedVideo],
        out: str | Path,
        size: int,
        workers: int,
        generators: Mapping[str, Generator[Any]],
        prune: bool,
        settings: Simulation | None = None,
    ) -> None:
        if size % 2:
            raise InputError(f"size {size}: H.264 needs an even side; take {size + 1}")
        if workers < 1:
            raise InputError(f"workers {workers}: give 1 or more")
        self.plan, self.out, self.size, self.workers, self.prune = list(plan), Path(out), size, workers, prune
        self.settings = settings
        names = {video.generator for video in self.plan}
        self.generators = {name: generators.get(name) or load_generator(name) for name in sorted(names)}
        self._result: Result | None = None
        self._faces: dict[int, str] = {}
        self._files: dict[Path, str] = {}

    def __len__(self) -> int:
        return len(self.plan)

    @property
    def result(self) -> Result:
        """What the run left; InputError before its end."""
        if self._result is None:
            raise InputError(f"{self.out}: the result exists once all videos have been rendered")
        return self._result

    def __iter__(self) -> Iterator[Record]:
        self._check_footage()
        self.out.mkdir(parents=True, exist_ok=True)
        with locked(self.out):
            yield from self._run()

    def _run(self) -> Iterator[Record]:
        if self.settings is not None:
            self.settings.save(self.out)
        ledger = Ledger(self.out)
        keys: dict[str, str] = {}
        missing: dict[Path, PlannedVideo] = {}
        total = frames = 0
        for video in self.plan:
            path = video.record.path.as_posix()
            keys[path] = self._key(video)
            if ledger.holds(path, keys[path], self.out / path):
                total += ledger.entries[path].bytes
                yield self._record(video)
            else:
                missing[self.out / path] = video
        if missing:
            # From here until the end the folder is unfinished: a manifest would speak of other files.
            (self.out / MANIFEST).unlink(missing_ok=True)
        failures = []
        # Closing ends the workers when the caller stops early.
        with closing(run_groups(self._groups(list(missing.values())), self.workers)) as outcomes:
            for outcome in outcomes:
                video = missing[outcome.path]
                path = video.record.path.as_posix()
                if outcome.error:
                    failures.append(Failure(video.record.path, outcome.error))
                    continue
                ledger.add(path, Entry(keys[path], outcome.bytes, outcome.sha256))
                total += outcome.bytes
                frames += video.frames
                yield self._record(video)
        self._finish(ledger, failures, len(missing) - len(failures), total, frames)

    def _finish(self, ledger: Ledger, failures: Sequence[Failure], rendered: int, total: int, frames: int) -> None:
        failed = {failure.path for failure in failures}
        done = [video for video in self.plan if video.record.path not in failed]
        records = sorted((self._record(video) for video in done), key=lambda record: record.path.as_posix())
        write_manifest(self.out, records)
        if self.settings is not None and self.settings.layout == "avaprintdb":
            generations = [
                avaprintdb.Generation(
                    v.record.driver, clip_file(v.record.driver, v.clip), v.record.target,
                    f"{v.record.source}/{v.record.target}.png", v.record.split,
                )
                for v in done
            ]  # fmt: skip
            avaprintdb.write_metadata(self.out, records, generations)
        if failures:
            raise RenderError(self.out, failures, len(self.plan))
        planned = {video.record.path.as_posix() for video in self.plan}
        earlier = [path for path in ledger.entries if path not in planned and (self.out / path).is_file()]
        if self.prune:
            remove_files(self.out, earlier)
            for torn in self.out.rglob(".*.mp4.part"):
                torn.unlink(missing_ok=True)
            if self.settings is not None and self.settings.layout != "avaprintdb":
                avaprintdb.remove_metadata(self.out)
            ledger.keep(planned)
        self._result = Result(
            tuple(records), rendered, len(self.plan) - rendered, total, frames,
            () if self.prune else tuple(Path(path) for path in sorted(earlier)), len(earlier) if self.prune else 0,
        )  # fmt: skip

    def _record(self, video: PlannedVideo) -> Record:
        return replace(video.record, path=self.out / video.record.path)

    def _take(self, video: PlannedVideo) -> Take | None:
        """The driving footage, where the generator looks at it and the clip has one."""
        generator = self.generators[video.generator]
        if video.neutral or not hasattr(generator, "footage"):
            return None
        file = generator.footage(video.record.driver, video.record.recording)
        return None if file is None else Take(file, video.clip.start_seconds)

    def _key(self, video: PlannedVideo) -> str:
        if id(video.face) not in self._faces:
            self._faces[id(video.face)] = face_digest(video.face)
        take = self._take(video)
        footage = "" if take is None else f"{self._digest(take.video)} {take.start_seconds!r}"
        return content_key(
            self.generators[video.generator], self._faces[id(video.face)], video.controls(), video.nuisance, self.size,
            footage,
        )  # fmt: skip

    def _digest(self, file: Path) -> str:
        """sha256 of a file, read once a run."""
        if file not in self._files:
            with file.open("rb") as stream:
                self._files[file] = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._files[file]

    def _check_footage(self) -> None:
        """Footage for some recordings only would tie appearance to the driver: a generator must say that it may."""
        for name, generator in self.generators.items():
            if getattr(generator, "videos", None) is None or getattr(generator, "videos_partial", False):
                continue
            wanted = sorted({(v.record.driver, v.record.recording) for v in self.plan if v.generator == name})
            lost = [recording for driver, recording in wanted if generator.footage(driver, recording) is None]  # type: ignore[attr-defined]
            if lost:
                raise InputError(
                    f"generator {name!r}: {len(lost)} of {len(wanted)} recordings have no driving video in "
                    f"{generator.videos}, e.g. {lost[0]}; add them, or set videos_partial = true"  # type: ignore[attr-defined]
                )

    def _groups(self, videos: Sequence[PlannedVideo]) -> Iterator[Group]:
        """Videos of one face and generator together, in parts small enough to keep all workers busy to the end."""
        together: dict[tuple[str, int], list[PlannedVideo]] = {}
        for video in videos:
            together.setdefault((video.generator, id(video.face)), []).append(video)
        most = min(max(len(videos) // (4 * self.workers), 1), MAX_GROUP)
        for own in together.values():
            for start in range(0, len(own), most):
                part = own[start : start + most]
                tasks = tuple(
                    Task(self.out / video.record.path, video.controls(), video.nuisance, self._take(video))
                    for video in part
                )
                yield Group(self.generators[part[0].generator], part[0].face, self.size, tasks)


def remove_files(root: Path, paths: Sequence[str]) -> None:
    """Remove files below `root`, and the folders that this leaves empty."""
    for path in paths:
        file = (root / path).resolve()
        if not file.is_relative_to(root.resolve()):
            continue  # a ledger that was tampered with must not reach outside
        file.unlink(missing_ok=True)
        folder = file.parent
        while folder != root.resolve() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


def render_video(
    video: PlannedVideo,
    rig: Any,
    *,
    generator: Generator[Any] | None = None,
    neutral: bool = False,
    nuisance: Nuisance | None = None,
) -> NDArray[np.uint8]:
    """Frames of one planned video, uint8 (T, S, S, 3) RGB.

    Parameters
    ----------
    rig : of the video's face. generator : in place of the built-in one of the video's name.
    neutral : replace the motion by the neutral. nuisance : in place of the video's own draw.
    """
    video = replace(video, neutral=video.neutral or neutral)
    with one_thread():
        return render_frames(
            generator or load_generator(video.generator), rig, video.controls(), nuisance or video.nuisance
        )


def render_dataset(
    plan: Sequence[PlannedVideo],
    out: str | Path,
    *,
    size: int = 256,
    workers: int = 1,
    neutral: bool = False,
    nuisance: Callable[[PlannedVideo], Nuisance] | None = None,
    generators: Mapping[str, Generator[Any]] | None = None,
    prune: bool = False,
) -> Rendering:
    """Render a plan to H.264 files under `out`.

    What is there already and made from the same things is kept (see `ledger`), everything else is rendered; bytes do
    not depend on the number of workers. Scripts that use more than one need `if __name__ == "__main__":`.

    Parameters
    ----------
    plan : from `plan_dataset`. out : root of the tree. size : side in pixels, even. workers : processes.
    neutral, nuisance : controls for audits: all motion replaced by the neutral; another draw for each video.
    generators : by name, in place of built-in ones. prune : remove files of earlier settings.

    Returns
    -------
    Rendering; iterate over it.

    Raises
    ------
    InputError
        An odd size, no worker, or an unknown generator; RenderError at the end of the iteration.
    """
    videos = [replace(video, neutral=video.neutral or neutral) for video in plan]
    if nuisance is not None:
        videos = [replace(video, draw=nuisance(video)) for video in videos]
    return Rendering(videos, out, size, workers, generators or {}, prune)


def make_dataset(settings: Simulation, out: str | Path, *, workers: int = 1, prune: bool = False) -> Rendering:
    """Plan and render `settings` into `out`; see `render_dataset`. Settings are written beside the videos."""
    return Rendering(settings.plan(), out, settings.size, workers, settings.load_generators(), prune, settings)
