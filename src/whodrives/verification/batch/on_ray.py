"""The same job on a Ray cluster (extra `ray`): actors embed blocks of files, this process writes what they find.

Nothing is reported to anybody: Ray's usage statistics and dashboard are off.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa

from whodrives.data.worker_pool import PoolError
from whodrives.errors import InputError
from whodrives.verification.batch.group import Group, GroupSettings, Item, Load, Outcome, make_embedder
from whodrives.verification.batch.run import GROUP, Engine, died

LOCAL = "local"
# How often a block of files is begun whose actor or machine is lost each time; then its files are tried one by one,
# as often each.
ATTEMPTS = 2
# Files that are handed to Ray at once: bounds what this process and Ray's object store hold.
ROUND = 65_536
# Files of a block at most; more blocks than some thousand cost Ray more than the files do.
_BLOCK = 64


def on_ray(
    load: Load, settings: GroupSettings, address: str = LOCAL, workers: int | None = None, gpu: bool = False
) -> Engine:
    """An engine on Ray. Machines of the cluster need whodrives, the weights and the files under the same paths.

    Parameters
    ----------
    load : gives the weights on each machine; see `in_processes`. address : of a running cluster (``auto``,
        ``ray://host:10001`` ...), or ``local``: one on this machine for this run. workers : actors, None: one for each
        CPU or GPU of the cluster. gpu : each takes a GPU.

    Blocks whose actor was lost are done again by Ray; files that are missing in the end are done one by one, and those
    that are then missing still are told as failed. `embed_files` counts each file once, whatever Ray does twice.

    Raises
    ------
    InputError
        Ray is not installed, or there is no cluster at the address.
    PoolError
        The actors cannot work at all.
    """
    return partial(_run, load, settings, address, workers, gpu)


def _run(
    load: Load, settings: GroupSettings, address: str, workers: int | None, gpu: bool, items: Iterable[Item]
) -> Generator[Outcome, None, None]:
    with _cluster(address, workers) as ray:
        kind = "GPU" if gpu else "CPU"
        count = workers or max(1, int(ray.cluster_resources().get(kind, 1)))
        rest = iter(items)
        while begun := list(islice(rest, ROUND)):
            # First in blocks, then what is missing one by one.
            for size in (max(GROUP, min(_BLOCK, len(begun) // (8 * count))), 1):
                arrived: set[int] = set()
                for outcome in _embedded(ray, load, settings, count, gpu, begun, size):
                    arrived.add(outcome.number)
                    yield outcome
                begun = [item for item in begun if item.number not in arrived]
                if not begun:
                    break
            yield from (died(item, "Ray lost it again and again") for item in begun)


def _embedded(
    ray: Any, load: Load, settings: GroupSettings, count: int, gpu: bool, items: list[Item], size: int
) -> Iterator[Outcome]:
    """Outcomes in any order, those of lost blocks left out."""
    blocks = [_block(items[start : start + size]) for start in range(0, len(items), size)]
    attempts = ray.remote(_Attempts).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    results = ray.data.from_arrow(blocks).map_batches(
        _Embedder,
        fn_constructor_args=(load, settings, attempts),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=min(count, len(blocks))),
        num_cpus=0 if gpu else 1,
        num_gpus=1 if gpu else 0,
    )
    try:
        for table in results.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from (Outcome(**row) for row in table.to_pylist())
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise PoolError(f"Ray's actors cannot work ({lines[-1]}); run without Ray to see why") from error


def _block(items: list[Item]) -> pa.Table:
    # Paths as bytes: not every file name is text.
    return pa.table(
        {
            "number": pa.array([item.number for item in items], pa.int64()),
            "name": pa.array([item.name for item in items], pa.string()),
            "file": pa.array([os.fsencode(os.path.abspath(item.file)) for item in items], pa.binary()),
        }
    )


class _Attempts:
    """An actor that counts how often each block was begun. Ray itself would begin a block that kills without end."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """`number`: of the block's first file."""
        self.counts[number] += 1
        return self.counts[number]


class _Embedder:
    """An actor: it holds the weights."""

    def __init__(self, load: Load, settings: GroupSettings, attempts: Any) -> None:
        self.embed, self.attempts = make_embedder(load, settings), attempts

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        import ray

        items = tuple(Item(row["number"], row["name"], os.fsdecode(row["file"])) for row in block.to_pylist())
        if ray.get(self.attempts.begin.remote(items[0].number)) > ATTEMPTS:
            yield _OUTCOME.empty_table()
            return
        for outcome in self.embed(Group(items)):
            yield pa.Table.from_pylist([vars(outcome)], _OUTCOME)


_OUTCOME = pa.schema(
    [
        ("number", pa.int64()),
        ("windows", pa.int64()),
        ("rows", pa.binary()),
        ("kind", pa.string()),
        ("reason", pa.string()),
    ]
)


@contextmanager
def _cluster(address: str, workers: int | None) -> Iterator[Any]:
    """Ray, connected; a local cluster ends with the block."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL:
        # Ray's processes then talk over the loopback address, on Linux too; nobody outside need reach them.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("Ray is not installed; pip install 'whodrives[ray]'") from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # what is missing in the end is looked after here
    # Its own report of every step; ours is the progress bar.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    begun = not ray.is_initialized()
    try:
        if begun and address == LOCAL:
            ray.init(
                num_cpus=workers,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        elif begun:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises that very class, among others
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{address}: no Ray cluster can be used there ({reason}); `ray status` tells more") from error
    try:
        yield ray
    finally:
        if begun:
            ray.shutdown()
