"""Live Link Face CSV files: names, timecode, units, gaps."""

from pathlib import Path

import numpy as np
import pytest

from whodrives.avatars.arkit import ARKIT, channels_from_arkit
from whodrives.avatars.motion import errors
from whodrives.avatars.motion.livelink import livelink_raw, read_livelink, seconds_of_timecode
from whodrives.avatars.tracks import INDEX

HEAD = ("HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw")


def code(frame: int, rate: int = 60, start: int = 12 * 3600, sub: str = ".000") -> str:
    second, rest = divmod(frame, rate)
    second = (second + start) % 86400
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}:{rest:02d}{sub}"


def drop_code(frame: int, rate: int = 60, mark: str = ":") -> str:
    """Drop-frame timecode by walking: the definition, not the formula."""
    skip = 2 * rate // 30
    at = [0, 0, 0, 0]
    for _ in range(frame):
        at[3] += 1
        if at[3] == rate:
            at[3], at[2] = 0, at[2] + 1
        if at[2] == 60:
            at[2], at[1] = 0, at[1] + 1
            at[3] = 0 if at[1] % 10 == 0 else skip
        if at[1] == 60:
            at[1], at[0] = 0, at[0] + 1
    return f"{at[0]:02d}:{at[1]:02d}:{at[2]:02d}{mark}{at[3]:02d}.000"


def weights(frames: int = 240) -> np.ndarray:
    return np.random.default_rng(0).random((frames, 52)) * 0.8 + 0.01


def text(values: np.ndarray, codes: list[str], head: np.ndarray | None = None) -> str:
    head = np.random.default_rng(1).normal(0, 0.1, (len(values), len(HEAD))) if head is None else head
    names = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in ARKIT), *HEAD]
    rows = [
        ",".join([when, "61", *(f"{value:.9f}" for value in row), *(f"{angle:.9f}" for angle in turn)])
        for when, row, turn in zip(codes, values, head, strict=True)
    ]
    return ",".join(names) + "\n" + "\n".join(rows) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "MySlate_1_iPhone.csv"


def test_a_take(path: Path) -> None:
    values, head = weights(), np.random.default_rng(1).normal(0, 0.1, (240, len(HEAD)))
    path.write_text(text(values, [code(k) for k in range(240)], head))
    track = read_livelink(path, "ana", conditioning=None)
    assert (track.driver, track.recording, track.fps, len(track)) == ("ana", "MySlate_1_iPhone", 60.0, 240)
    expected = channels_from_arkit(values)
    face = [k for k in range(33) if not 19 <= k < 25]
    np.testing.assert_allclose(track.values[:, face], expected[:, face], atol=1e-5)
    for channel, column, sign in (("yaw", 0, -1), ("pitch", 1, 1), ("roll", 2, -1)):
        np.testing.assert_allclose(track.values[:, INDEX[channel]], sign * head[:, column], atol=1e-6)
    mirrored = read_livelink(path, conditioning=None, head_signs=(1, 1, 1))
    np.testing.assert_allclose(mirrored.values[:, INDEX["yaw"]], head[:, 0], atol=1e-6)
    assert not read_livelink(path).values[:, INDEX["tx"]].any()


def test_names_in_any_capitals_and_without_head(path: Path) -> None:
    made = text(weights(), [code(k) for k in range(240)])
    header, rest = made.split("\n", 1)
    path.write_text(header.lower() + "\n" + rest)
    assert livelink_raw(path).true_head_pose
    path.write_text(header.replace("HeadYaw", "Other") + "\n" + rest)
    raw = livelink_raw(path)
    assert not raw.true_head_pose
    assert not raw.values[:, INDEX["roll"]].any()


def test_frames_without_a_face_are_gaps(path: Path) -> None:
    values = weights()
    values[100:130] = 0.0
    lines = text(values, [code(k) for k in range(240)]).splitlines()
    lines[41] = lines[41].split(",")[0] + ",0" + "," * 59
    lines[51] = lines[51].split(",")[0] + ",61"
    path.write_text("\n".join(lines))
    raw = livelink_raw(path)
    assert np.flatnonzero(raw.confidence == 0).tolist() == [40, 50, *range(100, 130)]
    assert np.flatnonzero(~read_livelink(path).valid).tolist() == list(range(100, 130))


@pytest.mark.parametrize("rate", [24, 25, 30, 60])
def test_rate_is_read_off_the_frame_numbers(path: Path, rate: int) -> None:
    codes = [code(k, rate) for k in range(4 * rate)]
    np.testing.assert_allclose(np.diff(seconds_of_timecode(path, codes)), 1 / rate, atol=1e-9)


def test_subframes_and_given_rates(path: Path) -> None:
    codes = [code(k // 2, 30, sub=".000" if k % 2 == 0 else ".500") for k in range(240)]
    np.testing.assert_allclose(np.diff(seconds_of_timecode(path, codes)), 1 / 60, atol=1e-9)
    slow = seconds_of_timecode(path, [code(k, 30) for k in range(90)], timecode_fps=29.97)
    np.testing.assert_allclose(np.diff(slow), 1 / 29.97, atol=1e-9)
    short = [code(k, 60) for k in range(20)]  # a third of a second
    with pytest.raises(errors.TimeStampError, match="give timecode_fps"):
        seconds_of_timecode(path, short)
    np.testing.assert_allclose(np.diff(seconds_of_timecode(path, short, timecode_fps=60)), 1 / 60, atol=1e-9)
    ticking = seconds_of_timecode(path, [code(k, 30) for k in range(15, 60)])  # one and a half seconds
    np.testing.assert_allclose(np.diff(ticking), 1 / 30, atol=1e-9)
    with pytest.raises(errors.TimeStampError, match="does not fit 30"):
        seconds_of_timecode(path, codes=[code(k, 60) for k in range(120)], timecode_fps=30)


@pytest.mark.parametrize(("rate", "mark"), [(60, ":"), (30, ":"), (30, ";")])
def test_drop_frame_counting(path: Path, rate: int, mark: str) -> None:
    first = 55 * rate
    codes = [drop_code(first + k, rate, mark) for k in range(0, 15 * rate)]
    assert f"00:01:00{mark}{2 * rate // 30:02d}.000" in codes
    time = seconds_of_timecode(path, codes)
    np.testing.assert_allclose(np.diff(time), 1001 / 1000 / rate, atol=1e-9)
    np.testing.assert_allclose(time[0], first * 1001 / 1000 / rate, atol=1e-6)


def test_midnight(path: Path) -> None:
    codes = [code(k, 60, start=86400 - 2) for k in range(240)]
    assert codes[0].startswith("23:59:58")
    assert codes[-1].startswith("00:00:01")
    np.testing.assert_allclose(np.diff(seconds_of_timecode(path, codes)), 1 / 60, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("12:00:01:00.000", "12.5", errors.TimeStampError, "line 62: '12.5' is no timecode"),
        ("12:00:01:00.000", "12:61:01:00.000", errors.TimeStampError, "no time of day"),
        ("12:00:01:00.000", "12:00:00:59.000", errors.TimeStampError, "repeats"),
        ("12:00:01:00.000", "11:00:00:59.000", errors.TimeStampError, "backwards"),
        ("JawOpen", "JawUp", errors.MissingColumnsError, "JawOpen"),
        ("Timecode", "Time", errors.MissingColumnsError, "Timecode"),
    ],
)
def test_broken_files_say_what_is_wrong(path: Path, old: str, new: str, error: type, message: str) -> None:
    path.write_text(text(weights(), [code(k) for k in range(240)]).replace(old, new, 1))
    with pytest.raises(error, match=message) as caught:
        read_livelink(path)
    assert str(path) in str(caught.value)


def test_wrong_units_and_nobody(path: Path) -> None:
    codes = [code(k) for k in range(240)]
    path.write_text(text(100 * weights(), codes))
    with pytest.raises(errors.WrongUnitsError, match=r"percent\? / 100"):
        read_livelink(path)
    path.write_text(text(weights(), codes, np.full((240, len(HEAD)), 12.0)))
    with pytest.raises(errors.WrongUnitsError, match="radians"):
        read_livelink(path)
    path.write_text(text(0 * weights(), codes))
    with pytest.raises(errors.EmptyTableError, match="no frame holds a face"):
        read_livelink(path)
