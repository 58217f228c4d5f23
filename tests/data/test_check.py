"""What the check finds on trees with known faults."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_trees import film, nvfair, touch
from whodrives.data.check import Report, check
from whodrives.data.check_file import look_at, missing_bytes
from whodrives.data.duplicates import digest, end_digest, find_duplicates
from whodrives.data.layouts import list_dataset
from whodrives.data.listing import Listing
from whodrives.data.pool import WorkerError, over_all
from whodrives.data.record import Record
from whodrives.errors import InputError


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sound video: 6 frames of 64 x 64 at 25 frames/s."""
    return film(tmp_path_factory.mktemp("film") / "good.mp4")


def people(root: Path, **files: bytes | Path) -> Listing:
    """A plain folder with one file for each driver."""
    for name, content in files.items():
        path = root / name / "x.mp4"
        path.parent.mkdir(parents=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return list_dataset(root, "folder", strict=False)


def errors(report: Report) -> dict[str, str]:
    return {Path(bad.path).parent.name: bad.error for bad in report.bad_files}


def moved_to_front(path: Path, out: Path) -> Path:
    """The same video with its index in front, as for streaming: then a cut-off file still opens."""
    import av

    with av.open(str(path)) as source, av.open(str(out), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return out


def test_a_sound_data_set(tmp_path: Path, good: Path) -> None:
    other = film(tmp_path / "other.mp4", seed=2, frames=70, side=96, fps=30.0)
    report = check(people(tmp_path / "set", ana=good, bob=other))
    assert report.problems == 0
    assert report.as_dict()["ok"] is True
    assert report.fps == {"25": 1, "30": 1}
    assert report.resolutions == {"64x64": 1, "96x96": 1}
    assert report.short == 1
    assert report.bytes == good.stat().st_size + other.stat().st_size
    assert (report.total.videos, report.total.self, report.total.identities) == (2, 2, 2)
    assert report.licences == {"not stated": 2}
    assert list(report.splits) == ["(none)"]


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_files_are_described(tmp_path: Path, good: Path, workers: int) -> None:
    whole = good.read_bytes()
    front = moved_to_front(good, tmp_path / "front.mp4").read_bytes()
    still = film(tmp_path / "still.mp4", seed=3, frames=1)
    files = {f"n{number:03d}": film(tmp_path / f"f{number}.mp4", seed=number + 5, frames=2) for number in range(4)}
    many = {f"m{number:03d}": b"no video " + bytes([number]) for number in range(70)}
    listing = people(
        tmp_path / "set", empty=b"", text=b"not a video at all", cut=whole[: len(whole) // 2],
        front=front[:-200], still=still, **files, **many,
    )  # fmt: skip
    gone = replace(listing.records[0], path=tmp_path / "set/gone/x.mp4", driver="gone", target="gone")
    listing = replace(listing, records=[*listing.records, gone])
    seen = []
    report = check(listing, workers=workers, advance=seen.append)
    assert sum(seen) == len(listing.records)
    found = errors(report)
    assert {name: error for name, error in found.items() if not name.startswith("m")} == {
        "empty": "EmptyFileError", "text": "NotAVideoError", "cut": "TruncatedFile", "front": "TruncatedFile",
        "still": "TooShortError", "gone": "UnreadableFileError",
    }  # fmt: skip
    assert len(found) == 76
    assert all(bad.path in bad.message for bad in report.bad_files)


def test_sizes_alone_open_nothing(tmp_path: Path, good: Path) -> None:
    report = check(people(tmp_path, empty=b"", text=b"not a video", one=good, two=good), "sizes")
    assert errors(report) == {"empty": "EmptyFileError"}
    assert report.duplicates is None
    assert report.fps == {}


def test_decoding_finds_damage_inside(tmp_path: Path) -> None:
    path = film(tmp_path / "damaged.mp4", frames=60)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + len(data) // 3
    data[start : start + len(data) // 3] = bytes(len(data) // 3)
    listing = people(tmp_path / "set", bad=bytes(data))
    assert errors(check(listing)) == {}
    assert errors(check(listing, "decode")) == {"bad": "CorruptVideoError"}
    assert errors(check(people(tmp_path / "fine", ana=path), "decode")) == {}


def test_declared_length_of_mp4(tmp_path: Path, good: Path) -> None:
    size = good.stat().st_size
    assert missing_bytes(str(good), size) == 0
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(good.read_bytes()[:-7])
    assert missing_bytes(str(cut), size - 7) == 7
    assert missing_bytes(str(cut.with_suffix(".mkv")), 9) == 0
    to_the_end, long_form = b"\0\0\0\0mdat" + bytes(30), b"\0\0\0\1mdat" + (24).to_bytes(8, "big") + bytes(8)
    appended = good.read_bytes() + b"and some more text"
    for odd in (b"", b"abc", bytes(20), to_the_end, long_form, appended):
        cut.write_bytes(odd)
        assert missing_bytes(str(cut), len(odd)) == 0


def test_duplicates_under_other_names(tmp_path: Path, good: Path) -> None:
    listing = people(tmp_path / "set", ana=good, bob=good, carl=film(tmp_path / "c.mp4", seed=9), e1=b"", e2=b"")
    report = check(listing)
    assert report.duplicates is not None
    assert [[Path(path).parent.name for path in group] for group in report.duplicates] == [["ana", "bob"]]


@pytest.mark.parametrize("depth", ["sizes", "headers"])
def test_one_path_in_two_records(tmp_path: Path, good: Path, depth: str) -> None:
    listing = people(tmp_path / "set", ana=good)
    (one,) = listing.records
    other = replace(one, path=tmp_path / "set" / "ana" / ".." / "ana" / "x.mp4", driver="bob", target="bob")
    report = check(replace(listing, records=[one, other, one]), depth)
    assert report.problems == 1
    assert "ana/x.mp4: stands in 3 records (driver ana, bob); keep one" in report.layout_problems[0]
    assert check(listing, depth).problems == 0


def test_duplicates_need_all_bytes_equal(tmp_path: Path) -> None:
    base = bytes(50_000)
    contents = {"a": base, "b": base, "c": base[:25_000] + b"\1" + base[25_001:], "d": base + b"\0"}
    sizes = {}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        sizes[str(tmp_path / name)] = len(content)
    assert end_digest(str(tmp_path / "a")) == end_digest(str(tmp_path / "c"))
    assert digest(str(tmp_path / "a")) != digest(str(tmp_path / "c"))
    assert find_duplicates(sizes) == [(str(tmp_path / "a"), str(tmp_path / "b"))]
    sizes[str(tmp_path / "gone")] = 50_000
    assert len(find_duplicates(sizes)) == 1


def test_identities_must_not_be_in_two_splits(tmp_path: Path) -> None:
    def record(driver: str, target: str, split: str) -> Record:
        return Record(tmp_path / f"{driver}{target}{split}.mp4", driver, target, "lia", "", driver, split, False)

    records = [record("a", "b", "train"), record("c", "d", "test"), record("b", "d", ""), record("e", "a", "val")]
    report = check(Listing("manifest", tmp_path, records), "sizes")
    assert [(overlap.splits, overlap.identities) for overlap in report.overlaps] == [(("train", "val"), ("a",))]
    assert report.problems == 1 + len(records)


def test_frame_folders(tmp_path: Path) -> None:
    def frames(name: str, count: int, side: int = 16) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 255, (side, side), np.uint8)
            Image.fromarray(noise).save(folder / f"{number:03d}.png")
        return folder

    fine, one, mixed, bad = frames("fine", 3), frames("one", 1), frames("mixed", 2), frames("bad", 3)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(mixed / "009.png")
    whole = (bad / "001.png").read_bytes()
    (bad / "001.png").write_bytes(whole[: len(whole) // 2])
    records = [Record(p, "d", "t", "lia", "", p.name, "", False) for p in (fine, one, mixed, bad, tmp_path / "none")]
    report = check(Listing("nvfair", tmp_path, records))
    found = {Path(file.path).name: file.error for file in report.bad_files}
    assert found == {"one": "TooShortError", "mixed": "LayoutError", "none": "LayoutError"}
    assert report.resolutions == {"16x16": 2}
    assert (report.fps, report.short) == ({}, 2)
    assert look_at(str(bad), "decode", is_frames=True).error == "LayoutError"
    assert look_at(str(fine), "decode", is_frames=True).frames == 3
    assert look_at(str(fine), "sizes", is_frames=True).frames == 3


def test_counts_by_split_and_generator(tmp_path: Path) -> None:
    report = check(list_dataset(nvfair(tmp_path)), "sizes")
    assert {name: (tally.videos, tally.self, tally.cross) for name, tally in report.splits.items()} == {
        "(none)": (2, 0, 2), "test": (2, 2, 0), "train": (2, 1, 1),
    }  # fmt: skip
    assert report.splits["train"].generators == {"facevid2vid": 1, "original": 1}
    assert {name: tally.videos for name, tally in report.generators.items()} == {
        "facevid2vid": 1, "lia": 2, "original": 2, "tps": 1,
    }  # fmt: skip
    assert report.total.drivers == 3
    assert report.total.recordings == 3
    assert report.overlaps == ()


def test_wrong_calls(tmp_path: Path, good: Path) -> None:
    listing = people(tmp_path, ana=good)
    with pytest.raises(InputError, match="depth 'deep'"):
        check(listing, "deep")
    with pytest.raises(InputError, match="workers is 0"):
        check(listing, workers=0)


def _die(path: str) -> int:
    if path == "41":
        os._exit(1)
    return int(path)


def test_a_worker_that_dies_is_told() -> None:
    items = [str(number) for number in range(200)]
    assert over_all(int, items, 2) == list(range(200))
    with pytest.raises(WorkerError, match="use 1 worker"):
        over_all(_die, items, 2)


def test_unreadable_file(tmp_path: Path, good: Path) -> None:
    path = tmp_path / "ana" / "x.mp4"
    path.parent.mkdir()
    shutil.copy(good, path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert look_at(str(path)).error == "UnreadableFileError"


def test_a_folder_with_a_video_ending(tmp_path: Path) -> None:
    touch(tmp_path, "ana/x.mp4/inside.txt")
    assert errors(check(list_dataset(tmp_path))) == {"ana": "UnreadableFileError"}
