"""Decoding in several processes: results in the order of the jobs, and a process that dies costs one video."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from whodrives.data.store_decode import Decoded, DecodeSettings, Job, decode_job
from whodrives.data.store_errors import StoreError

# Jobs handed out ahead of the oldest unfinished one: enough for a long video not to stop the others.
AHEAD = 16
# Processes that may die in a row without one result: a broken set-up, not a broken video.
MAX_DEATHS = 4
WORKER_DIED = "WorkerDied"

Decode = Callable[[Job, DecodeSettings], Decoded]


def decode_all(
    jobs: Iterable[Job], settings: DecodeSettings, workers: int, decode: Decode = decode_job
) -> Generator[Decoded, None, None]:
    """Results in the order of `jobs`, whatever the number of `workers`; 1 decodes in this process.

    Closing the iterator ends the workers at once, and they end by themselves when this process is killed.

    Raises
    ------
    StoreError
        Processes keep ending without a single result.
    """
    if workers <= 1:
        yield from (decode(job, settings) for job in jobs)
        return
    pool = _Pool(iter(jobs), settings, workers, decode)
    try:
        yield from pool.run()
    finally:
        pool.close()


@dataclass
class _Worker:
    process: Any
    connection: Connection
    job: Job | None = None


class _Pool:
    """Each worker has a pipe of its own, so that a dead one is noticed and its video named."""

    def __init__(self, jobs: Iterator[Job], settings: DecodeSettings, count: int, decode: Decode) -> None:
        self.jobs, self.settings, self.count, self.decode = jobs, settings, count, decode
        methods = multiprocessing.get_all_start_methods()
        # Not a copy of this process: the threads of a decoder would not survive that.
        self.context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self.context.set_forkserver_preload([__name__])
        self.workers: list[_Worker] = []
        self.results: dict[int, Decoded] = {}
        self.order: list[int] = []  # numbers handed out and not yet given on
        self.deaths = 0
        self.exhausted = False

    def run(self) -> Iterator[Decoded]:
        while True:
            self._hand_out()
            while self.order and self.order[0] in self.results:
                yield self.results.pop(self.order.pop(0))
                self._hand_out()
            busy = [worker.connection for worker in self.workers if worker.job is not None]
            if not busy:
                return
            for ready in wait(busy):
                self._hear(next(worker for worker in self.workers if worker.connection is ready))

    def close(self) -> None:
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()
            worker.connection.close()
        self.workers.clear()

    def _hand_out(self) -> None:
        """Give every idle worker a job, and start workers while there are jobs for them."""
        while not self.exhausted and len(self.order) < AHEAD * self.count:
            idle = next((worker for worker in self.workers if worker.job is None), None)
            if idle is None and len(self.workers) >= self.count:
                return
            job = next(self.jobs, None)
            if job is None:
                self.exhausted = True
                return
            worker = idle or self._start()
            worker.job = job
            self.order.append(job.number)
            with contextlib.suppress(OSError):  # it died; the read end says so next
                worker.connection.send(job)

    def _start(self) -> _Worker:
        ours, theirs = self.context.Pipe()
        arguments = (theirs, self.settings, self.decode)
        process = self.context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self.workers.append(_Worker(process, ours))
        return self.workers[-1]

    def _hear(self, worker: _Worker) -> None:
        job = worker.job
        assert job is not None
        try:
            self.results[job.number] = worker.connection.recv()
            self.deaths = 0
            worker.job = None
        except (EOFError, OSError):
            self._bury(worker, job)

    def _bury(self, worker: _Worker, job: Job) -> None:
        self.workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        self.deaths += 1
        code = worker.process.exitcode
        if self.deaths >= MAX_DEATHS:
            raise StoreError(
                f"{job.path}: worker processes keep ending (exit code {code}); use workers=1 to see why, or fewer of "
                "them if memory is short. A script that calls this needs `if __name__ == '__main__':`"
            )
        reason = f"{job.path}: the process that decoded it ended (exit code {code}); was there too little memory?"
        self.results[job.number] = Decoded(job.number, kind=WORKER_DIED, reason=reason)


def _work(connection: Connection, settings: DecodeSettings, decode: Decode) -> None:
    """A worker: jobs in, results out, until nobody is at the other end."""
    # Ctrl-C reaches the whole process group: the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            connection.send(decode(connection.recv(), settings))
    except (EOFError, OSError):
        return
