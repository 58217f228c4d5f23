"""Files of a group to rows in one process: threads decode, and windows of several videos share a forward pass."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import WhodrivesError
from whodrives.verification.batch.rows import rows_of
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.verification.forward import Cut, Forward, PlainForward
from whodrives.verification.reading import VideoReading

# Windows that wait between decoders and network, in batches: enough that neither waits for long.
WAITING = 2
_POLL = 0.1


@dataclass(frozen=True)
class Item:
    """One file to embed. number : in the inputs. name : in the tables. file : to open."""

    number: int
    name: str
    file: str


@dataclass(frozen=True)
class Group:
    """Files that one worker embeds together."""

    items: tuple[Item, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of an item: the bytes of its `Rows`, or `kind` and `reason` of the failure."""

    number: int
    windows: int = 0
    rows: bytes = b""
    kind: str = ""
    reason: str = ""


@dataclass(frozen=True)
class GroupSettings:
    """How files are embedded.

    Parameters
    ----------
    hop : frames between windows. crop : see `Fingerprinter.embed`.
    decoders : threads that decode, each a file at a time. batch : windows in a forward pass.
    threads : of the tensor library, None: as it is set.
    """

    hop: int
    crop: str | None = None
    decoders: int = 1
    batch: int = 2
    threads: int | None = None


Load = Callable[[], Fingerprinter]


def make_embedder(load: Load, settings: GroupSettings) -> Callable[[Group], Iterator[Outcome]]:
    """For a worker process: loads the weights once, then embeds group after group."""
    import torch

    from whodrives.avatars.allocator import keep_large_blocks

    keep_large_blocks()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    fingerprinter = load()
    return lambda group: embed_group(fingerprinter, group.items, settings)


@dataclass(eq=False)
class _Video:
    """A video under way. forward : its own where windows of one video share frames."""

    item: Item
    forward: Forward | None = None
    reading: VideoReading | None = None
    waiting: list[Cut] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    missing: int = 0  # windows that wait for their rows
    ended: bool = False
    problem: Exception | None = None


def embed_group(fingerprinter: Fingerprinter, items: Sequence[Item], settings: GroupSettings) -> Iterator[Outcome]:
    """What becomes of each file, as soon as it is known. What is wrong with a file is told, never raised.

    At most `WAITING` batches of windows are held, however long the videos are, besides the batch being embedded and the
    window that each decoder is about to hand over.
    """
    plain = fingerprinter.forward(settings.hop)
    shared = not isinstance(plain, PlainForward)
    crew = _Decoders(fingerprinter, items, settings)
    batch: list[tuple[_Video, Cut]] = []
    try:
        for video, cut in crew.results():
            if cut is None:
                video.ended = True
            else:
                video.missing += 1
                batch.append((video, cut))
            done = {id(video): video} if cut is None else {}
            # Frames are shared within one video, so such ones are pushed by themselves; others wait for a full batch.
            if len(batch) >= settings.batch or (cut is None and shared):
                done |= {id(one): one for one, _ in batch}
                _embed(fingerprinter, plain, batch, settings.hop, shared)
                batch.clear()
            yield from (_outcome(one, fingerprinter) for one in done.values() if one.ended and not one.missing)
        if batch:
            done = {id(one): one for one, _ in batch}
            _embed(fingerprinter, plain, batch, settings.hop, shared)
            yield from (_outcome(one, fingerprinter) for one in done.values())
    finally:
        crew.close()


def _embed(
    fingerprinter: Fingerprinter, plain: Forward, batch: Sequence[tuple[_Video, Cut]], hop: int, shared: bool
) -> None:
    """Rows of a batch, to the videos that its windows are of."""
    if not shared:
        for (video, _), row in zip(batch, plain([cut for _, cut in batch])):
            video.vectors.append(row[None])
            video.missing -= 1
        return
    for video, cut in batch:
        video.waiting.append(cut)
    for video in {id(video): video for video, _ in batch}.values():
        video.forward = video.forward or fingerprinter.forward(hop)
        video.vectors.append(video.forward(video.waiting))
        video.missing = 0
        video.waiting.clear()


def _outcome(video: _Video, fingerprinter: Fingerprinter) -> Outcome:
    item, problem = video.item, video.problem
    if problem is None:
        try:
            assert video.reading is not None
            vectors = np.concatenate(video.vectors) if video.vectors else fingerprinter.blank().vectors
            made = video.reading.finish(vectors)
            return Outcome(item.number, len(vectors), rows_of(item.name, os.path.getsize(item.file), made).to_bytes())
        except Exception as error:
            problem = error
    known = isinstance(problem, WhodrivesError)
    text = str(problem) if known else f"{item.file}: {type(problem).__name__}: {problem}"
    return Outcome(item.number, kind=type(problem).__name__, reason=text)


class _Decoders:
    """Threads that decode the items, each one at a time; PyAV lets other threads run while it decodes."""

    def __init__(self, fingerprinter: Fingerprinter, items: Sequence[Item], settings: GroupSettings) -> None:
        self.fingerprinter, self.settings = fingerprinter, settings
        self.items = iter(items)
        self.lock = threading.Lock()
        self.ended = threading.Event()
        # A finished video is (video, None), a finished thread (None, None).
        self.out: queue.Queue[tuple[_Video | None, Cut | None]] = queue.Queue(WAITING * settings.batch)
        count = max(1, min(settings.decoders, len(items)))
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def results(self) -> Iterator[tuple[_Video, Cut | None]]:
        """(video, window with its frames), and (video, None) at its end, videos mixed."""
        running = len(self.threads)
        while running:
            video, cut = self.out.get()
            if video is None:
                running -= 1
            else:
                yield video, cut

    def close(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _put(self, video: _Video | None, cut: Cut | None) -> None:
        while not self.ended.is_set():
            try:
                self.out.put((video, cut), timeout=_POLL)
                return
            except queue.Full:
                continue

    def _work(self) -> None:
        while not self.ended.is_set():
            with self.lock:
                item = next(self.items, None)
            if item is None:
                break
            video = _Video(item)
            try:
                video.reading = self.fingerprinter.read(item.file, self.settings.crop, self.settings.hop)
                try:
                    for cut in video.reading:
                        if self.ended.is_set():
                            return
                        self._put(video, cut)
                finally:
                    video.reading.close()
            except Exception as error:
                video.problem = error
            self._put(video, None)
        self._put(None, None)
