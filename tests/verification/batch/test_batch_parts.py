"""The output folder: what is finished stays finished, and never stands twice, wherever a run was killed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_media import stored

from fake_weights import embedding
from whodrives.verification.batch.parts import PartWriter
from whodrives.verification.batch.rows import Rows, read_rows, rows_of


def rows(name: str, windows: int = 2) -> Rows:
    seed = sum(name.encode())
    made = embedding(np.random.default_rng(seed).normal(size=(windows, 8)))
    return rows_of(name, 100, made).with_labels({"driver": pa.scalar(name[0])})


def writer(out: Path, **limits: int) -> PartWriter:
    return PartWriter(out, "1-of-1", {"weights": "feed"}, **limits)


def test_rows_survive_as_bytes_and_a_torn_end_is_noticed() -> None:
    data = rows("a.mp4").to_bytes() + rows("b.mp4", 3).to_bytes()
    found = list(read_rows(data))
    assert [one.files["paths"].to_pylist() for one, _ in found] == [["a.mp4"], ["b.mp4"]]
    assert [len(one.windows) for one, _ in found] == [2, 3]
    assert found[1][1] == len(data)
    for cut in (1, 7, 300, len(data) - found[0][1] - 1):
        assert [end for _, end in read_rows(data[:-cut])] == [found[0][1]]
    torn = bytearray(data)
    torn[found[0][1] + 200] ^= 1
    assert len(list(read_rows(torn))) == 1


def test_parts_are_bounded_and_hold_what_was_written(tmp_path: Path) -> None:
    out = writer(tmp_path, part_windows=6, part_files=2)
    for number in range(5):
        out.append(rows(f"{number}.mp4", 6 if number == 2 else 1))
    out.finish()
    assert [len(pq.read_table(tmp_path / "files" / f"1-of-1-{n:05d}.parquet")) for n in range(3)] == [2, 1, 2]
    assert not (tmp_path / ".work" / "1-of-1" / "journal").exists()
    table = pq.read_table(tmp_path / "embeddings")
    assert table["driver"].to_pylist() == [*"01222222", *"34"]
    assert table.schema.metadata[b"weights"] == b"feed"
    assert table.schema.field("embeddings").type == pa.list_(pa.float32(), 8)
    expected = np.concatenate([rows("2.mp4", 6).windows["embeddings"].to_pylist()])
    np.testing.assert_array_equal(table["embeddings"].to_pylist()[2:8], expected)
    assert out.recover().to_pylist() == [f"{n}.mp4" for n in range(5)]


def test_a_killed_run_is_taken_up_from_its_journal(tmp_path: Path) -> None:
    killed = writer(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        killed.append(rows(name))
    with killed.journal.open("ab") as journal:
        journal.write(rows("c.mp4").to_bytes()[:-9])
    again = writer(tmp_path)
    assert again.recover().to_pylist() == ["a.mp4", "b.mp4"]
    again.append(rows("c.mp4"))
    again.finish()
    assert stored(tmp_path, "files") == stored(tmp_path, "embeddings") == ["a.mp4", "b.mp4", "c.mp4"]


@pytest.mark.parametrize("place", ["half a part", "between the tables", "before the journal went"])
def test_killed_while_a_part_was_written(tmp_path: Path, place: str) -> None:
    begun = writer(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        begun.append(rows(name))
    shutil.copy(begun.journal, tmp_path / "kept")
    begun.finish()
    shutil.move(tmp_path / "kept", begun.journal)
    if place != "before the journal went":
        (tmp_path / "files" / "1-of-1-00000.parquet").unlink()
    if place == "half a part":
        whole = tmp_path / "embeddings" / "1-of-1-00000.parquet"
        whole.rename(whole.with_name(f".{whole.name}.part"))
    again = writer(tmp_path)
    assert again.recover().to_pylist() == ["a.mp4", "b.mp4"]
    again.append(rows("c.mp4"))
    again.finish()
    assert stored(tmp_path, "files") == stored(tmp_path, "embeddings") == ["a.mp4", "b.mp4", "c.mp4"]
    assert list(tmp_path.rglob(".*.part")) == []


def test_a_video_without_windows_is_finished_too(tmp_path: Path) -> None:
    out = writer(tmp_path)
    out.append(Rows(rows("none.mp4").files, rows("none.mp4").windows.slice(0, 0)))
    out.finish()
    assert out.recover().to_pylist() == ["none.mp4"]
    assert stored(tmp_path, "embeddings") == []
