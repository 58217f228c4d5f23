"""Training and validation clips out of a packed frame store."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.data.record import Record
from whodrives.data.sampler import PKSampler
from whodrives.data.store import FrameStore
from whodrives.data.store_errors import StoreDamageError, StoreError
from whodrives.errors import InputError
from whodrives.training.source import Batch, LabelledClips
from whodrives.video.windows import middle_start

# Streams of random numbers beside that of PKSampler, which uses (seed, step).
_START, _REDRAW = 1, 2


def random_start(n_frames: int, cuts: tuple[int, ...], length: int, rng: np.random.Generator) -> int:
    """Start of a training window: uniform over 0 .. max(0, N - T).

    In a video with scene cuts, uniform over the windows that hold none, since a cut would look like motion; where no
    shot is long enough, as if there were no cuts.
    """
    edges = [0, *cuts, n_frames]
    inside = [(begin, end - length + 1) for begin, end in itertools.pairwise(edges) if end - begin >= length]
    if not inside:
        inside = [(0, max(n_frames - length, 0) + 1)]
    pick = int(rng.integers(sum(end - begin for begin, end in inside)))
    for begin, end in inside:
        if pick < end - begin:
            return begin + pick
        pick -= end - begin
    raise AssertionError("unreachable")


class StoredSource:
    """Batches of P drivers x K windows, each of another video, out of a `FrameStore`.

    Every batch is a function of (seed, step) alone, so a resumed run sees the clips it would have seen. A damaged video
    is replaced by another one of the same driver, likewise drawn from (seed, step); `store.damaged` names it and
    `redrawn` counts how often that happened.

    Parameters
    ----------
    store : the packed videos. length : T, frames a clip. seed : of the draw.
    split : which videos; empty: all. generators : which ones; empty: all.
    workers : threads that read; 1 reads in the caller's.
    drivers, recordings : only the first so many drivers by name, and recordings of each; 0: all.
    mask_padding : batches tell how many frames of each clip are real.

    Attributes
    ----------
    drivers : names of the training drivers; labels of batches are places in it. pools : all of them in one.
    recordings_each : recordings of a driver, mean.
    left_out : drivers with a single recording, which can form no genuine pair.

    Raises
    ------
    InputError
        Nobody is left, or workers under 1.
    """

    def __init__(
        self,
        store: FrameStore,
        length: int,
        seed: int,
        split: str = "train",
        generators: tuple[str, ...] = (),
        workers: int = 1,
        drivers: int = 0,
        recordings: int = 0,
        mask_padding: bool = False,
    ) -> None:
        if workers < 1:
            raise InputError(f"workers is {workers}; give at least 1")
        chosen = _fewer(_choose(store, split, generators), drivers, recordings)
        takes: dict[str, set[str]] = {}
        for _, record in chosen:
            takes.setdefault(record.driver, set()).add(record.recording)
        self.drivers = sorted(driver for driver, recordings in takes.items() if len(recordings) > 1)
        self.recordings_each = sum(len(takes[driver]) for driver in self.drivers) / max(len(self.drivers), 1)
        self.left_out = tuple(sorted(driver for driver, recordings in takes.items() if len(recordings) < 2))
        self.pools = [list(range(len(self.drivers)))]
        if not self.drivers:
            what = f"split {split!r}" if split else "the whole store"
            raise InputError(f"{store.place}: {what} has no driver with two recordings; pack more videos")
        place = {driver: number for number, driver in enumerate(self.drivers)}
        chosen = [(number, record) for number, record in chosen if record.driver in place]
        self.store, self.length, self.seed, self.redrawn = store, length, seed, 0
        self.mask_padding = mask_padding
        self._videos = np.array([number for number, _ in chosen], np.int64)
        self._driver = np.array([place[record.driver] for _, record in chosen], np.int64)
        # The sampler needs driver and recording only, and needs them now.
        self._records: list[Record] = [record for _, record in chosen]
        self._samplers: dict[tuple[int, int], PKSampler] = {}
        self._threads = ThreadPoolExecutor(workers) if workers > 1 else None

    def batch(self, step: int, identities: int, samples: int, rows: range | None = None) -> Batch:
        """The batch of optimiser step `step`: `identities` drivers x `samples` windows, frames uint8.

        rows : the clips of it to read (what one process of several trains on); None: all.

        Raises
        ------
        StoreError
            All videos of a driver are damaged.
        """
        key = (identities, samples)
        if key not in self._samplers:
            self._samplers[key] = PKSampler(self._records, identities, samples, self.seed)
        picks = self._samplers[key].batch(step)
        side = self.store.contract.size
        rows = range(len(picks)) if rows is None else rows
        # By NumPy: it asks for huge pages, and touching fresh small ones takes longer than filling them.
        into = np.empty((len(rows), self.length, 1, side, side), np.uint8)

        def read(place: int) -> tuple[int, bool]:
            return self._read(picks[rows[place]], step, rows[place], into[place])

        found = list((self._threads.map if self._threads else map)(read, range(len(rows))))
        self.redrawn += sum(redrawn for _, redrawn in found)
        driver = torch.from_numpy(self._driver[[picks[row] for row in rows]])
        valid = torch.tensor([valid for valid, _ in found]) if self.mask_padding else None
        return Batch(torch.from_numpy(into), driver, valid=valid)

    def _read(self, pick: int, step: int, row: int, out: NDArray[np.uint8]) -> tuple[int, bool]:
        """Write the window of one row of the batch; its real frames, and whether it had to be of another video of the
        same driver."""
        rng = np.random.default_rng([self.seed, step, _START, row])
        try:
            return self._window(pick, rng, out), False
        except StoreDamageError as error:
            first = error
        others = np.flatnonzero(self._driver == self._driver[pick])
        for other in np.random.default_rng([self.seed, step, _REDRAW, row]).permutation(others[others != pick]):
            try:
                return self._window(int(other), rng, out), True
            except StoreDamageError:
                continue
        driver = self.drivers[int(self._driver[pick])]
        raise StoreError(f"no video of driver {driver} can be read back; the first: {first}") from first

    def _window(self, pick: int, rng: np.random.Generator, out: NDArray[np.uint8]) -> int:
        video = int(self._videos[pick])
        start = random_start(int(self.store.n_frames[video]), self.store.scene_cuts(video), self.length, rng)
        return _real(self.store.window(video, start, self.length, out).valid)


def _real(valid: int) -> int:
    """Real frames of a clip, as the network takes them: of a single frame its repeat counts, a motion of zero."""
    return max(valid, 2)


def _fewer(chosen: list[tuple[int, Record]], drivers: int, recordings: int) -> list[tuple[int, Record]]:
    """Of videos, those of the first so many drivers, and of the first so many recordings of each; 0: all."""
    takes: dict[str, set[str]] = {}
    for _, record in chosen:
        takes.setdefault(record.driver, set()).add(record.recording)
    names = sorted(takes)[: drivers or None]
    kept = {name: set(sorted(takes[name])[: recordings or None]) for name in names}
    return [(number, record) for number, record in chosen if record.recording in kept.get(record.driver, ())]


def stored_validation(
    store: FrameStore,
    length: int,
    split: str = "val",
    generators: tuple[str, ...] = (),
    most: int | None = None,
    seed: int = 0,
    mask_padding: bool = False,
) -> LabelledClips:
    """The middle window of every video of a split, as fixed validation clips.

    Parameters
    ----------
    most : this many videos at most (a clip takes a megabyte), drawn so that every face keeps its self-reenactments
        and its share of the others; None: all. seed : of that draw. The others as in `StoredSource`.

    Raises
    ------
    InputError
        No video of this split.
    StoreDamageError
        A clip cannot be read back: validation must not change its clips silently.
    """
    chosen = _choose(store, split, generators)
    if not chosen:
        raise InputError(f"{store.place}: has no videos of split {split!r}; choose another one")
    if most is not None and most < len(chosen):
        chosen = _thin(chosen, most, seed)
    clips = [store.window(n, middle_start(int(store.n_frames[n]), length), length) for n, _ in chosen]
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips]))
    valid = torch.tensor([_real(clip.valid) for clip in clips]) if mask_padding else None
    driver, target, recording, is_self = (
        np.array([getattr(record, name) for _, record in chosen])
        for name in ("driver", "target", "recording", "is_self")
    )
    return LabelledClips(frames, driver, target, recording, is_self, valid)


def _choose(store: FrameStore, split: str, generators: tuple[str, ...]) -> list[tuple[int, Record]]:
    """(number, record) of the videos of a split and of some generators, in the store's order."""
    return [
        (number, record)
        for number, record in enumerate(store.records)
        if (not split or record.split == split) and (not generators or record.generator in generators)
    ]


def _thin(chosen: list[tuple[int, Record]], most: int, seed: int) -> list[tuple[int, Record]]:
    """`most` of the videos, taken in turn from each (face, self or cross)."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for place in np.random.default_rng(seed).permutation(len(chosen)):
        record = chosen[place][1]
        groups.setdefault((record.target, record.is_self), []).append(int(place))
    turns = sorted((turn, key, place) for key, places in groups.items() for turn, place in enumerate(places))
    return [chosen[place] for place in sorted(place for _, _, place in turns[:most])]
