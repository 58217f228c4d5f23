"""Drawn faces: reproducible, different, and with landmarks where the drawing is."""

import numpy as np
import pytest

from whodrives.avatars import facepoints as fp
from whodrives.avatars.procedural import procedural_face
from whodrives.errors import InputError

SEEDS = range(12)


@pytest.fixture(scope="module")
def faces() -> list:
    return [procedural_face(seed, 128) for seed in SEEDS]


def test_equal_seeds_give_equal_faces(faces: list) -> None:
    again = procedural_face(3, 128)
    assert np.array_equal(again.image, faces[3].image)
    assert np.array_equal(again.landmarks, faces[3].landmarks)
    assert again.name == "procedural-3"
    assert again.image.shape == (128, 128, 3)


def test_seeds_differ_in_picture_and_shape(faces: list) -> None:
    for number, face in enumerate(faces):
        for other in faces[number + 1 :]:
            assert np.abs(face.image.astype(int) - other.image).mean() > 4
            assert np.abs(face.landmarks - other.landmarks).max() > 1


def test_size_scales_the_same_face() -> None:
    small, large = procedural_face(5, 96), procedural_face(5, 192)
    assert np.allclose(large.landmarks, 2 * small.landmarks, atol=1e-3)
    # Fine texture is drawn anew at each size; the face under it is the same.
    halved = large.image.reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.abs(halved - small.image).mean() < 6


def test_landmarks_lie_on_the_picture_in_anatomical_order(faces: list) -> None:
    for face in faces:
        x, y, z = face.landmarks.T
        assert x.min() > 0
        assert y.min() > 0
        assert x.max() < 128
        assert y.max() < 128
        order = [fp.FOREHEAD, fp.NOSE_BRIDGE, fp.NOSE_TIP, fp.NOSE_BASE, 0, 13, 14, 17, fp.CHIN]
        assert (np.diff(y[order]) > 0).all()
        assert x[33] < x[133] < x[362] < x[263]
        assert z[fp.NOSE_TIP] < z[61] < z[234]


def test_pupils_are_dark_and_whites_bright(faces: list) -> None:
    for face in faces:
        grey = face.image.mean(axis=2)
        for iris, corners in ((468, fp.EYE_LEFT_CORNERS), (473, fp.EYE_RIGHT_CORNERS)):
            x, y = face.landmarks[iris, :2]
            pupil = grey[int(y), int(x) - 1 : int(x) + 2].min()
            row = grey[int(y) - 1 : int(y) + 2, :]
            left, right = sorted(int(face.landmarks[c, 0]) for c in corners)
            assert row[:, left:right].max() > pupil + 60


def test_matte_covers_the_person_and_leaves_the_wall(faces: list) -> None:
    for face in faces:
        assert face.matte is not None
        assert face.matte.dtype == np.uint8
        centre = face.landmarks[:, :2].mean(axis=0)
        x, y = (centre + 0.93 * (face.landmarks[:, :2] - centre)).T.astype(int)
        assert face.matte[y, x].min() == 255
        assert face.matte[:6].max() == 0
        assert face.matte[40, [0, -1]].max() == 0
        soft = (face.matte > 0) & (face.matte < 255)
        assert 0.002 < soft.mean() < 0.1
        # What the matte leaves out is the plain wall: hardly any structure.
        wall = face.image[face.matte == 0].astype(float)
        assert wall.std(axis=0).max() < 25


@pytest.mark.parametrize(("seed", "size"), [(-1, 128), (0, 32)])
def test_bad_arguments_are_named(seed: int, size: int) -> None:
    with pytest.raises(InputError, match="procedural face"):
        procedural_face(seed, size)
