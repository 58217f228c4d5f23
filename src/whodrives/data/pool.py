"""One function over many items, in this process or in several, with the answers in the order of the items."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

from whodrives.errors import WhodrivesError

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")
# Large enough that handing over costs little, small enough that a progress bar moves.
CHUNK = 64


class WorkerError(WhodrivesError):
    """A worker process died: killed for its memory, or brought down by what a file made a decoder do."""


def over_all(
    function: Callable[[_Item], _Answer],
    items: Sequence[_Item],
    workers: int = 1,
    advance: Callable[[int], object] = lambda count: None,
) -> list[_Answer]:
    """``[function(item) for item in items]`` in `workers` processes; `advance` is told how many more are done.

    `function` must be importable by name (or a `functools.partial` of one that is) and raise nothing of use.

    Raises
    ------
    WorkerError
        A worker died; with one worker, the file at fault is the last one that was begun.
    """
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    if workers == 1 or len(chunks) < 2:
        answers = []
        for item in items:
            answers.append(function(item))
            advance(1)
        return answers
    found: dict[int, list[_Answer]] = {}
    # Not forked: a fork of a process with decoder or tensor threads can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context)
    try:
        begun = {pool.submit(partial(_chunk, function), chunk): number for number, chunk in enumerate(chunks)}
        for done in as_completed(begun):
            found[begun[done]] = done.result()
            advance(len(chunks[begun[done]]))
    except BrokenProcessPool as error:
        first = next(chunk for number, chunk in enumerate(chunks) if number not in found)
        raise WorkerError(
            f"a worker process died, perhaps at one of the files after {first[0]}; use 1 worker to find which, and "
            "check that memory suffices"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return [answer for number in range(len(chunks)) for answer in found[number]]


def _chunk(function: Callable[[_Item], _Answer], items: Sequence[_Item]) -> list[_Answer]:
    return [function(item) for item in items]
