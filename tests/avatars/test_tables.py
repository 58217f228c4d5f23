"""Reading motion tables: what comes out, and what each kind of broken table says."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whodrives.avatars.conditioning import Conditioning, condition
from whodrives.avatars.motion import tables
from whodrives.avatars.motion.tables import COLUMN_OF, load_table
from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, INDEX
from whodrives.errors import InputError

Columns = dict[str, np.ndarray]


def columns(drivers: int = 2, clips: int = 2, frames: int = 60, fps: float = 30.0) -> Columns:
    rng = np.random.default_rng(0)
    rows = drivers * clips * frames
    frame = np.tile(np.arange(frames), drivers * clips)
    out: Columns = {
        "driver": np.repeat([f"P{d}" for d in range(drivers)], clips * frames),
        "clip": np.repeat([f"P{d}_{c}" for d in range(drivers) for c in range(clips)], frames),
        "frame": frame.astype(np.int32),
        "time_s": (frame / fps).astype(np.float32),
        "confidence": np.full(rows, 0.98, dtype=np.float32),
    }
    for name, column in COLUMN_OF.items():
        scale = 2.0 if name in AU_CHANNELS else 0.1
        out[column] = (scale * rng.random(rows)).astype(np.float32)
    return out


def write(path: Path, data: Columns) -> Path:
    pq.write_table(pa.table(data), path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motion.parquet"


def test_one_conditioned_track_a_clip(path: Path) -> None:
    data = columns()
    tracks = load_table(write(path, data), licence="CC0")
    assert [(t.driver, t.recording) for t in tracks] == [("P0", "P0_0"), ("P0", "P0_1"), ("P1", "P1_0"), ("P1", "P1_1")]
    raw = np.zeros((60, len(CHANNELS)))  # OpenFace knows nothing of the two sides: those channels stay 0
    for name, column in COLUMN_OF.items():
        raw[:, INDEX[name]] = data[column][60:120]
    expected, _ = condition(raw, None, 30.0)
    np.testing.assert_allclose(tracks[1].values, expected, atol=1e-6)
    assert tracks[1].values.dtype == np.float32
    assert tracks[1].fps == 30.0
    assert tracks[1].valid.all()
    assert (tracks[1].source, tracks[1].licence) == ("motion.parquet", "CC0")


def test_rows_in_any_order_give_the_same_tracks(path: Path, tmp_path: Path) -> None:
    data = columns()
    order = np.random.default_rng(1).permutation(len(data["frame"]))
    shuffled = write(tmp_path / "shuffled.parquet", {name: column[order] for name, column in data.items()})
    for one, two in zip(load_table(write(path, data)), load_table(shuffled)):
        np.testing.assert_array_equal(one.values, two.values)


def test_raw_channels_on_request(path: Path) -> None:
    data = columns()
    raw = load_table(write(path, data), conditioning=None)[0]
    np.testing.assert_array_equal(raw.values[:, INDEX["tx"]], data["pose_Tx"][:60])
    np.testing.assert_array_equal(raw.values[:, INDEX["AU45"]], data["AU45_r"][:60])


def test_frames_left_out_become_gaps(path: Path) -> None:
    data = columns(1, 1, 90)
    keep = np.ones(90, dtype=bool)
    keep[30:33] = False  # short, bridged
    keep[50:70] = False  # long, invalid
    track = load_table(write(path, {name: column[keep] for name, column in data.items()}))[0]
    assert len(track) == 90
    assert track.fps == 30.0
    assert np.flatnonzero(~track.valid).tolist() == list(range(50, 70))


def test_channels_that_are_not_rendered_need_no_column(path: Path) -> None:
    data = columns()
    for column in ("pose_Rx", "pose_Tx", "pose_Ty", "pose_Tz"):
        del data[column]
    assert len(load_table(write(path, data))) == 4
    with pytest.raises(tables.MissingColumnsError, match="pose_Rx, pose_Tx"):
        load_table(path, conditioning=Conditioning(true_head_pose=True))


def test_other_frame_rates_are_read_from_the_times(path: Path) -> None:
    assert load_table(write(path, columns(fps=25.0)))[0].fps == 25.0
    assert load_table(write(path, columns(fps=29.97)))[0].fps == 29.97


def test_splits(path: Path) -> None:
    write(path, columns(3))
    split = path.parent / "split.csv"
    with pytest.raises(tables.SplitError, match=r"split\.csv"):
        load_table(path, "train")
    split.write_text("driver,split\nP0,train\nP1,val\nP2,train\n")
    assert {t.driver for t in load_table(path, "train")} == {"P0", "P2"}
    assert {t.driver for t in load_table(path, "val")} == {"P1"}
    with pytest.raises(tables.EmptyTableError, match="'test'"):
        load_table(path, "test")
    with pytest.raises(InputError, match="unknown split"):
        load_table(path, "dev")
    for text, message in (
        ("driver,split\nP0,train\nP1,val\n", "1 drivers"),
        ("driver,split\nP0,train\nP0,val\nP1,val\nP2,val\n", "twice"),
        ("driver,split\nP0,train\nP1,dev\nP2,val\n", "unknown split 'dev'"),
        ("name,part\nP0,train\n", "columns driver and split"),
    ):
        split.write_text(text)
        with pytest.raises(tables.SplitError, match=message):
            load_table(path, "train")


def broken(change: str) -> Columns:
    data = columns()
    if change == "no AU12":
        del data["AU12_r"]
    elif change == "text":
        data["AU12_r"] = data["AU12_r"].astype(str)
    elif change == "empty cell":
        data["frame"] = pa.array([None, *data["frame"][1:].tolist()], pa.int32())
    elif change == "empty":
        data = {name: column[:0] for name, column in data.items()}
    elif change == "lost":
        data["confidence"][:] = 0.1
    elif change == "degrees":
        data["pose_Rz"] = data["pose_Rz"] * 180 / np.pi
    elif change == "gaze degrees":
        data["gaze_angle_x"] = data["gaze_angle_x"] * 180 / np.pi
    elif change == "percent":
        data["AU12_r"] = data["AU12_r"] * 20
    elif change == "milliseconds":
        data["time_s"] = data["time_s"] * 1000
    elif change == "frozen clock":
        data["time_s"] = data["time_s"] * 0
    elif change == "twice":
        data["frame"][10] = 9
    elif change == "huge hole":
        data["frame"][50:60] += 100_000
        data["time_s"][50:60] += 100_000 / 30
    elif change == "hole in time":
        data["time_s"][30:] += 10.0
    elif change == "another rate":
        data["time_s"][40:] = data["time_s"][40] + 0.1 * np.arange(len(data["time_s"]) - 40)
    elif change == "backwards":
        data["time_s"][30:] -= 5.0
    elif change == "percent":
        data["confidence"] = data["confidence"] * 30.0
    elif change == "no frame number":
        data["frame"] = data["frame"].astype(np.float64)
        data["frame"][3] = np.nan
    return data


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("no AU12", tables.MissingColumnsError, "AU12_r"),
        ("text", tables.MissingColumnsError, "must hold numbers"),
        ("empty cell", tables.MissingColumnsError, "empty cells"),
        ("empty", tables.EmptyTableError, "holds no frames"),
        ("lost", tables.EmptyTableError, "confidence"),
        ("degrees", tables.WrongUnitsError, "radians"),
        ("gaze degrees", tables.WrongUnitsError, "radians"),
        ("percent", tables.WrongUnitsError, r"0\.\.5"),
        ("milliseconds", tables.WrongUnitsError, "seconds"),
        ("frozen clock", tables.WrongUnitsError, "seconds"),
        ("twice", tables.MissingColumnsError, "twice"),
        ("huge hole", tables.MissingColumnsError, "split the clip"),
        ("hole in time", tables.TimeStampError, "frames 29 and 30 lie 10"),
        ("another rate", tables.TimeStampError, "number frames by their times"),
        ("backwards", tables.TimeStampError, "number frames by their times"),
        ("percent", tables.WrongUnitsError, "percent"),
        ("no frame number", tables.MissingColumnsError, "no number"),
    ],
)
def test_broken_tables_say_what_is_wrong(path: Path, change: str, error: type[tables.TableError], message: str) -> None:
    write(path, broken(change))
    with pytest.raises(error, match=message) as caught:
        load_table(path)
    assert caught.value.path == path
    assert str(path) in str(caught.value)


def test_millimetres_are_refused_where_translation_counts(path: Path) -> None:
    data = columns()
    data["pose_Tx"] = data["pose_Tx"] * 630
    assert len(load_table(write(path, data))) == 4
    with pytest.raises(tables.WrongUnitsError, match="mm"):
        load_table(path, conditioning=Conditioning(true_head_pose=True))


def test_unreadable_files(path: Path) -> None:
    with pytest.raises(tables.UnreadableTableError, match="no such file"):
        load_table(path)
    for content in (b"", b"driver,clip\n1,2\n"):
        path.write_bytes(content)
        with pytest.raises(tables.UnreadableTableError, match="not a readable Parquet"):
            load_table(path)
    whole = write(path, columns(frames=2000)).read_bytes()
    path.write_bytes(whole[:100] + bytes(len(whole) // 2) + whole[100 + len(whole) // 2 :])
    with pytest.raises(tables.UnreadableTableError, match="damaged"):
        load_table(path)


def test_a_clip_nobody_could_track_is_left_out_with_a_warning(path: Path) -> None:
    data = columns()
    data["confidence"][:60] = 0.0
    write(path, data)
    with pytest.warns(UserWarning, match="1 clips"):
        assert [t.recording for t in load_table(path)] == ["P0_1", "P1_0", "P1_1"]


def test_the_real_table(shared: Path) -> None:
    start = time.perf_counter()
    tracks = load_table(shared / "motion" / "mu3d.parquet")
    seconds = time.perf_counter() - start
    assert len(tracks) == 320
    assert sum(len(t) for t in tracks) == 343_503
    assert seconds < 20  # about 2 s on a free core
    assert len({t.driver for t in load_table(shared / "motion" / "mu3d.parquet", "val")}) == 12
    assert np.mean(np.concatenate([t.valid for t in tracks])) > 0.99
    for t in tracks[::40]:
        assert not t.values[:, INDEX["pitch"]].any()
        np.testing.assert_allclose(np.median(t.values[t.valid][:, INDEX["roll"]]), 0, atol=1e-5)
