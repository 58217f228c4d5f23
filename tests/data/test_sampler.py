"""P x K batches."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@settings(deadline=None)
@given(st.integers(2, 4), st.integers(1, 5), st.integers(1, 24), st.integers(0, 99))
def test_no_video_comes_twice_before_its_recording_is_used_up(takes: int, videos: int, samples: int, seed: int) -> None:
    pool = records(2, takes, videos)
    batch = PKSampler(pool, 2, samples, seed).batch(0)
    of_videos, of_recordings = Counter(batch), Counter(pool[n].recording for n in batch)
    assert sum(of_videos.values()) == 2 * samples
    for recording, drawn in of_recordings.items():
        counts = [of_videos[n] for n, record in enumerate(pool) if record.recording == recording]
        assert max(counts) - min(counts) <= 1
        assert sum(counts) == drawn


def test_drawing_is_uniform_over_recordings_first() -> None:
    pool = [*records(2, 1, 1), *(replace(one, recording="other") for one in records(2, 1, 4))]
    sampler = PKSampler(pool, 2, 2, seed=3)
    drawn = Counter(n for step in range(400) for n in sampler.batch(step))
    assert drawn[0] == drawn[1] == 400
    assert all(60 < drawn[n] < 140 for n in range(2, 10))


def test_too_few_drivers_or_recordings() -> None:
    with pytest.raises(InputError, match="batches of 7"):
        PKSampler(records(), 7, 2, seed=0)
    with pytest.raises(InputError, match="only one recording"):
        PKSampler(records(takes=1), 2, 2, seed=0)
