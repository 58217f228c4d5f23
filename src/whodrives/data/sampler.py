"""Identity-balanced batches: P drivers x K clips, a driver's clips spread over its recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from whodrives.data.record import Record
from whodrives.errors import InputError


def spread(rng: np.random.Generator, available: int, count: int) -> NDArray[np.int64]:
    """`count` picks from 0 .. available - 1 in random order, no number used twice before all are used once."""
    rounds = -(-count // available)
    return np.concatenate([rng.permutation(available) for _ in range(rounds)])[:count]


class PKSampler:
    """Batches of indices into a list of records: `identities` drivers, `samples` videos of each.

    A batch is a function of (seed, step) alone, so that a resumed run goes on as if it had never stopped. The K videos
    of a driver come from as many different recordings as it has: clips of one take share more than the driver. Drawing
    is uniform over recordings first, then over a recording's videos, without putting back: a video of a recording with
    few comes more often than one of many, and twice in a batch only when its recording has fewer than are drawn of it.

    Parameters
    ----------
    records : N labelled videos. identities, samples : P and K. seed : of the draw. steps : length of one epoch.

    Raises
    ------
    InputError
        Fewer drivers than P, or a driver has a single recording, which can form no genuine pair.
    """

    def __init__(self, records: Sequence[Record], identities: int, samples: int, seed: int, steps: int = 200) -> None:
        self.identities, self.samples, self.seed, self.steps, self.epoch = identities, samples, seed, steps, 0
        takes: dict[str, dict[str, list[int]]] = {}
        for number, record in enumerate(records):
            takes.setdefault(record.driver, {}).setdefault(record.recording, []).append(number)
        for driver, recordings in takes.items():
            if len(recordings) < 2:
                raise InputError(f"driver {driver}: only one recording; training needs at least two, or leave it out")
        if len(takes) < identities:
            raise InputError(f"batches of {identities} drivers need as many; these records have {len(takes)}")
        self.takes = [list(recordings.values()) for _, recordings in sorted(takes.items())]

    def batch(self, step: int) -> list[int]:
        """P * K indices, a driver's together, of optimiser step `step` (counted from 0 over the whole run)."""
        rng = np.random.default_rng([self.seed, step])
        out = []
        for driver in rng.choice(len(self.takes), self.identities, replace=False):
            recordings = self.takes[driver]
            takes = spread(rng, len(recordings), self.samples).tolist()
            picks = {take: iter(spread(rng, len(recordings[take]), takes.count(take))) for take in sorted(set(takes))}
            out += [recordings[take][next(picks[take])] for take in takes]
        return out

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        """One epoch; works as the `batch_sampler` of a torch DataLoader. Every iteration is the next epoch."""
        first = self.epoch * self.steps
        self.epoch += 1
        for step in range(first, first + self.steps):
            yield self.batch(step)
