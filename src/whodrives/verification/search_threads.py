"""Threads that each do a part of a search by themselves.

torch divides every single product among its threads and waits for the last of them, block after block. On a machine
that does something else as well, those waits are most of a search. Here each thread takes the next block when it is
ready.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import torch

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def search_threads(count: int) -> ThreadPoolExecutor:
    """`count` threads, kept for the next search, in which torch runs without threads of its own."""
    with _lock:
        if count not in _pools:
            before = torch.get_num_threads()
            pool = ThreadPoolExecutor(count, "whodrives-search")
            ready = threading.Barrier(count)
            for one in [pool.submit(_alone, ready) for _ in range(count)]:
                one.result()
            torch.set_num_threads(before)
            _pools[count] = pool
        return _pools[count]


def thread_count() -> int:
    """How many threads the caller lets torch use."""
    return torch.get_num_threads()


def _alone(ready: threading.Barrier) -> None:
    # torch keeps the number for each thread. A thread takes over the last one set anywhere when it first asks: that
    # must be behind us. The caller's own number, which is to hold for threads to come, is set again afterwards.
    torch.get_num_threads()
    torch.set_num_threads(1)
    ready.wait()  # so that every thread comes here once


def _forget() -> None:
    """In a forked child there are no threads, and the lock may be held for ever."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
