"""Telling motion files apart, and folders of them."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whodrives.avatars.arkit import ARKIT
from whodrives.avatars.conditioning import Conditioning
from whodrives.avatars.motion import errors
from whodrives.avatars.motion.csvfile import read_csv
from whodrives.avatars.motion.read import motion_format, read_motion
from whodrives.avatars.motion.tables import COLUMN_OF
from whodrives.avatars.tracks import AU_CHANNELS, INDEX
from whodrives.errors import InputError

N = 60


def openface(path: Path) -> Path:
    names = ["frame", " timestamp", " confidence", " success", *(f" {column}" for column in COLUMN_OF.values())]
    rng = np.random.default_rng(0)
    rows = [
        [k + 1, k / 30, 0.98, 1, *(0.1 * rng.random(len(COLUMN_OF) - 1)).tolist(), 600 + rng.random()] for k in range(N)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([",".join(names), *(", ".join(f"{v:.6g}" for v in row) for row in rows)]))
    return path


def livelink(path: Path) -> Path:
    names = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in ARKIT)]
    rows = [f"01:00:{k // 30:02d}:{k % 30:02d}.000,52" + ",0.1" * 52 for k in range(3 * 30)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([",".join(names), *rows]))
    return path


def blendshapes(path: Path) -> Path:
    shape = dict.fromkeys(ARKIT, 0.1)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps([{"time_s": k / 25, "blendshapes": shape} for k in range(N)]))
    else:
        rows = [f"{k / 25}" + ",0.1" * 52 for k in range(N)]
        path.write_text("\n".join([",".join(["time_s", *ARKIT]), *rows]))
    return path


def parquet(path: Path) -> Path:
    data = {
        "driver": ["ana"] * N,
        "clip": ["ana_1"] * N,
        "frame": np.arange(N),
        "time_s": np.arange(N) / 30,
        "confidence": np.ones(N),
        **{column: 0.1 * np.random.default_rng(0).random(N) for column in COLUMN_OF.values()},
    }
    pq.write_table(pa.table(data), path)
    return path


def test_every_format_is_told_apart(tmp_path: Path) -> None:
    made = {
        "openface": openface(tmp_path / "of.csv"),
        "livelink": livelink(tmp_path / "ll.csv"),
        "mediapipe": blendshapes(tmp_path / "mp.csv"),
        "table": parquet(tmp_path / "t.parquet"),
    }
    for kind, path in made.items():
        assert motion_format(path) == kind
        (track,) = read_motion(path, licence="CC0")
        assert track.licence == "CC0"
        assert track.valid.all()
        assert read_motion(path, fps=25.0)[0].fps == 25.0
    assert motion_format(blendshapes(tmp_path / "mp.json")) == "mediapipe"
    wide = tmp_path / "wide.csv"
    wide.write_bytes(made["openface"].read_text().encode("utf-16"))
    assert motion_format(wide) == "openface"
    assert read_motion(wide, "ana", "one")[0].driver == "ana"


def test_automatic_conditioning_fits_the_format(tmp_path: Path) -> None:
    path = openface(tmp_path / "of.csv")
    assert read_motion(path)[0].values[:, INDEX["pitch"]].any()
    assert not read_motion(path, conditioning=Conditioning())[0].values[:, INDEX["pitch"]].any()
    raw = read_motion(path, conditioning=None)[0]
    assert raw.values[:, : len(AU_CHANNELS)].min() >= 0
    assert not read_motion(parquet(tmp_path / "t.parquet"))[0].values[:, INDEX["pitch"]].any()


def test_folders_hold_drivers(tmp_path: Path) -> None:
    openface(tmp_path / "ana" / "one.csv")
    livelink(tmp_path / "ana" / "two.csv")
    blendshapes(tmp_path / "bo" / "one.json")
    (tmp_path / "ana" / "one.avi").write_bytes(b"the tracker's picture")
    (tmp_path / "bo" / "notes.txt").write_text("hello")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "readme.md").write_text("hello")
    tracks = read_motion(tmp_path)
    assert [(t.driver, t.recording) for t in tracks] == [("ana", "ana-one"), ("ana", "ana-two"), ("bo", "bo-one")]
    (tmp_path / "bo" / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(errors.UnknownFormatError, match=r"bad\.csv.*columns begin a, b.*OpenFace"):
        read_motion(tmp_path / "bo" / "bad.csv")
    (tmp_path / "bo" / "take.json").write_text('{"appVersion": "1.5"}')
    with pytest.warns(UserWarning, match=r"left out bo/bad\.csv, bo/take\.json"):
        assert len(read_motion(tmp_path)) == 3
    with pytest.raises(InputError, match="names its own drivers"):
        read_motion(tmp_path, driver="ana")


def test_what_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.UnreadableTableError, match="no such file or folder"):
        read_motion(tmp_path / "none.csv")
    with pytest.raises(errors.UnknownFormatError, match="one sub-folder a driver"):
        read_motion(tmp_path)
    path = tmp_path / "x.xlsx"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(errors.UnknownFormatError, match="Live Link Face"):
        read_motion(path)
    (tmp_path / "e.csv").write_bytes(b"")
    with pytest.raises(errors.EmptyTableError, match="is empty"):
        read_motion(tmp_path / "e.csv")
    with pytest.raises(InputError, match="Parquet"):
        read_motion(openface(tmp_path / "of.csv"), split="train")
    with pytest.raises(InputError, match="names its own"):
        read_motion(parquet(tmp_path / "t.parquet"), driver="bo")


def test_a_split_reaches_the_table(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet")
    (tmp_path / "split.csv").write_text("driver,split\nana,train\n")
    assert len(read_motion(path, split="train")) == 1
    with pytest.raises(errors.EmptyTableError):
        read_motion(path, split="test")


def test_damaged_files_raise_nothing_but_typed_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [openface(tmp_path / "o.csv"), livelink(tmp_path / "l.csv"), blendshapes(tmp_path / "b.json")]
    whole = [path.read_bytes() for path in paths]
    pieces = [b",", b"\n", b'"', b"1e400", b"nan", b"-", b"99999999", b"\xe9", b"\0", b";", b"[", b"}"]
    refused = []
    for number in range(150):
        path, data = paths[number % 3], bytearray(whole[number % 3])
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(len(data)))
            if rng.random() < 0.5:
                data[at : at + int(rng.integers(0, 300))] = pieces[int(rng.integers(len(pieces)))]
            else:
                data[at : at + 1] = pieces[int(rng.integers(len(pieces)))]
        path.write_bytes(bytes(data))
        try:
            (track,) = read_motion(path)
        except InputError as error:
            refused.append((str(path), str(error)))
        else:
            assert np.isfinite(track.values).all()
    assert len(refused) > 50
    assert all(path in message for path, message in refused)


def test_one_file_of_each_live_link_take(tmp_path: Path) -> None:
    place = tmp_path / "ana"
    for name in ("a.csv", "a_cal.csv", "a_raw.csv", "a_neutral.csv", "b_raw.csv", "c.csv"):
        livelink(place / name)
    with pytest.warns(UserWarning, match=r"left out ana/a\.csv, ana/a_neutral\.csv, ana/a_raw\.csv"):
        tracks = read_motion(tmp_path)
    assert [track.recording for track in tracks] == ["ana-a_cal", "ana-b_raw", "ana-c"]


def test_faces_of_one_file(tmp_path: Path) -> None:
    file = openface(tmp_path / "ana" / "of.csv")
    lines = file.read_text().splitlines()
    two = [f"face_id,{lines[0]}", *(f"0,{line}" for line in lines[1:]), *(f"1,{line}" for line in lines[1:])]
    file.write_text("\n".join(two))
    with pytest.raises(errors.SeveralFacesError, match="face_id= "):
        read_motion(file)
    assert len(read_motion(file, face_id=1)) == 1
    assert len(read_motion(tmp_path, face_id=0)) == 1
    with pytest.raises(InputError, match="leave face_id out"):
        read_motion(livelink(tmp_path / "bo" / "ll.csv"), face_id=0)


@pytest.mark.parametrize("blank", [b"\xef\xbb\xbf", b"\xff\xfe", b"\n\n", b",,,\n,,,\n"])
def test_files_of_nothing(tmp_path: Path, blank: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(blank)
    with pytest.raises(errors.TableError, match=r"x\.csv"):
        read_motion(path)
    with pytest.raises(errors.EmptyTableError, match="is empty"):
        read_csv(path)


def test_separators_and_blank_lines_before_the_format(tmp_path: Path) -> None:
    file = openface(tmp_path / "of.csv")
    text = file.read_text()
    file.write_text("\n\n" + text)
    assert len(read_motion(file)) == 1
    file.write_text(text.replace(",", ";"))
    with pytest.raises(errors.UnreadableTableError, match="separated by semicolons"):
        read_motion(file)
