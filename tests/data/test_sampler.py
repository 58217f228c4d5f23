"""P x K batches."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from whodrives.data.record import Record
from whodrives.data.sampler import PKSampler, spread
from whodrives.errors import InputError


def records(drivers: int = 6, takes: int = 3, videos: int = 2) -> list[Record]:
    return [
        Record(Path(f"{d}-{t}-{v}"), f"d{d}", f"t{v}", "warp", "s", f"d{d}-{t}", "train", False)
        for d in range(drivers)
        for t in range(takes)
        for v in range(videos)
    ]


def test_batches_are_balanced_and_spread_over_recordings() -> None:
    pool = records()
    sampler = PKSampler(pool, identities=4, samples=3, seed=1, steps=5)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 5
    for batch in batches:
        assert sorted(Counter(pool[n].driver for n in batch).values()) == [3, 3, 3, 3]
        assert set(Counter(pool[n].recording for n in batch).values()) == {1}


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    sampler = PKSampler(records(), 4, 3, seed=1, steps=2)
    first, second = list(sampler), list(sampler)
    fresh = PKSampler(records(), 4, 3, seed=1, steps=2)
    assert [fresh.batch(step) for step in range(4)] == first + second
    assert first != second
    assert PKSampler(records(), 4, 3, seed=2).batch(0) != first[0]


def test_spread_uses_everything_before_anything_twice() -> None:
    picks = spread(np.random.default_rng(0), 3, 7)
    assert sorted(Counter(picks.tolist()).values()) == [2, 2, 3]
    assert set(picks[:3].tolist()) == {0, 1, 2}


def test_too_few_drivers_or_recordings() -> None:
    with pytest.raises(InputError, match="batches of 7"):
        PKSampler(records(), 7, 2, seed=0)
    with pytest.raises(InputError, match="only one recording"):
        PKSampler(records(takes=1), 2, 2, seed=0)
