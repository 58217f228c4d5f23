"""Loading folders of portraits: what is read, and that every defect is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whodrives.avatars.facepoints import MIRROR
from whodrives.avatars.faces import (
    Face,
    FaceError,
    LandmarkError,
    PortraitImageError,
    PortraitIndexError,
    PortraitSplitError,
    load_portraits,
)
from whodrives.avatars.procedural import procedural_face
from whodrives.errors import InputError, WhodrivesError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three drawn faces stored as a folder of portraits with a split beside it."""
    place = tmp_path / "portraits" / "drawn"
    place.mkdir(parents=True)
    index = {}
    for seed, name in enumerate(["b.png", "a.png", "ü c.png"]):
        face = procedural_face(seed, 96)
        Image.fromarray(face.image).save(place / name)
        index[name] = face.landmarks.round(2).tolist()
    (place / "portraits.json").write_text(json.dumps(index))
    (place.parent / "split.csv").write_text("portrait,split\na,train\nb,test\nü c,train\n", encoding="utf-8")
    return place


def _edit(folder: Path, change) -> None:
    path = folder / "portraits.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def test_portraits_are_read_in_order_with_their_landmarks(folder: Path) -> None:
    faces = load_portraits(folder)
    assert [face.name for face in faces] == ["a", "b", "ü c"]
    drawn = procedural_face(1, 96)
    assert np.array_equal(faces[0].image, drawn.image)
    assert np.abs(faces[0].landmarks - drawn.landmarks).max() <= 0.0051


def test_split_selects_portraits(folder: Path) -> None:
    assert [face.name for face in load_portraits(str(folder), split="train")] == ["a", "ü c"]
    assert [face.name for face in load_portraits(folder, split="test")] == ["b"]


def test_split_file_may_lie_in_the_folder_itself(folder: Path) -> None:
    (folder.parent / "split.csv").rename(folder / "split.csv")
    assert len(load_portraits(folder, split="train")) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name,split\na,train\n", "columns"),
        ("portrait,split\na,train\nb,\n", "line 3"),
        ("portrait,split\na,train\na,test\n", "two splits"),
        ("portrait,split\na,train\nb,test\n", "ü c.png"),
        ("portrait,split\na,test\nb,test\nü c,test\n", "no portrait in split 'train'"),
    ],
)
def test_broken_split_is_named(folder: Path, content: str, words: str) -> None:
    (folder.parent / "split.csv").write_text(content, encoding="utf-8")
    with pytest.raises(PortraitSplitError, match=words):
        load_portraits(folder, split="train")


def test_missing_split_is_named(folder: Path) -> None:
    (folder.parent / "split.csv").unlink()
    with pytest.raises(PortraitSplitError, match=r"split\.csv"):
        load_portraits(folder, split="train")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"../a.png": []}'])
def test_broken_index_is_named(folder: Path, content: str) -> None:
    (folder / "portraits.json").write_text(content)
    with pytest.raises(PortraitIndexError, match=r"portraits\.json"):
        load_portraits(folder)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PortraitIndexError, match="nowhere"):
        load_portraits(tmp_path / "nowhere")


def test_broken_pictures_are_named(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"not a picture")
    with pytest.raises(PortraitImageError, match=r"a\.png"):
        load_portraits(folder)
    (folder / "a.png").unlink()
    with pytest.raises(PortraitImageError, match=r"a\.png.*not found"):
        load_portraits(folder)
    Image.new("RGB", (96, 80)).save(folder / "a.png")
    with pytest.raises(PortraitImageError, match="96 x 80"):
        load_portraits(folder)


@pytest.mark.parametrize(
    "points", [[], "x", [[1, 2, 3]] * 477, [[1, 2]] * 478, [[None, 1, 1]] * 478, [[5, 5, 5]] * 478, [[900, 1, 1]] * 478]
)
def test_broken_landmarks_are_named(folder: Path, points: object) -> None:
    _edit(folder, lambda index: index.update({"b.png": points}))
    with pytest.raises(LandmarkError, match=r"b\.png"):
        load_portraits(folder)


def test_errors_are_the_project_s_own() -> None:
    assert issubclass(FaceError, InputError)
    assert issubclass(FaceError, WhodrivesError)
    assert FaceError("here.png", "is odd").path == "here.png"


@pytest.mark.parametrize(
    ("image", "landmarks"),
    [
        (np.zeros((8, 8, 3), np.float32), np.zeros((478, 3), np.float32)),
        (np.zeros((8, 9, 3), np.uint8), np.zeros((478, 3), np.float32)),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((68, 2), np.float32)),
        (np.zeros((8, 8, 3), np.uint8), np.full((478, 3), np.nan, np.float32)),
    ],
)
def test_face_checks_its_arrays(image: np.ndarray, landmarks: np.ndarray) -> None:
    with pytest.raises(InputError, match="face odd"):
        Face("odd", image, landmarks)


def test_mirror_is_an_involution() -> None:
    assert all(MIRROR[MIRROR[index]] == index for index in MIRROR)
    assert MIRROR[61] == 291
    assert MIRROR[234] == 454
    assert MIRROR[152] == 152


def test_research_portraits_load(shared: Path) -> None:
    sizes = {split: load_portraits(shared / "portraits" / "cremad", split) for split in ("train", "val", "test")}
    assert {split: len(faces) for split, faces in sizes.items()} == {"train": 55, "val": 12, "test": 24}
    # The mirror table holds on real landmarks: partners lie on opposite sides of the midline.
    points = np.mean([face.landmarks for face in sizes["val"]], axis=0)
    middle = points[[33, 263], 0].mean()
    worst = max(abs(points[a, 0] + points[b, 0] - 2 * middle) for a, b in MIRROR.items())
    assert worst < 8.0
