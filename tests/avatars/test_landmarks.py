"""Portrait photos to faces; with the extra `landmarks` also finding the landmarks, in pictures and videos."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from whodrives.avatars import landmarks as lm
from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.encode import write_mp4
from whodrives.avatars.faces import Face, LandmarkError, PortraitImageError, PortraitIndexError, load_portraits
from whodrives.avatars.landmarks import LandmarkerMissingError, NoFaceError, portrait_face, write_portraits_index
from whodrives.avatars.motion.from_video import read_video, video_landmarks, video_pictures, video_raw
from whodrives.avatars.motion.read import read_motion
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import INDEX
from whodrives.avatars.warp import build_rig, render
from whodrives.errors import InputError
from whodrives.video.errors import NotAVideoError

try:
    import mediapipe  # noqa: F401

    INSTALLED = True
except ImportError:
    INSTALLED = False
needs_mediapipe = pytest.mark.skipif(not INSTALLED, reason="mediapipe is not installed (extra `landmarks`)")


def photo(seed: int = 1, face_side: int = 192, size: tuple[int, int] = (400, 300)) -> tuple[np.ndarray, np.ndarray]:
    """A drawn face somewhere on a wide picture, and its landmarks there."""
    face = procedural_face(seed, face_side)
    wide = np.full((size[1], size[0], 3), 90, dtype=np.uint8)
    x, y = 60, 40
    wide[y : y + face_side, x : x + face_side] = face.image
    return wide, face.landmarks + np.array([x, y, 0], dtype=np.float32)


def test_a_photo_with_given_landmarks_becomes_a_square_face(tmp_path: Path) -> None:
    wide, points = photo()
    face = portrait_face(wide, "ana", points)
    box = np.ptp(points[:, :2], axis=0).max()
    assert (face.name, face.size) == ("ana", round(1.9 * box))
    # Landmarks show the same pixels as before.
    for index in (1, 33, 263, 152):
        x, y = np.round(points[index, :2]).astype(int)
        u, v = np.round(face.landmarks[index, :2] + (np.array([x, y]) - points[index, :2])).astype(int)
        assert np.array_equal(face.image[v, u], wide[y, x])
    middle = (face.landmarks[:, :2].min(axis=0) + face.landmarks[:, :2].max(axis=0)) / 2
    np.testing.assert_allclose(middle, face.size / 2, atol=1)
    Image.fromarray(wide).save(tmp_path / "ana.png")
    (tmp_path / "p.json").write_text(json.dumps({"ana.png": points.tolist()}))
    stored = portrait_face(tmp_path / "ana.png", landmarks=tmp_path / "p.json", licence="CC0")
    assert (stored.name, stored.source, stored.licence) == ("ana", "ana.png", "CC0")
    assert np.array_equal(stored.image, face.image)


def test_crops_leave_the_picture_by_reflection_and_large_ones_shrink() -> None:
    wide, points = photo()
    wide, points = wide[:, 90:], points - np.array([90, 0, 0], dtype=np.float32)
    face = portrait_face(wide, landmarks=points)
    corner = np.round(points[0, :2] - face.landmarks[0, :2]).astype(int)
    assert corner[0] < 0
    inside = face.image[-corner[1] + 100, -corner[0] : -corner[0] + 20]
    outside = face.image[-corner[1] + 100, -corner[0] - 19 : -corner[0] + 1][::-1]
    assert np.array_equal(inside, outside)
    small = portrait_face(wide, landmarks=points, max_side=128)
    assert small.size == 128
    np.testing.assert_allclose(small.landmarks / 128, face.landmarks / face.size, atol=1e-4)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_orientation_is_followed(tmp_path: Path, turn: int) -> None:
    wide, points = photo()
    lying = {1: wide, 3: np.rot90(wide, 2), 6: np.rot90(wide), 8: np.rot90(wide, 3)}[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.ascontiguousarray(lying)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(
        portrait_face(tmp_path / "a.png", landmarks=points).image, portrait_face(wide, landmarks=points).image
    )


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "I;16", "RGBA", "LA"])
def test_colour_modes(tmp_path: Path, mode: str) -> None:
    wide, points = photo()
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
    grey = Image.fromarray(wide).convert("L")
    if mode == "I;16":
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(path)
    elif mode in ("RGBA", "LA"):
        picture = Image.fromarray(wide).convert(mode)
        alpha = np.zeros(wide.shape[:2], np.uint8)
        alpha[:, :200] = 255
        picture.putalpha(Image.fromarray(alpha))
        picture.save(path)
    else:
        Image.fromarray(wide).convert(mode).save(path)
    face = portrait_face(path, landmarks=points)
    expected = portrait_face(wide, landmarks=points)
    shown = expected.image.astype(float)
    if mode in ("L", "I;16", "LA"):
        shown = (shown @ [0.299, 0.587, 0.114])[..., None]
    seen = np.ones(shown.shape[:2], dtype=bool)
    if mode in ("RGBA", "LA"):
        assert face.matte is not None
        seen = face.matte == 255
        assert 0.5 < seen.mean() < 0.9
        assert (face.image[~seen] == 128).all()
    assert np.abs(face.image - shown)[seen].mean() < (20 if mode == "P" else 2)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((468, 3)), "478"),
        (np.full((478, 3), np.nan), "478 finite"),
        (photo()[1] + [600, 0, 0], "do not lie on the picture"),
        ({"other.png": []}, "no entry"),
    ],
)
def test_landmarks_that_do_not_fit(tmp_path: Path, points: object, message: str) -> None:
    with pytest.raises(LandmarkError, match=message) as caught:
        portrait_face(photo()[0], "ana", points)
    assert "ana" in str(caught.value)


def test_other_defects_are_named(tmp_path: Path) -> None:
    wide, points = photo()
    with pytest.raises(NoFaceError, match=r"the face is .* pixels"):
        portrait_face(wide, landmarks=(points - points.mean(axis=0)) * 0.2 + [200, 150, 0])
    with pytest.raises(PortraitImageError, match=r"none\.png"):
        portrait_face(tmp_path / "none.png", landmarks=points)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(PortraitImageError, match="cannot be decoded"):
        portrait_face(tmp_path / "bad.png", landmarks=points)
    with pytest.raises(LandmarkError, match="JSON"):
        portrait_face(wide, landmarks=tmp_path / "bad.png")
    with pytest.raises(InputError, match="uint8"):
        portrait_face(wide.astype(np.float32), landmarks=points)
    for place, words in ((tmp_path / "no", "no such folder"), (tmp_path, "cannot be decoded|exists|needs the extra")):
        with pytest.raises(InputError, match=words):
            write_portraits_index(place)
    (tmp_path / "portraits.json").write_text("{}")
    with pytest.raises(PortraitIndexError, match="exists already"):
        write_portraits_index(tmp_path)


@pytest.mark.skipif(INSTALLED, reason="mediapipe is installed")
def test_without_the_extra_the_message_says_how_to_get_it(tmp_path: Path) -> None:
    Image.fromarray(photo()[0]).save(tmp_path / "a.png")
    for use in (
        lambda: portrait_face(tmp_path / "a.png"),
        lambda: lm.face_mesh([photo()[0]]),
        lambda: write_portraits_index(tmp_path, tmp_path / "out"),
    ):
        with pytest.raises(LandmarkerMissingError, match=r"whodrives\[landmarks\]"):
            use()
    assert not (tmp_path / "out").exists()


def clip(path: Path, frames: int = 50, hide: slice | None = None) -> np.ndarray:
    """A rendered video of a built-in driver; the controls are returned."""
    track = BuiltinDriver(77).recording(5, 0, frames / 25, 25.0)
    rig = build_rig(procedural_face(1), 256)
    video = render([rig], torch.from_numpy(track.values[None]), grey=False)[0]
    pictures = (video * 255).byte().permute(0, 2, 3, 1).numpy()
    if hide is not None:
        pictures[hide] = 90
    write_mp4(path, pictures)
    return track.values


def test_video_pictures_have_times(tmp_path: Path) -> None:
    clip(tmp_path / "a.mp4", 12)
    times, pictures = zip(*video_pictures(tmp_path / "a.mp4"), strict=True)
    np.testing.assert_allclose(times, np.arange(12) / 25, atol=1e-6)
    assert {picture.shape for picture in pictures} == {(256, 256, 3)}
    (tmp_path / "b.mp4").write_bytes(b"no video at all, just text")
    with pytest.raises(NotAVideoError):
        list(video_pictures(tmp_path / "b.mp4"))


@needs_mediapipe
@pytest.mark.extras
def test_landmarks_of_drawn_faces() -> None:
    faces = [procedural_face(seed, 256) for seed in (1, 2)]
    found, seen = lm.face_mesh([face.image for face in faces] + [np.full((256, 256, 3), 90, np.uint8)])
    assert seen.tolist() == [True, True, False]
    assert np.isnan(found[2]).all()
    for points, face in zip(found, faces, strict=False):
        own = face.landmarks[[33, 263, 1, 61, 291, 152], :2]
        assert np.abs(points[[33, 263, 1, 61, 291, 152], :2] - own).max() < 14
    with pytest.raises(InputError, match="picture 0"):
        lm.face_mesh([np.zeros((4, 4), np.uint8)])


@needs_mediapipe
@pytest.mark.extras
def test_portraits_from_photos(tmp_path: Path) -> None:
    wide, _ = photo(1)
    Image.fromarray(wide).save(tmp_path / "ana.jpg", quality=95)
    face = portrait_face(tmp_path / "ana.jpg")
    assert isinstance(face, Face)
    middle = (face.landmarks[:, :2].min(axis=0) + face.landmarks[:, :2].max(axis=0)) / 2
    np.testing.assert_allclose(middle, face.size / 2, atol=0.05 * face.size)
    small = np.asarray(Image.fromarray(wide).crop((60, 40, 252, 232)).resize((160, 160)))
    two = np.full((360, 400, 3), 90, np.uint8)
    two[20:212, 10:202] = wide[40:232, 60:252]
    two[30:190, 220:380] = small
    with pytest.warns(UserWarning, match="2 faces"):
        largest = portrait_face(two, "pair")
    assert abs(largest.size - face.size) < 0.15 * face.size
    with pytest.raises(NoFaceError, match="no face found"):
        portrait_face(np.full((200, 200, 3), 120, np.uint8), "wall")
    with pytest.raises(PortraitImageError, match="not square"):
        write_portraits_index(tmp_path)
    index = write_portraits_index(tmp_path, tmp_path / "out")
    (stored,) = load_portraits(index.parent)
    assert stored.name == "ana"
    assert np.abs(stored.landmarks - face.landmarks).max() < 0.01
    again = write_portraits_index(tmp_path / "out", tmp_path / "twice")
    assert len(load_portraits(again.parent)) == 1


@needs_mediapipe
@pytest.mark.extras
def test_a_rendered_driver_is_tracked_again(tmp_path: Path) -> None:
    values = clip(tmp_path / "a.mp4", 150, hide=slice(100, 112))
    raw = video_raw(tmp_path / "a.mp4", "ana", "a")
    assert np.flatnonzero(raw.confidence == 0).tolist() == list(range(100, 112))
    track = read_video(tmp_path / "a.mp4", "ana", "a")
    assert (track.driver, track.recording, track.fps, len(track)) == ("ana", "a", 25.0, 150)
    assert np.flatnonzero(~track.valid).tolist() == list(range(100, 112))
    for channel, least in {"yaw": 0.9, "roll": 0.9, "AU45": 0.7}.items():
        both = track.values[track.valid, INDEX[channel]], values[track.valid, INDEX[channel]]
        assert np.corrcoef(*both)[0, 1] > least, channel
    (same,) = read_motion(tmp_path / "a.mp4", "ana", "a")
    np.testing.assert_array_equal(same.values, track.values)
    write_mp4(tmp_path / "wall.mp4", np.full((10, 64, 64, 3), 90, np.uint8))
    with pytest.raises(NoFaceError, match="0 of 10 frames"):
        read_video(tmp_path / "wall.mp4")


@needs_mediapipe
@pytest.mark.extras
def test_real_clips_are_tracked(shared: Path) -> None:
    times, landmarks = video_landmarks(shared / "video" / "grid_s1" / "bbaf2n.mpg")
    assert len(times) == 75
    assert np.isfinite(landmarks).all()
    (track,) = read_motion(shared / "video" / "grid_s1" / "bbaf2n.mpg")
    spread = np.ptp(track.values, axis=0)
    assert 0.5 < spread[INDEX["AU26"]] < 5
    assert 1.0 < spread[INDEX["AU45"]] < 3
    assert spread[INDEX["yaw"]] < 0.2
