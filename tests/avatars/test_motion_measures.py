"""From landmark motion to channels: known rotations and known movements of the face come back."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest

from whodrives.avatars import facepoints as fp
from whodrives.avatars.conditioning import head_angles, rotations
from whodrives.avatars.faces import load_portraits
from whodrives.avatars.motion.measures import CLOSED, EYEBALL, landmarks_to_values
from whodrives.avatars.motion.rigid import CAMERA, RIGID, fit_similarity, separate
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, INDEX
from whodrives.errors import InputError

N = 240
UNIT = 60.0  # pixels between the eyes
EXPRESSION = [INDEX[name] for name in (*AU_CHANNELS, *(name for name in CHANNELS[25:]))]
# A pulse that comes and goes, at rest most of the time.
PULSE = np.sin(np.linspace(0, np.pi, 60)) ** 2

Moves = Mapping[tuple[int, ...], tuple[float, float]]


@cache
def face_points(seed: int = 0) -> np.ndarray:
    """A frontal face (478, 3): origin between the eyes, inter-ocular distance 1."""
    points = procedural_face(seed, 256).landmarks.astype(np.float64)
    eyes = [points[list(eye)].mean(axis=0) for eye in (fp.EYE_LEFT_CORNERS, fp.EYE_RIGHT_CORNERS)]
    across = eyes[1] - eyes[0]
    points = (points - (eyes[0] + eyes[1]) / 2) / np.linalg.norm(across)
    tilt = np.arctan2(across[1], across[0])
    return points @ rotations(np.zeros(1), np.zeros(1), np.array([tilt]))[0]


def film(
    points: np.ndarray, angles: np.ndarray | None = None, shift: np.ndarray | None = None, noise: float = 0.0
) -> np.ndarray:
    """Landmarks in pixels of faces (478, 3) or (N, 478, 3): turned by (N, 3), shifted by (N, 3), weak perspective."""
    angles = np.zeros((N, 3)) if angles is None else angles
    shift = np.zeros((N, 3)) if shift is None else shift
    turned = np.broadcast_to(points, (N, 478, 3)) @ np.swapaxes(rotations(*angles.T), 1, 2)
    grow = CAMERA / (CAMERA + shift[:, 2])
    out = UNIT * (turned * grow[:, None, None] + shift[:, None] * [1, 1, 0]) + [320, 240, 0]
    return out + noise * np.random.default_rng(9).standard_normal(out.shape)


def moved(moves: Moves, pulse: np.ndarray = PULSE, points: np.ndarray | None = None) -> np.ndarray:
    """Faces (N, 478, 3) in which points move by (right, down) at the top of the pulse, from frame 90 on."""
    faces = np.repeat((face_points() if points is None else points)[None], N, axis=0)
    for indices, way in moves.items():
        for index in indices:
            faces[90 : 90 + len(pulse), index, :2] += pulse[:, None] * way
    return faces


def head_motion() -> np.ndarray:
    time = np.arange(N) / 25
    return np.stack([0.15 * np.sin(2 * time), 0.3 * np.sin(1.3 * time + 1), 0.2 * np.sin(0.9 * time + 2)], axis=1)


def peak(values: np.ndarray, name: str) -> float:
    signal = values[:, INDEX[name]]
    return float(signal[110:130][np.argmax(np.abs(signal[110:130]))])


def test_similarity_is_found_again() -> None:
    rng = np.random.default_rng(0)
    shape, angles = rng.normal(size=(20, 3)), rng.uniform(-1, 1, (6, 3))
    scale, shift = rng.uniform(0.5, 2, 6), rng.normal(size=(6, 3))
    turn = rotations(*angles.T)
    targets = scale[:, None, None] * (shape @ np.swapaxes(turn, 1, 2)) + shift[:, None]
    weights = rng.random(20)
    got = fit_similarity(shape, targets, weights / weights.sum())
    for found, true in zip(got, (scale, turn, shift), strict=True):
        np.testing.assert_allclose(found, true, atol=1e-9)


def test_known_head_motion_comes_back() -> None:
    angles = head_motion()
    time = np.arange(N) / 25
    shift = np.stack([0.4 * np.sin(time), 0.3 * np.cos(1.7 * time), 1.5 * np.sin(0.8 * time)], axis=1)
    values = landmarks_to_values(film(face_points(), angles, shift))
    pose = values[:, 19:25]
    np.testing.assert_allclose(pose[:, :3] - pose[:, :3].mean(axis=0), angles - angles.mean(axis=0), atol=0.02)
    for axis in range(3):
        found, true = pose[:, 3 + axis], shift[:, axis]
        np.testing.assert_allclose(found - np.median(found), true - np.median(true), atol=0.06)
    assert np.abs(values[:, EXPRESSION]).max() < 0.3  # nothing in the face moved
    assert np.ptp(values[:, INDEX["gaze_x"]]) < 0.02


def test_reference_is_upright_and_frontal_whatever_the_camera_saw() -> None:
    away = head_motion() * 0.3 + [0.1, 0.35, -0.2]
    found = separate(film(face_points(), away)).angles
    np.testing.assert_allclose(found[:, 1:], away[:, 1:], atol=0.06)  # pitch has no zero of its own
    found = separate(film(face_points(), away))
    eyes = [found.points[:, list(eye)].mean(axis=1) for eye in (fp.EYE_LEFT_CORNERS, fp.EYE_RIGHT_CORNERS)]
    np.testing.assert_allclose(np.linalg.norm(eyes[1] - eyes[0], axis=1), 1, atol=0.02)


_JAW = tuple(sorted({*fp.LIP_OUTER_LOWER[2:-2], *fp.LIP_INNER_LOWER[2:-2], 152, 148, 377, 176, 400, 199, 200, 18, 175}))
_LOW_LIP = (14, 87, 317, 17, 84, 314)
_LIDS_UP = ((160, 159, 158), (387, 386, 385))


def _both(left: tuple[int, ...], right: tuple[int, ...], out: float, down: float) -> Moves:
    return {left: (-out, down), right: (out, down)}


@pytest.mark.parametrize(
    ("name", "moves", "expected", "others"),
    [
        ("AU01", _both((107, 55, 66, 65), (336, 285, 296, 295), 0, -0.113), 5 / 0.91, 0.2),
        ("AU02", _both((70, 46, 63, 53), (300, 276, 293, 283), 0, -0.0678), 3 / 0.91, 0.2),
        ("AU04", _both((107, 55, 66, 65), (336, 285, 296, 295), -0.042, 0.054), 3, 2.0),
        ("AU12", _both((61,), (291,), 0.137, -0.137), 5, 0.2),
        ("AU15", _both((61,), (291,), 0, 0.078), 3, 0.2),
        ("AU20", {(61,): (-0.09, 0.0105), (291,): (0.09, 0.0105), _LOW_LIP: (0, 0.1)}, 3, 1.6),
        ("AU14", _both((61,), (291,), 0.06, 0), 3, 0.2),
        ("AU23", _both((61,), (291,), -0.096, 0), 3, 0.2),
        ("AU26", {_JAW: (0, 0.3226), (61, 291): (0, 0.35 * 0.3226)}, 5, 1.4),
        ("AU09", _both((129, 64, 98), (358, 294, 327), 0, -0.054), 3, 0.2),
        ("AU10", _both((37, 39), (267, 269), 0, -0.06), 3, 0.2),
        ("AU06", _both((117, 118, 50, 101), (346, 347, 280, 330), 0, -0.042), 3, 0.2),
        ("AU17", {(199, 200, 17, 84, 314): (0, -0.063)}, 3, 0.2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turning", [False, True])
def test_known_movements_come_back(name: str, moves: Moves, expected: float, others: float, turning: bool) -> None:
    angles = 0.6 * head_motion() if turning else None
    values = landmarks_to_values(film(moved(moves), angles))
    # One event in ten seconds of a head that turns a lot: the regression on head rotation takes some of it.
    tolerance = 0.2 * expected if turning else 0.02 * expected + 0.02
    assert peak(values, name) == pytest.approx(min(expected, 5.0), abs=tolerance)
    rest = np.r_[0:80, 160:N]
    assert np.abs(values[rest][:, INDEX[name]]).max() < (0.25 * expected if turning else 0.02)
    if not turning:
        loudest = max((c for c in CHANNELS if c != name), key=lambda c: abs(peak(values, c)))
        assert abs(peak(values, loudest)) <= others, loudest


def test_amplitudes_are_linear() -> None:
    small, large = (
        landmarks_to_values(film(moved(_both((61,), (291,), 0.137 * share, -0.137 * share)))) for share in (0.3, 0.9)
    )
    assert peak(large, "AU12") == pytest.approx(3 * peak(small, "AU12"), rel=1e-3)
    assert peak(large, "AU12") == pytest.approx(4.5, abs=0.05)


def test_a_closed_eye_is_two_and_a_half() -> None:
    face = face_points()
    close: dict[tuple[int, ...], tuple[float, float]] = {}
    for upper, lower in zip(_LIDS_UP, ((144, 145, 153), (373, 374, 380)), strict=True):
        gap = float(face[list(lower), 1].mean() - face[list(upper), 1].mean())
        close[upper] = (0, 0.9 * gap)
    values = landmarks_to_values(film(moved(close)))
    assert peak(values, "AU45") == pytest.approx(CLOSED, abs=0.02)
    assert np.ptp(values[:, INDEX["gaze_y"]]) < 0.01
    one = landmarks_to_values(film(moved({_LIDS_UP[1]: close[_LIDS_UP[1]]})))
    assert peak(one, "AU45") == pytest.approx(CLOSED / 2, abs=0.02)
    assert peak(one, "AU45_lr") == pytest.approx(CLOSED / 2, abs=0.02)  # the person's left eye, right in the image


@pytest.mark.parametrize(("corner", "sign"), [(61, -1), (291, 1)])
def test_one_sided_smiles_have_a_side(corner: int, sign: int) -> None:
    out = 0.1 * np.sign(face_points()[corner, 0])
    values = landmarks_to_values(film(moved({(corner,): (out, -0.1096)})))
    assert peak(values, "AU12") == pytest.approx(2, abs=0.05)
    assert peak(values, "AU12_lr") == pytest.approx(2 * sign, abs=0.05)


def test_gaze_jaw_and_mouth_sideways() -> None:
    iris = (*fp.IRIS_LEFT, *fp.IRIS_RIGHT)
    way = (EYEBALL * np.sin(0.3), EYEBALL * np.sin(0.1))
    values = landmarks_to_values(film(moved({iris: way}), 0.5 * head_motion()))
    rest = values[:, INDEX["gaze_x"]][:60].mean()
    assert peak(values, "gaze_x") - rest == pytest.approx(0.3, abs=0.04)
    assert peak(landmarks_to_values(film(moved({(152, 148, 377, 176, 400): (0.08, 0)}))), "jaw_x") == pytest.approx(
        0.5, abs=0.01
    )
    mouth = landmarks_to_values(film(moved({(61, 291, 0, 17, 13, 14): (-0.065, 0)})))
    assert peak(mouth, "mouth_x") == pytest.approx(-0.5, abs=0.01)


def test_noise_of_the_landmarks_stays_small() -> None:
    quiet = landmarks_to_values(film(face_points(), head_motion(), noise=0.2))
    assert quiet[:, EXPRESSION].std(axis=0).max() < 0.5
    loud = landmarks_to_values(film(moved({_JAW: (0, 0.2)}), head_motion(), noise=0.2))
    pulse = np.zeros(N)
    pulse[90:150] = PULSE
    assert np.corrcoef(loud[:, INDEX["AU26"]], pulse)[0, 1] > 0.92


def test_frames_without_a_face_stay_empty_and_do_not_matter() -> None:
    faces = film(moved({_JAW: (0, 0.2)}))
    gone = faces.copy()
    gone[10:20] = np.nan
    values, valid = landmarks_to_values(gone), np.ones(N, dtype=bool)
    assert np.isnan(values[10:20]).all()
    valid[10:20] = False
    faces[10:20] *= 3.0
    np.testing.assert_array_equal(landmarks_to_values(faces, valid), values)
    assert np.isfinite(values[valid]).all()


@pytest.mark.parametrize(
    ("landmarks", "valid"),
    [
        (np.zeros((4, 468, 3)), None),
        (np.zeros((4, 478, 2)), None),
        (np.full((4, 478, 3), np.nan), None),
        (np.zeros((4, 478, 3)), np.ones(3, dtype=bool)),
        (np.zeros((4, 478, 3)), np.array([True, False, False, False])),
    ],
)
def test_wrong_landmarks_are_refused(landmarks: np.ndarray, valid: np.ndarray | None) -> None:
    with pytest.raises(InputError, match=r"landmarks|valid"):
        landmarks_to_values(landmarks, valid)


def test_real_faces_turn_as_well(shared) -> None:
    for face in load_portraits(shared / "portraits" / "cremad", "val")[:4]:
        points = face.landmarks.astype(np.float64)
        points = (points - points[list(RIGID)].mean(axis=0)) / 100
        angles = head_motion()
        head = separate(film(points, angles))
        own = head_angles(rotations(*head.angles[:1].T))  # the picture's own pose is in there as well
        assert own.shape == (1, 3)
        for axis in range(3):
            assert np.corrcoef(head.angles[:, axis], angles[:, axis])[0, 1] > 0.97
        values = landmarks_to_values(film(points, angles))
        assert np.abs(values[:, EXPRESSION]).max() < 0.3
