"""Decoding in several processes: results in the order of the jobs, and a process that dies costs one video."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial

from whodrives.data.store_decode import Decoded, DecodeSettings, Job, decode_job
from whodrives.data.store_errors import StoreError
from whodrives.data.worker_pool import Pool, PoolError

# Jobs handed out ahead of the oldest unfinished one: enough for a long video not to stop the others.
AHEAD = 16
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
    order: deque[int] = deque()  # numbers handed out and not yet given on
    waiting: dict[int, Decoded] = {}
    pool = Pool(partial(_decoder, decode, settings), _bury, workers, AHEAD * workers, preload=__name__)
    results = pool.run(_noted(jobs, order))
    try:
        for result in results:
            waiting[result.number] = result
            while order and order[0] in waiting:
                yield waiting.pop(order.popleft())
    except PoolError as error:
        raise StoreError(str(error)) from None
    finally:
        results.close()


def _noted(jobs: Iterable[Job], order: deque[int]) -> Iterator[Job]:
    for job in jobs:
        order.append(job.number)
        yield job


def _decoder(decode: Decode, settings: DecodeSettings) -> Callable[[Job], list[Decoded]]:
    return lambda job: [decode(job, settings)]


def _bury(job: Job, code: int | None) -> tuple[list[Decoded], list[Job]]:
    reason = f"{job.path}: the process that decoded it ended (exit code {code}); was there too little memory?"
    return [Decoded(job.number, kind=WORKER_DIED, reason=reason)], []
