"""Jobs in several processes: results as they come, and a process that dies costs its job and nothing else."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from whodrives.errors import WhodrivesError

# Processes that may end in a row before one was ready for work: a broken set-up, not a broken job.
MAX_FALSE_STARTS = 4
_READY, _RESULT, _END = "ready", "result", "end"

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
# Called once in each process; what it gives does one job after the other.
Make = Callable[[], Callable[[_Job], Iterable[_Result]]]
# What to give on for a job whose process ended with an exit code, and which jobs to do in its place.
Bury = Callable[[_Job, int | None], tuple[list[_Result], list[_Job]]]


class PoolError(WhodrivesError):
    """Worker processes keep ending; the message does not say at which job, the cause is elsewhere."""


def begin_early(preload: str) -> Any:
    """Begin the process that workers are copied from, which imports the module `preload` while the caller goes on.

    Gives the context that workers come from: not copies of this process, whose threads would not survive that.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    from multiprocessing import forkserver  # not everywhere

    forkserver.ensure_running()
    return context


@dataclass(frozen=True)
class Pool(Generic[_Job, _Result]):
    """How jobs are done in processes.

    Parameters
    ----------
    make, bury : see `Make`, which must be importable by name (or a `functools.partial` of what is), and `Bury`.
    workers : processes. ahead : jobs handed out from the oldest unfinished one on, None: no limit.
    max_deaths : processes that may end in a row without one result. preload : module that processes begin with.
    """

    make: Make[_Job, _Result]
    bury: Bury[_Job, _Result]
    workers: int
    ahead: int | None = None
    max_deaths: int = 4
    preload: str = __name__

    def run(self, jobs: Iterable[_Job]) -> Generator[_Result, None, None]:
        """Results as they come. A job is taken from `jobs` when a process is free for it.

        Closing the iterator ends the processes at once, and they end by themselves when this process is killed.

        Raises
        ------
        PoolError
            Processes keep ending without a single result.
        """
        run = _Run(self, iter(jobs))
        try:
            yield from run.results()
        finally:
            run.close()


@dataclass
class _Worker(Generic[_Job]):
    process: Any
    connection: Connection
    number: int = -1
    job: _Job | None = None
    ready: bool = False


class _Run(Generic[_Job, _Result]):
    """Each worker has a pipe of its own, so that a dead one is noticed and its job known."""

    def __init__(self, pool: Pool[_Job, _Result], jobs: Iterator[_Job]) -> None:
        self.pool, self.jobs = pool, jobs
        self.context = begin_early(pool.preload)
        self.workers: list[_Worker[_Job]] = []
        self.again: deque[_Job] = deque()
        self.given = 0
        self.deaths = self.false_starts = 0
        self.exhausted = False

    def results(self) -> Iterator[_Result]:
        while True:
            self._hand_out()
            busy = [worker.connection for worker in self.workers if worker.job is not None]
            if not busy:
                return
            for ready in wait(busy):
                yield from self._hear(next(worker for worker in self.workers if worker.connection is ready))

    def close(self) -> None:
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()
            worker.connection.close()
        self.workers.clear()

    def _hand_out(self) -> None:
        """Give every idle worker a job, and start workers while there are jobs for them."""
        while self.again or not self.exhausted:
            begun = [worker.number for worker in self.workers if worker.job is not None]
            ahead = self.pool.ahead
            if ahead is not None and begun and self.given - min(begun) >= ahead:
                return
            idle = next((worker for worker in self.workers if worker.job is None), None)
            if idle is None and len(self.workers) >= self.pool.workers:
                return
            job = self.again.popleft() if self.again else next(self.jobs, None)
            if job is None:
                self.exhausted = True
                return
            worker = idle or self._start()
            worker.job, worker.number = job, self.given
            self.given += 1
            with contextlib.suppress(OSError):  # it died; the read end says so next
                worker.connection.send(job)

    def _start(self) -> _Worker[_Job]:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_work, args=(theirs, self.pool.make), daemon=True)
        process.start()
        theirs.close()
        self.workers.append(_Worker(process, ours))
        return self.workers[-1]

    def _hear(self, worker: _Worker[_Job]) -> Iterator[_Result]:
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        if kind == _READY:
            worker.ready, self.false_starts = True, 0
        elif kind == _RESULT:
            self.deaths = 0
            yield value
        else:
            worker.job = None

    def _bury(self, worker: _Worker[_Job]) -> Iterator[_Result]:
        self.workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        job, code = worker.job, worker.process.exitcode
        assert job is not None
        self.deaths += 1
        self.false_starts += not worker.ready
        if self.deaths >= self.pool.max_deaths or self.false_starts >= MAX_FALSE_STARTS:
            raise PoolError(
                f"worker processes keep ending (exit code {code}); use one worker to see why, or fewer of them if "
                "memory is short. A script that calls this needs `if __name__ == '__main__':`"
            )
        results, jobs = self.pool.bury(job, code)
        self.again.extend(jobs)
        yield from results


def _work(connection: Connection, make: Make[Any, Any]) -> None:
    """A worker: jobs in, results out, until nobody is at the other end."""
    # Ctrl-C reaches the whole process group: the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    do = make()
    try:
        connection.send((_READY, None))
        while True:
            for result in do(connection.recv()):
                connection.send((_RESULT, result))
            connection.send((_END, None))
    except (EOFError, OSError):
        return
