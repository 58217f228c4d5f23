"""Data sets: who drives whom, the files and their labels."""

from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from whodrives.avatars.builtin import BuiltinDriver
from whodrives.avatars.dataset import PlannedVideo, cut_clips, plan_dataset, render_dataset, render_video
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import MotionTrack
from whodrives.avatars.warp import build_rig
from whodrives.data.manifest import read_manifest
from whodrives.data.nvfair import list_videos
from whodrives.errors import InputError


@pytest.fixture(scope="module")
def tracks() -> list[MotionTrack]:
    return [BuiltinDriver(50 + d).recording(50 * d + take, take, 4.0, 25.0) for d in range(3) for take in range(2)]


@pytest.fixture(scope="module")
def plan(tracks: list[MotionTrack]) -> list[PlannedVideo]:
    return plan_dataset(tracks, [procedural_face(n) for n in range(4)], clips=4, cross_clips=1, seconds=0.4)


def test_own_faces_are_an_assignment_and_all_clips_are_shown_on_them(plan: list[PlannedVideo]) -> None:
    own = {(v.record.driver, v.record.target) for v in plan if v.record.is_self}
    assert len(own) == len({d for d, _ in own}) == len({t for _, t in own}) == 3
    counts = Counter((v.record.driver, v.record.target) for v in plan)
    assert all(counts[pair] == (4 if pair in own else 1) for pair in counts)
    assert len(counts) == 12
    assert len({v.record.path for v in plan}) == len({v.seed for v in plan}) == len(plan)


def test_nuisance_is_blind_to_the_labels(tracks: list[MotionTrack], plan: list[PlannedVideo]) -> None:
    """The n-th video has the n-th nuisance, whoever drives it: other drivers, other faces, the same draws."""
    others = [BuiltinDriver(90 + d).recording(900 * d + take, take, 4.0, 25.0) for d in range(3) for take in range(2)]
    again = plan_dataset(others, [procedural_face(10 + n) for n in range(4)], clips=4, cross_clips=1, seconds=0.4)
    assert [v.nuisance for v in again[:8]] == [v.nuisance for v in plan[:8]]
    assert len({v.nuisance.gain for v in plan}) == len(plan)


def test_clips_are_spread_over_recordings_without_overlap(tracks: list[MotionTrack]) -> None:
    cut = cut_clips(tracks, clips=4, length=25, fps=25.0)
    for clips in cut.values():
        assert sorted(Counter(c.track.recording for c in clips).values()) == [2, 2]
        for take in {c.track.recording for c in clips}:
            starts = sorted(c.start for c in clips if c.track.recording == take)
            assert starts[1] - starts[0] >= 25


def test_rendered_tree_is_nvfair_with_a_manifest(plan: list[PlannedVideo], tmp_path: Path) -> None:
    records = list(render_dataset(plan[:6], tmp_path, size=64))
    assert read_manifest(tmp_path) == records
    assert list(list_videos(tmp_path)) == records
    (tmp_path / "manifest.csv").unlink()
    found = {r.path: r for r in list_videos(tmp_path)}
    assert set(found) == {r.path for r in records}
    assert all(found[r.path].driver == r.driver and found[r.path].target == r.target for r in records)
    with av.open(str(records[0].path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height, stream.average_rate) == ("h264", 64, 64, 25)
        assert sum(1 for _ in container.decode(stream)) == 10
    before = records[0].path.stat().st_mtime_ns
    list(render_dataset(plan[:6], tmp_path, size=64))
    assert records[0].path.stat().st_mtime_ns == before


def test_neutral_videos_do_not_move_and_others_do(plan: list[PlannedVideo]) -> None:
    rig = build_rig(plan[0].face, 64)
    still = render_video(plan[0], rig, neutral=True, nuisance=Nuisance.none())
    moving = render_video(plan[0], rig, nuisance=Nuisance.none())
    assert still.dtype == np.uint8
    assert still.shape == moving.shape == (10, 64, 64, 3)
    assert (still == still[:1]).all()
    assert np.abs(np.diff(moving.astype(int), axis=0)).mean() > 0.1


def test_neutral_video_is_the_same_whoever_drives(plan: list[PlannedVideo]) -> None:
    face = plan[0].record.target
    rig = build_rig(plan[0].face, 64)
    draw = plan[0].nuisance
    videos = [render_video(v, rig, neutral=True, nuisance=draw) for v in plan if v.record.target == face]
    assert len(videos) > 2
    assert all((video == videos[0]).all() for video in videos)


def test_what_cannot_be_planned(tracks: list[MotionTrack]) -> None:
    with pytest.raises(InputError, match="at least one motion track"):
        plan_dataset([], [procedural_face(0)])
    with pytest.raises(InputError, match="ask for shorter"):
        plan_dataset(tracks, [procedural_face(0)], seconds=60)
    with pytest.raises(InputError, match="different clips"):
        plan_dataset(tracks, [procedural_face(0)], clips=4, seconds=4)
    with pytest.raises(InputError, match="two frames"):
        plan_dataset(tracks, [procedural_face(0)], seconds=0.01)
