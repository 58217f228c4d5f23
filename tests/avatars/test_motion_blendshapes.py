"""MediaPipe blend shapes in JSON and CSV, and head pose from its matrices."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whodrives.avatars.arkit import ARKIT, channels_from_arkit
from whodrives.avatars.conditioning import rotations
from whodrives.avatars.motion import errors
from whodrives.avatars.motion.blendshapes import SHAPES, blendshapes_raw, pose_of_matrices, read_blendshapes
from whodrives.avatars.tracks import INDEX

N = 90


def scores(seed: int = 0) -> list[dict[str, float]]:
    values = np.random.default_rng(seed).random((N, len(SHAPES))) * 0.9
    return [{"_neutral": 1e-6, **dict(zip(SHAPES, row.tolist(), strict=True))} for row in values]


def expected() -> np.ndarray:
    return channels_from_arkit(np.array([[frame.get(name, 0.0) for name in ARKIT] for frame in scores()]))


def frames(**more: Any) -> list[dict[str, Any]]:
    return [{"timestamp_ms": round(1000 * k / 30), "blendshapes": frame, **more} for k, frame in enumerate(scores())]


def matrix(yaw: float = 0.0, pitch: float = 0.0, shift: tuple[float, float, float] = (0, 0, -50)) -> np.ndarray:
    """A facial transformation in MediaPipe's axes: x right, y up, z towards the camera, in cm."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    turn = turn @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = turn, shift
    return out


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "take.json"


def test_json_layouts_say_the_same(path: Path) -> None:
    listed = [
        {**frame, "blendshapes": [{"categoryName": k, "score": v} for k, v in frame["blendshapes"].items()]}
        for frame in frames()
    ]
    seconds = [{"time_s": f["timestamp_ms"] / 1000, "blendshapes": f["blendshapes"]} for f in frames()]
    for content in (frames(), {"frames": frames()}, listed, seconds):
        path.write_text(json.dumps(content))
        track = read_blendshapes(path, conditioning=None)
        assert track.fps == 30.0
        np.testing.assert_allclose(track.values, expected(), atol=1e-5)


def test_csv_says_the_same_and_may_hold_a_head_pose(tmp_path: Path) -> None:
    path = tmp_path / "take.csv"
    names = ["timestamp_ms", "_neutral", *SHAPES]
    rows = [[1000 * k / 30, *frame.values()] for k, frame in enumerate(scores())]
    path.write_text("\n".join([",".join(names), *(",".join(f"{v:.9g}" for v in row) for row in rows)]))
    raw = blendshapes_raw(path)
    assert not raw.true_head_pose
    np.testing.assert_allclose(raw.values, expected(), atol=1e-6)
    pose = np.random.default_rng(3).normal(0, 0.1, (N, 6))

    def with_pose(*columns: str, factor: float = 1.0) -> None:
        held = pose[:, : len(columns)].copy()
        held[:, 3:] *= factor
        wide = [[*row, *turn] for row, turn in zip(rows, held.tolist(), strict=True)]
        header = ",".join([*names, *columns])
        path.write_text("\n".join([header, *(",".join(f"{v:.9g}" for v in row) for row in wide)]))

    with_pose("pitch", "yaw", "roll", "tx", "ty", "tz")
    raw = blendshapes_raw(path)
    assert raw.true_head_pose
    assert raw.has_translation
    np.testing.assert_allclose(raw.values[:, 19:25], pose, atol=1e-6)
    with_pose("pitch", "yaw", "roll", "tx", "ty", "tz", factor=300.0)
    with pytest.raises(errors.WrongUnitsError, match="not mm"):
        blendshapes_raw(path)
    with_pose("pitch", "yaw", "roll", "tx")
    with pytest.raises(errors.MissingColumnsError, match="all three or none"):
        blendshapes_raw(path)
    with_pose("pitch", "yaw", "roll")
    assert not blendshapes_raw(path).has_translation
    track = read_blendshapes(path)
    assert track.values[:, 20].any()
    assert not track.values[:, 22:25].any()  # a head that turns where nobody measured its place stays in its place
    path.write_text(path.read_text().replace("timestamp_ms", "when"))
    with pytest.raises(errors.MissingColumnsError, match="time_s"):
        blendshapes_raw(path)


def test_matrices_give_the_head_pose() -> None:
    turned = pose_of_matrices(np.stack([matrix(), matrix(yaw=0.3), matrix(pitch=0.2), matrix(shift=(6.2, 0, -50))]))
    rest = turned[0]
    np.testing.assert_allclose(rest[:3], 0, atol=1e-12)
    assert rest[5] == pytest.approx((50 - 3.5) / 6.2)  # z away from the camera
    assert rest[4] == pytest.approx(-2.6 / 6.2)  # y down, the eyes above the head's origin
    # Turned about the upward axis the nose goes to the right of the image: our yaw is positive to the left.
    np.testing.assert_allclose(turned[1, :3], [0, -0.3, 0], atol=1e-12)
    np.testing.assert_allclose(turned[2, :3], [0.2, 0, 0], atol=1e-12)  # nose down
    np.testing.assert_allclose(turned[3] - rest, [0, 0, 0, 1, 0, 0], atol=1e-12)


def test_any_rotation_comes_back_through_the_axes() -> None:
    flip = np.diag([1.0, -1.0, -1.0])
    angles = np.random.default_rng(0).uniform(-0.8, 0.8, (20, 3))
    matrices = np.tile(np.eye(4), (20, 1, 1))
    matrices[:, :3, :3] = 1.3 * (flip @ rotations(*angles.T) @ flip)  # a scale does not matter
    np.testing.assert_allclose(pose_of_matrices(matrices)[:, :3], angles, atol=1e-9)


def test_matrices_by_rows_and_by_columns(path: Path) -> None:
    one = matrix(0.2, 0.1, (1, 2, -40))
    poses = []
    for stored in (one.tolist(), one.ravel().tolist(), one.T.tolist(), one.T.ravel().tolist()):
        path.write_text(json.dumps(frames(matrix=stored)))
        raw = blendshapes_raw(path)
        assert raw.true_head_pose
        poses.append(raw.values[0, 19:25])
    for pose in poses[1:]:
        np.testing.assert_allclose(pose, poses[0])


def test_frames_without_face_or_matrix_are_gaps(path: Path) -> None:
    made = frames(matrix=matrix().tolist())
    made[5]["blendshapes"] = []
    made[6]["blendshapes"] = None
    del made[40]["matrix"]
    for frame in made[60:75]:
        frame["confidence"] = 0.2
    path.write_text(json.dumps(made))
    raw = blendshapes_raw(path)
    assert np.flatnonzero(np.isnan(raw.values).any(axis=1)).tolist() == [5, 6, 40]
    assert np.flatnonzero(~read_blendshapes(path).valid).tolist() == list(range(60, 75))


def _without(made: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in frame.items() if k != key} for frame in made]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", errors.UnreadableTableError, "JSON"),
        ("[]", errors.EmptyTableError, "no frames"),
        ("3", errors.UnreadableTableError, "list of frames"),
        ("[1, 2]", errors.UnreadableTableError, "list of frames"),
        (_without(frames(), "timestamp_ms"), errors.TimeStampError, "frame 0 has no"),
        (_without(frames(), "blendshapes"), errors.EmptyTableError, "no frame holds a face"),
        (frames(blendshapes={"jawOpen": 0.1}), errors.MissingColumnsError, "lacks the blend shape"),
        (frames(blendshapes=[1, 2]), errors.MissingColumnsError, "categoryName"),
        (frames(blendshapes=dict.fromkeys(SHAPES, "x")), errors.MissingColumnsError, "must be a number"),
        (frames(blendshapes=dict.fromkeys(SHAPES, 40.0)), errors.WrongUnitsError, "percent"),
        (frames(matrix=[1, 2]), errors.MissingColumnsError, "4 x 4"),
        (frames(matrix=np.ones((4, 4)).tolist()), errors.WrongUnitsError, "0 0 0 1"),
        (frames(timestamp_ms=5), errors.TimeStampError, "repeats"),
    ],
)
def test_broken_files_say_what_is_wrong(path: Path, content: Any, error: type, message: str) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(error, match=message) as caught:
        read_blendshapes(path)
    assert str(path) in str(caught.value)


def test_sides_arrive(path: Path) -> None:
    made = frames()
    for frame in made:
        frame["blendshapes"] = dict.fromkeys(SHAPES, 0.0) | {"mouthSmileLeft": 0.6}
    path.write_text(json.dumps(made))
    track = read_blendshapes(path, conditioning=None)
    np.testing.assert_allclose(track.values[:, INDEX["AU12"]], 1.5, atol=1e-6)
    np.testing.assert_allclose(track.values[:, INDEX["AU12_lr"]], 1.5, atol=1e-6)


def test_nothing_but_zeros_is_no_face(tmp_path: Path) -> None:
    path = tmp_path / "take.csv"
    rows = np.column_stack([np.arange(N) / 30, np.array([list(frame.values())[1:] for frame in scores()])])
    rows[10:14, 1:] = 0.0
    header = ",".join(["time_s", *SHAPES])
    path.write_text("\n".join([header, *(",".join(f"{v:.9g}" for v in row) for row in rows)]))
    raw = blendshapes_raw(path)
    assert np.flatnonzero(~np.isfinite(raw.values).all(axis=1)).tolist() == [10, 11, 12, 13]


def test_confidence_in_percent_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "take.csv"
    rows = [[k / 30, 30.0, *list(frame.values())[1:]] for k, frame in enumerate(scores())]
    header = ",".join(["time_s", "confidence", *SHAPES])
    path.write_text("\n".join([header, *(",".join(f"{v:.9g}" for v in row) for row in rows)]))
    with pytest.raises(errors.WrongUnitsError, match="percent"):
        blendshapes_raw(path)
