"""Many files to a folder of fingerprints: in this process or in several, and on from where a run stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from whodrives.data.worker_pool import Pool, begin_early
from whodrives.errors import InputError
from whodrives.verification.batch.group import (
    Group,
    GroupSettings,
    Item,
    Load,
    Outcome,
    embed_group,
    make_embedder,
)
from whodrives.verification.batch.header import BatchHeader, labels_of
from whodrives.verification.batch.inputs import Inputs, Shard
from whodrives.verification.batch.output import Failure, OpenOutput, open_output, refuse_strangers
from whodrives.verification.batch.rows import read_rows
from whodrives.verification.fingerprinter import Fingerprinter

_PRELOAD = make_embedder.__module__
WORKER_DIED = "WorkerDied"
# Files that a worker is given at once: they share forward passes, and its death puts them all in doubt.
GROUP = 8
# Processes that may die in a row without a result; each costs one file, or a group that is then done file by file.
_MAX_DEATHS = 100


@dataclass(frozen=True)
class BatchProgress:
    """After each file: `done` of `total` to do, `failed` of them so far."""

    done: int
    total: int
    failed: int


@dataclass(frozen=True)
class BatchResult:
    """What a run did. done, kept : files embedded now, and finished before. windows : written now. n_failed : files
    that could not be embedded; the first of them in `failed`, all in `failed_list`, and how many of each kind in
    `kinds`."""

    done: int
    kept: int
    windows: int
    n_failed: int
    failed: tuple[Failure, ...]
    failed_list: Path | None
    kinds: dict[str, int]


Progress = Callable[[BatchProgress], object]
# Items to do -> what became of each, in any order.
Engine = Callable[[Iterable[Item]], Generator[Outcome, None, None]]


def cores() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def usual_settings(
    fingerprinter: Fingerprinter,
    hop: int | None = None,
    crop: str | None = None,
    workers: int | None = None,
    batch: int | None = None,
) -> tuple[GroupSettings, int]:
    """Settings and number of processes that fit the machine where none are given.

    On a CPU every core gets a process of its own with one thread: the network is what takes the time, and a batch of
    two windows is as fast as it gets. With a GPU a few processes decode for it, each with several threads.
    """
    hop = fingerprinter.model.clip_length // 2 if hop is None else hop
    if hop < 1 or (workers or 1) < 1 or (batch or 1) < 1:
        raise InputError(f"hop {hop}, workers {workers}, batch size {batch}: give at least 1 of each")
    if fingerprinter.device.type == "cpu":
        workers = workers or cores()
        return GroupSettings(hop, crop, 1, batch or 2, None if workers == 1 else max(1, cores() // workers)), workers
    workers = workers or max(1, min(4, cores() // 4))
    return GroupSettings(hop, crop, max(1, min(8, cores() // workers)), batch or 32, 1), workers


def embed_files(
    fingerprinter: Fingerprinter,
    inputs: Inputs,
    out: str | Path,
    settings: GroupSettings,
    *,
    shard: Shard = Shard(),  # noqa: B008
    engine: Engine | None = None,
    progress: Progress | None = None,
    **limits: int,
) -> BatchResult:
    """Embed the files of `inputs` that are not in `out` yet.

    Parameters
    ----------
    fingerprinter : with the weights; it embeds the files itself unless an `engine` is given. inputs : of this shard.
    out : new, empty, or the folder of earlier runs with the same weights, contract, hop, crop and label columns.
    settings : see `usual_settings`. engine : `in_processes`, or `on_ray.on_ray`. limits : see `open_output`.

    What is wrong with a file is told in the result. Memory holds the names and labels of `inputs`, a few windows for
    each worker and what a part is put together from; it does not grow with the length or number of the videos.

    Raises
    ------
    BatchError, WeightsMismatchError, ContractMismatchError, BusyError
        See `open_output`.
    InputError
        `out` was filled from other files of the same names.
    PoolError
        Worker processes keep ending.
    """
    out = Path(out)
    model = fingerprinter.model
    header = BatchHeader(
        model.to_dict(),
        fingerprinter.contract,
        model.clip_length,
        settings.hop,
        settings.crop,
        labels_of(inputs.labels),
    )
    engine = engine or partial(_here, fingerprinter, settings)
    with open_output(out, header, shard, **limits) as opened:
        refuse_strangers(out, inputs)
        left = inputs.without(opened.finished)
        done, windows = _collect(left, opened, engine, progress)
    failed = opened.failed
    count = failed.kinds.total()
    return BatchResult(
        done=done,
        kept=len(inputs) - len(left),
        windows=windows,
        n_failed=count,
        failed=tuple(failed.first),
        failed_list=failed.path if count else None,
        kinds=dict(failed.kinds),
    )


def _collect(inputs: Inputs, opened: OpenOutput, engine: Engine, progress: Progress | None) -> tuple[int, int]:
    """Write what comes; each file counts once, whatever an engine does twice. Returns files and windows written."""
    seen = bytearray(len(inputs))
    done = windows = 0
    with closing(engine(inputs.items())) as outcomes:
        for outcome in outcomes:
            if seen[outcome.number]:
                continue
            seen[outcome.number] = 1
            if outcome.kind:
                name = inputs.names[outcome.number].as_py()
                opened.failed.add(Failure(name, outcome.kind, outcome.reason))
            else:
                ((rows, _),) = read_rows(outcome.rows)
                opened.writer.append(rows.with_labels(inputs.labels_of(outcome.number)))
                done, windows = done + 1, windows + outcome.windows
            if progress is not None:
                failed = opened.failed.kinds.total()
                progress(BatchProgress(done + failed, len(inputs), failed))
    return done, windows


def grouped(items: Iterable[Item], size: int = GROUP) -> Iterator[Group]:
    """Groups of so many items."""
    rest = iter(items)
    while part := tuple(islice(rest, size)):
        yield Group(part)


def died(item: Item, code: object) -> Outcome:
    """A file at which a process ended by itself."""
    reason = f"{item.file}: the process that embedded it ended ({code}); was there too little memory?"
    return Outcome(item.number, kind=WORKER_DIED, reason=reason)


def _here(
    fingerprinter: Fingerprinter, settings: GroupSettings, items: Iterable[Item]
) -> Generator[Outcome, None, None]:
    for group in grouped(items, max(GROUP, settings.batch)):
        yield from embed_group(fingerprinter, group.items, settings)


def expect_processes() -> None:
    """Called before weights are loaded: saves `in_processes` the time that its processes need to import."""
    begin_early(_PRELOAD)


def in_processes(load: Load, settings: GroupSettings, workers: int) -> Engine:
    """An engine of `workers` processes, each with weights of its own from `load`, which must be importable by name (or
    a `functools.partial` of what is).

    A process that dies puts its unfinished files in doubt: they are done again one by one, and where it dies again the
    file is told as `WORKER_DIED`.
    """

    def run(items: Iterable[Item]) -> Generator[Outcome, None, None]:
        arrived = bytearray()  # by number; a group is handed out once, so later ones need no more than this

        def bury(group: Group, code: int | None) -> tuple[list[Outcome], list[Group]]:
            left = [item for item in group.items if not (item.number < len(arrived) and arrived[item.number])]
            if len(group.items) == 1:
                return [died(item, f"exit code {code}") for item in left], []
            return [], [Group((item,)) for item in left]

        pool = Pool(partial(make_embedder, load, settings), bury, workers, None, _MAX_DEATHS, _PRELOAD)
        with closing(pool.run(grouped(items, max(GROUP, settings.batch)))) as outcomes:
            for outcome in outcomes:
                arrived.extend(bytes(max(0, outcome.number + 1 - len(arrived))))
                arrived[outcome.number] = 1
                yield outcome

    return run
