"""Rendering data sets to files: equal bytes from any number of workers, what is kept, what is made anew."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest

from fake_generator import FakeGenerator, fake_face, fake_track
from whodrives.avatars.dataset import RenderError, Rendering, plan_dataset, render_dataset, render_video
from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.encode import write_mp4
from whodrives.avatars.ledger import LEDGER, Ledger, content_key, face_digest
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.plan import PlannedVideo
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.warp import build_rig
from whodrives.data.lock import BusyError
from whodrives.data.manifest import read_manifest
from whodrives.data.nvfair import list_videos
from whodrives.errors import InputError

TRACKS = [fake_track(f"d{number}", take) for number in range(2) for take in range(2)]
FACES = [fake_face(number) for number in range(3)]
FAKE = FakeGenerator()


def planned(faces: Sequence = FACES, **words: object) -> list[PlannedVideo]:
    settings = {"clips": 2, "cross_clips": 1, "seconds": 0.4, "generators": ("fake",), **words}
    return plan_dataset(TRACKS, faces, **settings)


def run(plan: list[PlannedVideo], out: Path, generator: FakeGenerator = FAKE, **words: object) -> Rendering:
    rendering = render_dataset(plan, out, size=64, generators={"fake": generator}, **words)
    assert len(list(rendering)) == len(plan)
    return rendering


def digests(out: Path) -> dict[str, str]:
    return {p.relative_to(out).as_posix(): sha256(p.read_bytes()).hexdigest() for p in sorted(out.rglob("*.mp4"))}


@pytest.fixture(scope="module")
def warped() -> list[PlannedVideo]:
    tracks = [BuiltinDriver(50 + d).recording(50 * d + take, take, 4.0, 25.0) for d in range(2) for take in range(2)]
    return plan_dataset(tracks, [procedural_face(n) for n in range(2)], clips=2, cross_clips=1, seconds=0.4)


def test_rendered_tree_is_nvfair_with_a_manifest(warped: list[PlannedVideo], tmp_path: Path) -> None:
    rendering = render_dataset(warped, tmp_path, size=64)
    records = sorted(rendering, key=lambda record: record.path)
    assert list(rendering.result.records) == read_manifest(tmp_path) == list(list_videos(tmp_path)) == records
    assert rendering.result.bytes == sum(record.path.stat().st_size for record in records)
    (tmp_path / "manifest.csv").unlink()
    with pytest.raises(InputError, match="is unfinished"):
        list(list_videos(tmp_path))
    (tmp_path / LEDGER).unlink()
    found = {r.path: r for r in list_videos(tmp_path)}
    assert set(found) == {r.path for r in records}
    assert all(found[r.path].driver == r.driver and found[r.path].target == r.target for r in records)
    with av.open(str(records[0].path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height, stream.average_rate) == ("h264", 64, 64, 25)
        assert sum(1 for _ in container.decode(stream)) == 10


def test_bytes_do_not_depend_on_the_number_of_workers(warped: list[PlannedVideo], tmp_path: Path) -> None:
    for workers in (1, 2):
        list(render_dataset(warped, tmp_path / str(workers), size=64, workers=workers))
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    assert len(digests(tmp_path / "1")) == len(warped)
    assert (tmp_path / "1/manifest.csv").read_bytes() == (tmp_path / "2/manifest.csv").read_bytes()


def test_equal_frames_give_equal_files(tmp_path: Path) -> None:
    """At 144 pixels x264's own choice of code gave other bytes from run to run."""
    rng = np.random.default_rng(0)
    drift = np.cumsum(rng.normal(0, 3, (25, 144, 144, 3)), axis=0)
    frames = (rng.integers(0, 255, (144, 144, 3)) + drift).clip(0, 255).astype(np.uint8)
    seen = set()
    for number in range(6):
        noise = [np.empty(rng.integers(1, 1 << 16), np.uint8) for _ in range(50)]  # another heap each time
        write_mp4(tmp_path / f"{number}.mp4", frames, 25.0, 24)
        seen.add(sha256((tmp_path / f"{number}.mp4").read_bytes()).hexdigest())
        del noise
    assert len(seen) == 1


def test_one_run_a_folder(tmp_path: Path) -> None:
    first = iter(render_dataset(planned(), tmp_path, size=64, generators={"fake": FAKE}))
    next(first)
    with pytest.raises(BusyError, match="another run is writing here"):
        list(render_dataset(planned(), tmp_path, size=64, generators={"fake": FAKE}))
    first.close()
    run(planned(), tmp_path)


def test_an_unfinished_folder_has_no_manifest(tmp_path: Path) -> None:
    run(planned(), tmp_path)
    assert (tmp_path / "manifest.csv").exists()
    again = iter(render_dataset(planned(), tmp_path, size=64, generators={"fake": FAKE}, neutral=True))
    next(again)
    assert not (tmp_path / "manifest.csv").exists()
    again.close()
    run(planned(), tmp_path, neutral=True)
    assert (tmp_path / "manifest.csv").exists()


def test_files_have_their_own_frame_rate(tmp_path: Path) -> None:
    plan = planned(fps="24-30")
    run(plan, tmp_path)
    for video in plan:
        with av.open(str(tmp_path / video.record.path)) as container:
            stream = container.streams.video[0]
            assert float(stream.average_rate) == pytest.approx(video.nuisance.fps, abs=1e-3)
            assert sum(1 for _ in container.decode(stream)) == video.frames


def test_a_second_run_renders_nothing_and_lost_files_come_back(tmp_path: Path) -> None:
    plan = planned()
    first = run(plan, tmp_path).result
    assert (first.rendered, first.kept) == (len(plan), 0)
    before = digests(tmp_path)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.mp4")}
    again = run(plan, tmp_path).result
    assert (again.rendered, again.kept, again.bytes) == (0, len(plan), first.bytes)
    assert stamps == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.mp4")}
    lost, torn, *_ = sorted(stamps)
    lost.unlink()
    torn.write_bytes(torn.read_bytes()[:-100])
    mended = run(plan, tmp_path).result
    assert (mended.rendered, mended.kept) == (2, len(plan) - 2)
    assert digests(tmp_path) == before


def test_leaving_early_keeps_whole_files_and_the_next_run_goes_on(tmp_path: Path) -> None:
    plan = planned()
    for workers in (1, 2):
        out = tmp_path / str(workers)
        rendering = iter(render_dataset(plan, out, size=64, workers=workers, generators={"fake": FAKE}))
        next(rendering)
        rendering.close()
        entries = Ledger(out).entries
        assert 1 <= len(entries) < len(plan)
        assert not (out / "manifest.csv").exists()
        assert run(plan, out).result.kept == len(entries)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_another_version_of_the_generator_renders_anew(tmp_path: Path) -> None:
    plan = planned()
    run(plan, tmp_path)
    newer = FakeGenerator(version="2")
    assert run(plan, tmp_path, newer).result.rendered == len(plan)
    assert run(plan, tmp_path, newer).result.rendered == 0


def test_other_neutral_nuisance_or_size_renders_anew(tmp_path: Path) -> None:
    plan = planned()
    run(plan, tmp_path)
    assert run(plan, tmp_path, neutral=True).result.rendered == len(plan)
    assert run(plan, tmp_path, neutral=True, nuisance=lambda _: Nuisance(seed=3)).result.rendered == len(plan)
    larger = render_dataset(plan, tmp_path, size=66, generators={"fake": FAKE})
    list(larger)
    assert larger.result.rendered == len(plan)


def test_earlier_videos_stay_until_they_are_pruned(tmp_path: Path) -> None:
    large, small = planned(), planned(FACES[:1])
    run(large, tmp_path)
    (tmp_path / "mine.mp4").write_bytes(b"not a rendered one")
    kept = {video.record.path for video in small}
    left = run(small, tmp_path).result
    assert set(left.earlier) == {video.record.path for video in large} - kept
    assert [r.path.relative_to(tmp_path) for r in read_manifest(tmp_path)] == sorted(kept)
    pruned = run(small, tmp_path, prune=True).result
    assert (pruned.removed, pruned.earlier, pruned.rendered) == (len(left.earlier), (), 0)
    assert set(digests(tmp_path)) == {path.as_posix() for path in kept} | {"mine.mp4"}
    assert run(small, tmp_path).result.earlier == ()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_face_is_named_and_does_not_stop_the_others(tmp_path: Path, workers: int) -> None:
    plan = planned()
    picky = FakeGenerator(bad=("face1",))
    rendering = render_dataset(plan, tmp_path, size=64, workers=workers, generators={"fake": picky})
    with pytest.raises(RenderError, match="face face1: no good") as caught:
        list(rendering)
    bad = {video.record.path for video in plan if video.record.target == "face1"}
    assert {failure.path for failure in caught.value.failures} == bad
    assert {r.path.relative_to(tmp_path) for r in read_manifest(tmp_path)} == {v.record.path for v in plan} - bad
    with pytest.raises(InputError, match="exists once"):
        _ = rendering.result
    assert run(plan, tmp_path).result.rendered == len(bad)


def test_a_dead_worker_costs_the_video_it_was_at(tmp_path: Path) -> None:
    # Four drivers on their own faces alone: one video kills its worker.
    plan = planned(clips=1)
    victim = next(video for video in plan if video.record.target == "face2")
    plan = [video for video in plan if video.record.target != "face2"] + [victim]
    deadly = FakeGenerator(deadly=("face2",))
    with pytest.raises(RenderError, match="worker process ended") as caught:
        list(render_dataset(plan, tmp_path, size=64, workers=2, generators={"fake": deadly}))
    assert [failure.path for failure in caught.value.failures] == [victim.record.path]
    assert len(digests(tmp_path)) == len(plan) - 1
    assert not list(tmp_path.rglob("*.part"))


def test_workers_that_keep_dying_end_the_run(tmp_path: Path) -> None:
    plan = planned(clips=2, cross_clips=2)
    deadly = FakeGenerator(deadly=tuple(face.name for face in FACES))
    with pytest.raises(RenderError, match="could not be rendered") as caught:
        list(render_dataset(plan, tmp_path, size=64, workers=2, generators={"fake": deadly}))
    assert len(caught.value.failures) == len(plan)


def test_a_torn_ledger_counts_as_what_it_still_says(tmp_path: Path) -> None:
    plan = planned()
    run(plan, tmp_path)
    ledger = tmp_path / LEDGER
    lines = ledger.read_text().splitlines()
    ledger.write_text("\n".join(["{}", "[1]", "null", *lines[:-1], lines[-1][:40]]))
    assert run(plan, tmp_path).result.rendered == 1
    assert run(plan, tmp_path).result.rendered == 0


def test_keys_tell_everything_apart_that_is_seen() -> None:
    face = fake_face(0)
    controls = np.zeros((5, 33), np.float32)
    base = content_key(FAKE, face_digest(face), controls, Nuisance(), 64)
    moved = controls.copy()
    moved[2, 3] = 1e-6
    others = [
        content_key(FakeGenerator(version="2"), face_digest(face), controls, Nuisance(), 64),
        content_key(FakeGenerator(name="other"), face_digest(face), controls, Nuisance(), 64),
        content_key(FAKE, face_digest(face), moved, Nuisance(), 64),
        content_key(FAKE, face_digest(face), controls, Nuisance(crf=21), 64),
        content_key(FAKE, face_digest(face), controls, Nuisance(background=1), 64),
        content_key(FAKE, face_digest(face), controls, Nuisance(), 66),
        content_key(FAKE, face_digest(face), controls, Nuisance(), 64, take="a.mp4"),
        content_key(FAKE, face_digest(replace(face, image=face.image + 1)), controls, Nuisance(), 64),
        content_key(FAKE, face_digest(replace(face, landmarks=face.landmarks + 1)), controls, Nuisance(), 64),
        content_key(FAKE, face_digest(replace(face, matte=face.image[..., 0])), controls, Nuisance(), 64),
    ]
    assert len({base, *others}) == 1 + len(others)
    assert content_key(FakeGenerator(), face_digest(fake_face(0)), controls.copy(), Nuisance(), 64) == base


def test_neutral_videos_do_not_move_and_others_do(warped: list[PlannedVideo]) -> None:
    rig = build_rig(warped[0].face, 64)
    still = render_video(warped[0], rig, neutral=True, nuisance=Nuisance.none())
    moving = render_video(warped[0], rig, nuisance=Nuisance.none())
    assert still.dtype == np.uint8
    assert still.shape == moving.shape == (10, 64, 64, 3)
    assert (still == still[:1]).all()
    assert np.abs(np.diff(moving.astype(int), axis=0)).mean() > 0.1


def test_neutral_video_is_the_same_whoever_drives(warped: list[PlannedVideo]) -> None:
    face = warped[0].record.target
    rig = build_rig(warped[0].face, 64)
    draw = warped[0].nuisance
    videos = [render_video(v, rig, neutral=True, nuisance=draw) for v in warped if v.record.target == face]
    assert len(videos) > 2
    assert all((video == videos[0]).all() for video in videos)


def test_what_cannot_be_rendered(warped: list[PlannedVideo], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="even side; take 66"):
        render_dataset(warped, tmp_path, size=65)
    with pytest.raises(InputError, match="1 or more"):
        render_dataset(warped, tmp_path, workers=0)
    with pytest.raises(InputError, match="unknown generator 'fake'"):
        render_dataset(planned(), tmp_path)
