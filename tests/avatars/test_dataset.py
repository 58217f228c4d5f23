"""Planning: who drives whose face, how often, and what stays when a plan grows."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_generator import fake_face, fake_track
from whodrives.avatars.clips import cut_clips, sample_track
from whodrives.avatars.nuisance import SOURCE_FPS
from whodrives.avatars.plan import PlannedVideo, draw_rate, parse_rate, plan_dataset
from whodrives.avatars.tracks import MotionTrack
from whodrives.errors import InputError

GENERATORS = ("one", "two")


def people(count: int, takes: int = 2) -> list[MotionTrack]:
    return [fake_track(f"d{number}", take) for number in range(count) for take in range(takes)]


@pytest.fixture(scope="module")
def plan() -> list[PlannedVideo]:
    faces = [fake_face(n) for n in range(4)]
    return plan_dataset(people(3), faces, clips=4, cross_clips=1, seconds=0.4, generators=GENERATORS)


def test_own_faces_are_an_assignment_and_all_clips_are_shown_on_them(plan: list[PlannedVideo]) -> None:
    own = {(v.record.driver, v.record.target) for v in plan if v.record.is_self}
    assert len(own) == len({d for d, _ in own}) == len({t for _, t in own}) == 3
    counts = Counter((v.record.driver, v.record.target, v.generator) for v in plan)
    assert all(counts[pair] == (4 if pair[:2] in own else 1) for pair in counts)
    assert len(counts) == 12 * len(GENERATORS)
    assert len({v.record.path for v in plan}) == len({v.seed for v in plan}) == len(plan)


def test_every_clip_on_every_face_goes_through_every_generator(plan: list[PlannedVideo]) -> None:
    shown = {name: set() for name in GENERATORS}
    for video in plan:
        shown[video.generator].add((video.record.driver, video.clip.name, video.record.target, video.record.is_self))
    assert shown["one"] == shown["two"]
    assert len(shown["one"]) * 2 == len(plan)
    by_clip = {(v.record.driver, v.clip.name, v.record.target, v.generator): v for v in plan}
    for (driver, clip, target, generator), video in by_clip.items():
        if generator == "one":
            assert (video.controls() == by_clip[driver, clip, target, "two"].controls()).all()


def test_nuisance_hangs_on_seed_and_path_alone(plan: list[PlannedVideo]) -> None:
    """Other motion under the same names draws the same nuisance; another seed draws another."""
    still = [replace(track, values=np.zeros_like(track.values)) for track in people(3)]
    faces = [fake_face(n) for n in range(4)]
    words = {"clips": 4, "cross_clips": 1, "seconds": 0.4, "generators": GENERATORS}
    again = plan_dataset(still, faces, **words)
    assert [v.nuisance for v in again] == [v.nuisance for v in plan]
    other = {v.record.path: v.nuisance for v in plan_dataset(still, faces, seed=1, **words)}
    assert all(other[v.record.path] != v.nuisance for v in plan if v.record.path in other)
    assert len({v.nuisance.gain for v in plan}) == len(plan)


def test_nuisance_is_no_function_of_who_drives() -> None:
    """Over many videos the drivers' mean gain differs no more than chance would have it."""
    faces = [fake_face(n) for n in range(12)]
    made = plan_dataset(people(20), faces, clips=4, seconds=0.4)
    gains = np.log(np.array([v.nuisance.gain for v in made])).reshape(20, -1)
    between, within = gains.mean(axis=1).var(ddof=1) * gains.shape[1], gains.var(axis=1, ddof=1).mean()
    assert between / within < 2.5  # F with 19 and 940 degrees of freedom passes 2.5 once in 3,000


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_what_was_planned_stays_when_the_plan_grows(drivers: int, faces: int, lent: int, seed: int) -> None:
    words = {"clips": 4, "seconds": 0.4, "seed": seed}
    stills = [fake_face(n) for n in range(faces)]
    small = plan_dataset(people(drivers), stills, cross_clips=lent, generators=("one",), **words)
    large = plan_dataset(people(drivers + 2), stills, cross_clips=lent, generators=GENERATORS, **words)
    later = {v.record.path: v for v in large}
    assert all(later[v.record.path].record == v.record for v in small)
    assert all(later[v.record.path].nuisance == v.nuisance for v in small)


@given(st.integers(1, 9), st.integers(1, 8), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_clips_are_lent_alike(faces: int, clips: int, lent: int, seed: int) -> None:
    plan = plan_dataset(
        people(1, takes=4), [fake_face(n) for n in range(faces)], clips=clips, cross_clips=lent, seconds=0.4, seed=seed
    )
    cross = [v for v in plan if not v.record.is_self]
    assert all(n == min(lent, clips) for n in Counter(v.record.target for v in cross).values())
    used = [sum(v.clip.name == clip.name for v in cross) for clip in cut_clips(people(1, 4), clips, 10, 25.0)["d0"]]
    # Alike to within one over all faces; the own face, which gets every clip anyway, is left out here.
    assert max(used) - min(used) <= 2


def test_another_own_face_seed_moves_nothing_but_own_faces() -> None:
    faces = [fake_face(n) for n in range(6)]
    words = {"clips": 2, "cross_clips": 2, "seconds": 0.4}
    first, second = (plan_dataset(people(6), faces, own_face_seed=s, **words) for s in (None, 7))
    assert [v.record.path for v in first] == [v.record.path for v in second]
    assert [v.nuisance for v in first] == [v.nuisance for v in second]
    assert [v.record.is_self for v in first] != [v.record.is_self for v in second]
    assert sum(v.record.is_self for v in second) == 12


def test_own_faces_are_at_random() -> None:
    """Over seeds every face is owned about as often by every driver."""
    faces = [fake_face(n) for n in range(3)]
    seen = Counter(
        (v.record.driver, v.record.target)
        for seed in range(120)
        for v in plan_dataset(people(3), faces, clips=1, seconds=0.4, own_face_seed=seed)
        if v.record.is_self
    )
    assert len(seen) == 9
    assert 20 <= min(seen.values()) <= max(seen.values()) <= 60  # 40 expected, standard deviation 5


def test_clips_are_spread_over_recordings_without_overlap() -> None:
    tracks = [fake_track(f"d{number}", take, seconds=4.0) for number in range(3) for take in range(2)]
    cut = cut_clips(tracks, clips=4, length=25, fps=25.0)
    for clips in cut.values():
        assert sorted(Counter(c.track.recording for c in clips).values()) == [2, 2]
        for take in {c.track.recording for c in clips}:
            starts = sorted(c.start for c in clips if c.track.recording == take)
            assert all(b - a >= 25 for a, b in pairwise(starts))


def test_drawn_frame_rates_show_the_same_motion() -> None:
    plan = plan_dataset(people(2), [fake_face(n) for n in range(8)], clips=2, seconds=0.8, fps="24-30")
    rates = [v.nuisance.fps for v in plan]
    assert set(rates) == set(SOURCE_FPS)
    for video in plan:
        values = video.controls()
        assert len(values) == video.frames == round(0.8 * video.nuisance.fps)
        rng = np.random.default_rng([*video.record.driver.encode(), int(video.record.recording[-1])])
        frequency, phase = rng.uniform(0.2, 2.0, 33), rng.uniform(0, 6, 33)
        time = video.clip.start_seconds + np.arange(len(values))[:, None] / video.nuisance.fps
        assert np.abs(values - np.sin(2 * np.pi * frequency * time + phase)).max() < 0.01


def test_fixed_rates_take_the_track_at_that_rate() -> None:
    plan = plan_dataset(people(1), [fake_face(0)], clips=1, seconds=0.8, fps=30)
    (video,) = plan
    track = next(t for t in people(1) if t.recording == video.record.recording).resample(30)
    assert (video.controls() == track.values[video.clip.start : video.clip.start + 24]).all()
    assert video.nuisance.fps == 30
    assert (replace(video, neutral=True).controls() == 0).all()
    assert replace(video, crf=33).nuisance.crf == 33


def test_sampling_a_track_is_reading_it_where_frames_fall_on_frames() -> None:
    track = fake_track("d", 0)
    assert (sample_track(track, 0.4, 25.0, 20) == track.values[10:30]).all()
    whole = track.resample(100.0)
    assert np.abs(sample_track(track, 0.41, 50.0, 20) - whole.values[41:81:2]).max() < 1e-5
    with pytest.raises(InputError, match="outside its 3 s"):
        sample_track(track, 2.5, 25.0, 20)


@pytest.mark.parametrize(("text", "rate"), [("25", (25, 25)), (24.5, (24.5, 24.5)), ("24-30", (24, 30))])
def test_rates(text: float | str, rate: tuple[float, float]) -> None:
    assert parse_rate(text) == rate


def test_rates_of_a_range_are_those_that_sources_have() -> None:
    rng = np.random.default_rng(0)
    assert {draw_rate(rng, (24, 26)) for _ in range(50)} == {24.0, 25.0}
    assert draw_rate(rng, (50, 50)) == 50
    drawn = [draw_rate(rng, (40, 50)) for _ in range(50)]
    assert 40 <= min(drawn) < 43 < 47 < max(drawn) <= 50


@pytest.mark.parametrize("text", ["", "x", "30-24", "5", "24-30-31", "nan", "24-500", "-25"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="range such as 24-30"):
        parse_rate(text)


def test_what_cannot_be_planned() -> None:
    faces = [fake_face(0)]
    with pytest.raises(InputError, match="at least one motion track"):
        plan_dataset([], faces)
    with pytest.raises(InputError, match="ask for shorter"):
        plan_dataset(people(1), faces, seconds=60)
    with pytest.raises(InputError, match="different clips"):
        plan_dataset(people(1), faces, clips=8, seconds=2.96)
    with pytest.raises(InputError, match="two frames"):
        plan_dataset(people(1), faces, seconds=0.01)
    with pytest.raises(InputError, match="unknown layout"):
        plan_dataset(people(1), faces, seconds=0.4, layout="zip")
    same = [replace(track, recording=name) for track, name in zip(people(1), ("a/b", "a_b"), strict=True)]
    with pytest.raises(InputError, match="two videos would have this name"):
        plan_dataset(same, faces, clips=2, seconds=0.4)


def test_short_recordings_are_not_cut_twice_while_others_have_room() -> None:
    tracks = [fake_track("d0", 0, seconds=5.2), fake_track("d0", 1, seconds=60.0), fake_track("d0", 2, seconds=60.0)]
    (clips,) = cut_clips(tracks, 12, 125, 25.0).values()
    of = Counter(clip.track.recording for clip in clips)
    assert of == {"d0-0": 1, "d0-1": 6, "d0-2": 5}
    for recording in of:
        starts = sorted(clip.start for clip in clips if clip.track.recording == recording)
        assert all(b - a >= 125 for a, b in pairwise(starts))


def test_terms_of_every_part_are_told() -> None:
    face = replace(fake_face(0), licence="")
    plan = plan_dataset(people(1), [face], clips=2, seconds=0.4, generators=("one",))
    assert {video.record.licence for video in plan} == {"face: not stated; motion: CC0"}


def test_ntsc_rate_lies_in_its_range() -> None:
    drawn = {draw_rate(np.random.default_rng(n), parse_rate("24-29.97")) for n in range(60)}
    assert drawn == {24.0, 25.0, 30000 / 1001}
