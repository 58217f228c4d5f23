"""The record is cheap and still says `path: Path`."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from whodrives.data.record import Record

TEXT = Record("a/b.mp4", "d", "t", "warp", "s", "r", "test", False)  # type: ignore[arg-type]
PATH = replace(TEXT, path=Path("a/b.mp4"))


def test_text_and_path_are_one() -> None:
    assert isinstance(TEXT.path, Path)
    assert TEXT.path is TEXT.path
    assert TEXT == PATH
    assert hash(TEXT) == hash(PATH)
    assert "PosixPath('a/b.mp4')" in repr(TEXT) or "WindowsPath" in repr(TEXT)
    assert [field.name for field in fields(Record)][:2] == ["path", "driver"]
    with pytest.raises(TypeError):
        Record()  # type: ignore[call-arg]
    with pytest.raises(FrozenInstanceError):
        TEXT.path = Path("x")  # type: ignore[misc]


def test_copies_and_workers_keep_it() -> None:
    fresh = Record("a/b.mp4", "d", "t", "warp", "s", "r", "test", False)  # type: ignore[arg-type]
    for other in (copy.copy(fresh), copy.deepcopy(fresh), pickle.loads(pickle.dumps(fresh))):
        assert other == PATH


@pytest.mark.parametrize(
    ("name", "frames"),
    [("a.mp4", False), ("A.MOV", False), ("id001--1019.x--7", True), ("x.mp4/frames", True), ("a.png", True)],
)
def test_frames_are_told_by_the_ending(name: str, frames: bool) -> None:
    assert replace(TEXT, path=Path(name)).is_frames is frames
