"""Rendering videos to files in one process or several: equal bytes whatever their number, and only whole files."""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
import sys
from collections import OrderedDict, deque
from collections.abc import Generator as Running
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.avatars.allocator import keep_large_blocks
from whodrives.avatars.encode import write_mp4
from whodrives.avatars.faces import Face
from whodrives.avatars.generator import Generator
from whodrives.avatars.nuisance import Nuisance
from whodrives.errors import WhodrivesError

# Prepared faces that a process keeps. Work comes grouped by face, so a few do.
KEPT_RIGS = 4
# Processes that may die before the run gives up: one may meet a video too large for it, many mean something else.
MAX_DEATHS = 3


@dataclass(frozen=True)
class Take:
    """The driving footage, for generators that look at it: a video file and where in it the clip begins."""

    video: Path
    start_seconds: float


@dataclass(frozen=True)
class Task:
    """One file to make. path : where. controls : (T, 33) at nuisance.fps."""

    path: Path
    controls: NDArray[np.float32]
    nuisance: Nuisance
    take: Take | None = None


@dataclass(frozen=True)
class Group:
    """Tasks that share a prepared face."""

    generator: Generator[Any]
    face: Face
    size: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a task: size and sha256 of the file, or the reason why there is none."""

    path: Path
    bytes: int = 0
    sha256: str = ""
    error: str = ""


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside: more would change sums in their last bits, and with them files."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def render_frames(
    generator: Generator[Any], rig: Any, controls: NDArray[np.float32], nuisance: Nuisance, take: Take | None = None
) -> NDArray[np.uint8]:
    """One video, uint8 (T, S, S, 3) RGB, on the CPU."""
    with torch.inference_mode():
        motion = torch.from_numpy(controls)[None]
        if take is not None and hasattr(generator, "render_take"):
            frames = generator.render_take(rig, motion, nuisance, take)
        else:
            frames = generator.render([rig], motion, [nuisance], grey=False)[0]
        return frames.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


@dataclass
class Renderer:
    """Renders groups in this process; keeps the last few prepared faces."""

    rigs: OrderedDict[tuple[str, str, int], Any] = field(default_factory=OrderedDict)

    def rig(self, group: Group) -> Any:
        """The prepared face of a group."""
        key = (group.generator.name, group.face.name, group.size)
        if key not in self.rigs:
            while len(self.rigs) >= KEPT_RIGS:
                self.rigs.popitem(last=False)
            self.rigs[key] = group.generator.rig(group.face, group.size)
        self.rigs.move_to_end(key)
        return self.rigs[key]

    def run(self, group: Group) -> Iterator[Outcome]:
        """One outcome a task, in order; what goes wrong with one is told and does not stop the others."""
        for task in group.tasks:
            try:
                with one_thread():
                    yield self._one(group, task)
            except WhodrivesError as error:
                yield Outcome(task.path, error=str(error))
            except Exception as error:
                yield Outcome(task.path, error=f"{type(error).__name__}: {error}")

    def _one(self, group: Group, task: Task) -> Outcome:
        frames = render_frames(group.generator, self.rig(group), task.controls, task.nuisance, task.take)
        task.path.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and moved: a file under its own name is always a whole one.
        partial = task.path.with_name(f".{task.path.name}.part")
        try:
            write_mp4(partial, frames, task.nuisance.fps, task.nuisance.crf)
            data = partial.read_bytes()
            partial.replace(task.path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return Outcome(task.path, len(data), hashlib.sha256(data).hexdigest())


def run_groups(groups: Iterable[Group], workers: int) -> Running[Outcome, None, None]:
    """Render groups, outcomes as they come.

    Parameters
    ----------
    groups : read as workers become free. workers : processes; 1 renders in this one.

    A worker that dies costs the video it was at; the others of its group go to a new worker. Closing the iterator
    (Ctrl-C) ends the workers at once.
    """
    if workers <= 1:
        keep_large_blocks()
        renderer = Renderer()
        for group in groups:
            yield from renderer.run(group)
        return
    yield from _Pool(iter(groups), workers).run()


def _context() -> Any:
    """Processes that do not begin as a copy of this one: its threads would not survive that."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Copies of a process that has loaded everything but has done nothing yet: they start at once.
    context.set_forkserver_preload([__name__])
    return context


@dataclass
class _Worker:
    process: Any
    connection: Connection
    group: Group | None = None
    done: int = 0


class _Pool:
    """Worker processes, each with a pipe of its own, so that a dead one is noticed and its video named."""

    def __init__(self, groups: Iterator[Group], workers: int) -> None:
        self.context = _context()
        self.groups = groups
        self.again: deque[Group] = deque()
        self.count = workers
        self.workers: list[_Worker] = []
        self.deaths = 0

    def run(self) -> Iterator[Outcome]:
        try:
            while len(self.workers) < self.count and self._start():
                pass
            while self.workers:
                for ready in wait([worker.connection for worker in self.workers]):
                    worker = next(one for one in self.workers if one.connection is ready)
                    yield from self._hear(worker)
        finally:
            for worker in self.workers:
                worker.process.terminate()
            for worker in self.workers:
                worker.process.join()

    def _next(self) -> Group | None:
        return self.again.popleft() if self.again else next(self.groups, None)

    def _start(self) -> bool:
        """A new worker with something to do; False when nothing is left."""
        group = self._next()
        if group is None:
            return False
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_work, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self.workers.append(worker)
        self._give(worker, group)
        return True

    def _give(self, worker: _Worker, group: Group | None) -> None:
        worker.group, worker.done = group, 0
        try:
            worker.connection.send(group)
        except OSError:
            return  # it died; the read end says so next

    def _hear(self, worker: _Worker) -> Iterator[Outcome]:
        try:
            outcome = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        if isinstance(outcome, Outcome):
            worker.done += 1
            yield outcome
            return
        if isinstance(outcome, str) and worker.group is not None:
            for task in worker.group.tasks:
                yield Outcome(task.path, error=outcome)
        group = self._next()
        self._give(worker, group)
        if group is None:
            self.workers.remove(worker)
            worker.process.join()
            worker.connection.close()

    def _bury(self, worker: _Worker) -> Iterator[Outcome]:
        self.workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        self.deaths += 1
        if worker.group is not None and worker.done < len(worker.group.tasks):
            reason = f"the worker process ended (exit code {worker.process.exitcode}); was there too little memory?"
            yield Outcome(worker.group.tasks[worker.done].path, error=reason)
            left = worker.group.tasks[worker.done + 1 :]
            if left:
                self.again.append(replace(worker.group, tasks=left))
        if self.deaths < MAX_DEATHS:
            self._start()
        elif not self.workers:
            for group in (*self.again, *self.groups):
                for task in group.tasks:
                    yield Outcome(task.path, error="not tried: worker processes keep ending; use --workers 1")
            self.again.clear()


def _work(connection: Connection) -> None:
    """A worker: groups in, outcomes and then None out, or a reason why a group cannot be read.

    It ends at None, or when nobody listens.
    """
    # Ctrl-C reaches the whole process group: the parent decides. Its SIGTERM must still clean up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    torch.set_num_threads(1)
    keep_large_blocks()
    renderer = Renderer()
    try:
        while True:
            try:
                group = connection.recv()
            except (EOFError, OSError):
                return
            except Exception as error:  # a generator or a face that cannot be loaded here
                connection.send(f"{type(error).__name__}: {error}")
                continue
            if group is None:
                return
            for outcome in renderer.run(group):
                connection.send(outcome)
            connection.send(None)
    except BrokenPipeError:
        return
