"""Finding faces in videos: choosing one without a detector, and drawn faces with it (extra `landmarks`)."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fake_weights import FakeWeights
from whodrives.avatars.encode import write_mp4
from whodrives.avatars.procedural import procedural_face
from whodrives.errors import InputError
from whodrives.verification.face_box import FaceBox, NoFaceInVideoError, _share, choose_face, locate_faces
from whodrives.verification.fingerprinter import Fingerprinter, resolve_crop

try:
    import mediapipe  # noqa: F401

    INSTALLED = True
except ImportError:
    INSTALLED = False
needs_mediapipe = pytest.mark.skipif(not INSTALLED, reason="mediapipe is not installed (extra `landmarks`)")

LARGE, SMALL = FaceBox(10, 20, 200, 1.0, False), FaceBox(300, 20, 100, 0.5, True)


def test_a_rule_names_a_face_by_size() -> None:
    face, warning = choose_face("face", "call.mp4", [LARGE])
    assert (face, warning) == (LARGE, None)
    assert face.crop == "10,20,200,200"
    second, warning = choose_face(" Face:2", "call.mp4", [LARGE, SMALL])
    assert second == SMALL
    assert warning is not None
    assert "2 faces: face:2 at 300,20,100,100 is scored, others are face:1 at 10,20,200,200" in warning
    assert "near to the border" in warning
    assert "in its square in 50% of the pictures" in warning


def test_a_face_is_missed_only_where_it_was_looked_for() -> None:
    def group(*pictures: int) -> list[np.ndarray]:
        return [np.array([number, 5.0, 5.0, 10.0]) for number in pictures]

    assert _share(group(*range(8)), 10, {0, 5}) == 0.8
    assert _share(group(0, 5), 10, {0, 5}) == 1.0  # a tile that only the close look shows
    assert _share(group(5), 10, {0, 5}) == 0.5
    assert _share(group(0, 1, 2), 10, {0, 5}) == 0.3  # it moved on, or the camera did


def test_what_no_rule_can_mean_is_told() -> None:
    for rule in ("face:0", "face:x", "faces"):
        with pytest.raises(InputError, match="face:2"):
            choose_face(rule, "call.mp4", [LARGE])
    with pytest.raises(NoFaceInVideoError, match=r"call\.mp4: wanted face number 2, found 1"):
        choose_face("face:2", "call.mp4", [LARGE])


def test_other_crops_need_no_detector() -> None:
    for crop in (None, "center", "1,2,30,40"):
        assert resolve_crop("no such file", crop) == (crop, [])


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wide call of two tiles: a large face left, a small one right; nothing moves but the left one, a little."""
    path = tmp_path_factory.mktemp("faces") / "call.mp4"
    large, small = procedural_face(1, 256).image, procedural_face(2, 256).image
    half = np.asarray(Image.fromarray(small).resize((160, 160)))
    frames = np.full((40, 320, 640, 3), 90, np.uint8)
    for number, frame in enumerate(frames):
        frame[20 + number % 3 : 276 + number % 3, 30:286] = large
        frame[100:260, 420:580] = half
    write_mp4(path, frames, 25)
    return path


@needs_mediapipe
@pytest.mark.extras
def test_faces_are_found_where_they_are(call: Path, tmp_path: Path) -> None:
    first, second = locate_faces(call, seconds=1.5, samples=8)
    for box, seed, scale, corner in ((first, 1, 1.0, (30, 21)), (second, 2, 160 / 256, (420, 100))):
        points = procedural_face(seed, 256).landmarks[:, :2] * scale + np.array(corner)
        side = 1.9 * float(np.ptp(points, axis=0).max())
        assert box.side == pytest.approx(side, rel=0.15)
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        if not box.clipped:
            assert np.abs(np.array([box.x, box.y]) + box.side / 2 - middle).max() < 0.1 * box.side
    assert first.side > second.side
    wall = tmp_path / "wall.mp4"
    write_mp4(wall, np.full((10, 64, 64, 3), 90, np.uint8), 25)
    assert locate_faces(wall) == ()


@needs_mediapipe
@pytest.mark.extras
def test_a_fingerprint_says_which_face_was_scored(call: Path) -> None:
    fp = Fingerprinter(FakeWeights(), device="cpu")
    boxes = locate_faces(call)
    made = fp.embed(call, crop="face:2")
    assert made.videos[0].crop == (boxes[1].x, boxes[1].y, boxes[1].side, boxes[1].side)
    assert any("2 faces: face:2" in warning for warning in made.warnings)
    with pytest.raises(NoFaceInVideoError):
        fp.embed(call, crop="face:3")
