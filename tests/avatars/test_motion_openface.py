"""OpenFace CSV files: units, faces, gaps, and what each kind of broken file says."""

from pathlib import Path

import numpy as np
import pytest

from whodrives.avatars.motion import errors
from whodrives.avatars.motion.openface import INTER_OCULAR_MM, ORIGIN_TO_EYES_MM, openface_raw, read_openface
from whodrives.avatars.tracks import AU_CHANNELS, INDEX

Columns = dict[str, np.ndarray]


def columns(frames: int = 60, fps: float = 30.0) -> Columns:
    rng = np.random.default_rng(0)
    out: Columns = {
        "frame": np.arange(1, frames + 1),
        "face_id": np.zeros(frames),
        "timestamp": np.round(np.arange(frames) / fps, 3),
        "confidence": np.full(frames, 0.98),
        "success": np.ones(frames),
        "gaze_0_x": rng.random(frames),
    }
    for name in ("gaze_angle_x", "gaze_angle_y", "pose_Rx", "pose_Ry", "pose_Rz"):
        out[name] = rng.normal(0, 0.1, frames)
    out["pose_Tx"], out["pose_Ty"] = rng.normal(20, 5, frames), rng.normal(-10, 5, frames)
    out["pose_Tz"] = rng.normal(620, 5, frames)
    for name in AU_CHANNELS:
        out[f"{name}_r"] = 3 * rng.random(frames)
    out["AU28_c"] = np.ones(frames)
    return out


def text(data: Columns, separator: str = ", ") -> str:
    rows = [separator.join(f"{value:.9g}" for value in row) for row in zip(*data.values(), strict=True)]
    return separator.join(data) + "\n" + "\n".join(rows) + "\n"


def write(path: Path, data: Columns, separator: str = ", ") -> Path:
    path.write_text(text(data, separator))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ana" / "täke 1.csv"


@pytest.fixture(autouse=True)
def _folder(path: Path) -> None:
    path.parent.mkdir()


@pytest.mark.parametrize("separator", [",", ", "])
def test_values_come_in_our_units(path: Path, separator: str) -> None:
    data = columns()
    track = read_openface(write(path, data, separator), conditioning=None, licence="CC0")
    assert (track.driver, track.recording, track.fps) == ("täke 1", "täke 1", 30.0)
    assert (track.source, track.licence) == (str(path), "CC0")
    for channel, column in {"AU12": "AU12_r", "pitch": "pose_Rx", "yaw": "pose_Ry", "roll": "pose_Rz"}.items():
        np.testing.assert_allclose(track.values[:, INDEX[channel]], data[column], atol=1e-6)
    # Translation is that of the eyes: the tracked point, and the turned way from it up to them.
    a, b, c = data["pose_Rx"][7], data["pose_Ry"][7], data["pose_Rz"][7]
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    point = np.array([data[f"pose_T{axis}"][7] for axis in "xyz"])
    expected = (point + rx @ ry @ rz @ ORIGIN_TO_EYES_MM) / INTER_OCULAR_MM
    np.testing.assert_allclose(track.values[7, [INDEX["tx"], INDEX["ty"], INDEX["tz"]]], expected, rtol=1e-5)
    assert not track.values[:, 25:].any()


def test_gaze_is_turned_into_the_head(path: Path) -> None:
    data = columns()
    turn = 0.35 * np.sin(np.arange(60) / 5)
    still = np.zeros(60)
    data |= {"gaze_angle_x": still, "gaze_angle_y": still, "pose_Rx": still, "pose_Ry": turn, "pose_Rz": still}
    gaze = [INDEX["gaze_x"], INDEX["gaze_y"]]
    # Eyes on the camera while the nose goes to the left of the image: in the head they go to the right.
    fixed = read_openface(write(path, data), conditioning=None).values[:, gaze]
    np.testing.assert_allclose(fixed, np.stack([turn, still], axis=1), atol=1e-6)
    # Eyes that stay in the head look where the nose points.
    data |= {"gaze_angle_x": -turn}
    np.testing.assert_allclose(read_openface(write(path, data), conditioning=None).values[:, gaze], 0, atol=1e-6)
    # The same by nodding: the nose goes down, and down in the image is positive.
    data |= {"gaze_angle_x": still, "gaze_angle_y": turn, "pose_Rx": turn, "pose_Ry": still}
    np.testing.assert_allclose(read_openface(write(path, data), conditioning=None).values[:, gaze], 0, atol=1e-6)


def test_conditioned_by_default_with_its_true_head_pose(path: Path) -> None:
    track = read_openface(write(path, columns(300)), driver="ana", recording="one", fps=25.0)
    assert (track.driver, track.recording, track.fps) == ("ana", "one", 25.0)
    spread = track.values.std(axis=0)
    assert spread[INDEX["pitch"]] > 0.01
    assert spread[INDEX["tz"]] > 0.01
    assert abs(np.median(track.values[:, INDEX["tz"]])) < 0.05


def test_eye_points_give_scale_and_place(path: Path) -> None:
    data = columns()
    for k in range(56):
        data[f"eye_lmk_X_{k}"] = data["pose_Tx"] + (-33.0 if k < 28 else 33.0)
        data[f"eye_lmk_Y_{k}"] = data["pose_Ty"] - 20
        data[f"eye_lmk_Z_{k}"] = data["pose_Tz"]
    track = read_openface(write(path, data), conditioning=None)
    np.testing.assert_allclose(track.values[:, INDEX["tx"]], data["pose_Tx"] / 66, rtol=1e-5)
    np.testing.assert_allclose(track.values[:, INDEX["ty"]], (data["pose_Ty"] - 20) / 66, rtol=1e-5)
    for k in range(56):
        data[f"eye_lmk_X_{k}"] = data["pose_Tx"]
    with pytest.raises(errors.MissingColumnsError, match="eye_lmk_X_8"):
        read_openface(write(path, data))


def test_lost_frames_are_gaps(path: Path) -> None:
    data = columns(120)
    data["success"][30:50] = 0
    data["confidence"][80:100] = 0.4
    data["AU06_r"][60] = np.nan
    data["pose_Rz"][30:50] = 900.0  # what the tracker says meanwhile does not count
    track = read_openface(write(path, data))
    assert np.flatnonzero(~track.valid).tolist() == [*range(30, 50), *range(80, 100)]
    assert np.abs(track.values[:, INDEX["roll"]]).max() < 1


def test_one_face_of_several(path: Path) -> None:
    one, two = columns(40), columns(40)
    two["face_id"] += 1
    two["AU12_r"] += 1.5
    both = {name: np.concatenate([one[name], two[name]]) for name in one}
    with pytest.raises(errors.SeveralFacesError, match=r"face_id 0 \(40 rows\), 1 \(40 rows\).*face_id="):
        read_openface(write(path, both))
    for number, part in enumerate((one, two)):
        raw = openface_raw(path, face_id=number)
        np.testing.assert_allclose(raw.values[:, INDEX["AU12"]], part["AU12_r"])
    with pytest.raises(errors.SeveralFacesError, match="no face_id 7; there are: 0, 1"):
        read_openface(path, face_id=7)


def broken(change: str) -> str:
    data = columns()
    if change == "no AU12":
        del data["AU12_r"]
    elif change == "degrees":
        data["pose_Ry"] = data["pose_Ry"] * 57
    elif change == "percent":
        data["AU12_r"] = data["AU12_r"] * 20
    elif change == "confidence percent":
        data["confidence"] = data["confidence"] * 100
    elif change == "metres":
        data["pose_Tz"] = data["pose_Tz"] / 1000
    elif change == "milliseconds":
        data["timestamp"] = data["timestamp"] * 1000
    elif change == "backwards":
        data["timestamp"][30:] -= 1
    elif change == "lost":
        data["success"][:] = 0
    elif change == "nothing trusted":
        data["confidence"][:] = 0.6
    made = text(data)
    return {
        "empty": "",
        "header": made.splitlines()[0],
        "semicolons": made.replace(",", ";").replace(".", ","),
        "decimal commas": made.replace(".", ","),
        "quoted commas": made.replace(", 0.98,", ', "0,98",'),
        "word": made.replace(", 0.98,", ", oops,", 1),
        "twice": made.replace("AU28_c", "AU12_r"),
        "zero bytes": made.replace(",", ",\0", 1),
        "quotes": made.replace(", ", ',"', 3),
    }.get(change, made)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("no AU12", errors.MissingColumnsError, "AU12_r.*-aus"),
        ("degrees", errors.WrongUnitsError, "radians"),
        ("percent", errors.WrongUnitsError, r"0\.\.5"),
        ("confidence percent", errors.WrongUnitsError, "divide by 100"),
        ("metres", errors.WrongUnitsError, "mm"),
        ("milliseconds", errors.TimeStampError, "seconds"),
        ("backwards", errors.TimeStampError, "frame 30"),
        ("lost", errors.EmptyTableError, "no face in any frame"),
        ("nothing trusted", errors.EmptyTableError, "confidence >= 0.8"),
        ("empty", errors.EmptyTableError, "is empty"),
        ("header", errors.EmptyTableError, "no frames"),
        ("semicolons", errors.UnreadableTableError, "semicolons"),
        ("decimal commas", errors.UnreadableTableError, "decimal commas"),
        ("quoted commas", errors.MissingColumnsError, "line 2, column confidence.*decimal commas"),
        ("word", errors.MissingColumnsError, "line 2, column confidence: 'oops'"),
        ("twice", errors.MissingColumnsError, "AU12_r twice"),
        ("zero bytes", errors.UnreadableTableError, "zero bytes"),
        ("quotes", errors.TableError, "CSV|columns"),
    ],
)
def test_broken_files_say_what_is_wrong(path: Path, change: str, error: type[Exception], message: str) -> None:
    path.write_text(broken(change))
    with pytest.raises(error, match=message) as caught:
        read_openface(path)
    assert str(path) in str(caught.value)


def test_encodings(path: Path) -> None:
    made = text(columns())
    expected = openface_raw(write(path, columns())).values
    for data in (b"\xef\xbb\xbf" + made.encode(), made.encode("utf-16"), made.replace("\n", "\r\n").encode()):
        path.write_bytes(data)
        np.testing.assert_array_equal(openface_raw(path).values, expected)
    for data in (made.encode("utf-16-le"), b"\x80\xff\x00\x01" * 50):
        path.write_bytes(data)
        with pytest.raises(errors.UnreadableTableError):
            openface_raw(path)
    with pytest.raises(errors.UnreadableTableError, match="no such file"):
        openface_raw(path.with_name("none.csv"))


def test_spellings_of_no_number(path: Path) -> None:
    made = text(columns()).splitlines()
    for line, cell in enumerate(["", "nan", "-nan(ind)", "NaN", "1.#IND", "NULL"], start=1):
        cells = made[line].split(", ")
        cells[10] = cell
        made[line] = ", ".join(cells) + ","  # and a trailing comma
    path.write_text("\n".join(made))
    raw = openface_raw(path)
    assert np.isnan(raw.values).any(axis=1).tolist() == [True] * 6 + [False] * 54
