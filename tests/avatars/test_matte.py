"""Cutting a person out of a screen: soft, safe for the face, and refused where there is no screen."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from whodrives.avatars import facepoints as fp
from whodrives.avatars.faces import load_portraits
from whodrives.avatars.matte import chroma_matte
from whodrives.avatars.procedural import procedural_face

GREEN, BLUE = (70, 170, 60), (40, 80, 190)


def on_screen(face, colour: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """A drawn person before an unevenly lit screen, with noise."""
    rng = np.random.default_rng(seed)
    share = face.matte[..., None] / 255.0
    light = 1 + 0.9 * gaussian_filter(rng.standard_normal(share.shape[:2]), 30)[..., None] * 20
    screen = np.array(colour) * light.clip(0.6, 1.3)
    wall = np.median(face.image[:8].reshape(-1, 3), axis=0)
    person = face.image - (1 - share) * wall
    picture = person + (1 - share) * screen + rng.normal(0, 2, face.image.shape)
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def faces() -> list:
    return [procedural_face(seed, 256) for seed in (1, 2, 4, 5)]


@pytest.mark.parametrize("colour", [GREEN, BLUE])
def test_finds_the_person_before_a_screen(faces: list, colour: tuple[int, int, int]) -> None:
    for face in faces:
        matte = chroma_matte(on_screen(face, colour), face.landmarks)
        assert matte is not None
        assert matte.dtype == np.uint8
        assert matte.shape == face.image.shape[:2]
        wrong = np.abs(matte.astype(float) - face.matte) / 255
        assert wrong[face.matte == 0].mean() < 0.02
        assert wrong[:150].mean() < 0.02  # clothes may have the colour of the screen


def test_edges_are_soft(faces: list) -> None:
    matte = chroma_matte(on_screen(faces[0], GREEN))
    assert matte is not None
    assert 0.002 < ((matte > 25) & (matte < 230)).mean() < 0.1


def test_never_cuts_the_face(faces: list) -> None:
    """Green paint on the forehead stays; without landmarks it would go."""
    face = faces[0]
    picture = on_screen(face, GREEN)
    x, y = face.landmarks[151, :2].astype(int)
    picture[y - 5 : y + 5, x - 5 : x + 5] = GREEN
    without, safe = chroma_matte(picture), chroma_matte(picture, face.landmarks)
    assert without is not None
    assert safe is not None
    assert without[y, x] < 50
    assert safe[y - 5 : y + 5, x - 5 : x + 5].min() == 255


def test_no_screen_no_matte(faces: list) -> None:
    rng = np.random.default_rng(0)
    face = faces[0]
    assert chroma_matte(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)) is None
    assert chroma_matte(np.full((64, 64, 3), 128, dtype=np.uint8)) is None
    assert chroma_matte(np.full((64, 64, 3), GREEN, dtype=np.uint8)) is None  # nobody there
    assert chroma_matte(np.full((8, 8, 3), GREEN, dtype=np.uint8)) is None
    assert chroma_matte(on_screen(face, (200, 130, 110)), face.landmarks) is None  # the colour of skin
    assert chroma_matte(on_screen(face, (130, 135, 130)), face.landmarks) is None  # a grey wall
    half = on_screen(face, GREEN)
    half[:, :128] = on_screen(face, (130, 130, 130))[:, :128]
    assert chroma_matte(half, face.landmarks) is None


def test_a_green_face_before_green_is_refused(faces: list) -> None:
    face = faces[0]
    picture = on_screen(face, GREEN)
    x, y = face.landmarks[list(fp.OVAL), :2].T.astype(int)
    picture[y.min() : y.max(), x.min() : (x.min() + x.max()) // 2] = GREEN
    assert chroma_matte(picture) is not None
    assert chroma_matte(picture, face.landmarks) is None


def test_real_portraits(shared: Path) -> None:
    for face in load_portraits(shared / "portraits" / "cremad", split="val"):
        matte = chroma_matte(face.image, face.landmarks)
        assert matte is not None, face.name
        x, y = face.landmarks[:, :2].T.astype(int).clip(0, face.size - 1)
        assert matte[y, x].min() == 255
        # Person in the middle, screen in the top corners.
        assert matte[:20, :20].mean() < 8
        assert matte[:20, -20:].mean() < 8
        assert 0.2 < matte.mean() / 255 < 0.8
