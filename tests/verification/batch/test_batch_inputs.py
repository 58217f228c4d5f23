"""Which files are embedded, under which names, and what shards share."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whodrives.data.manifest import ManifestError
from whodrives.errors import InputError
from whodrives.verification.batch.inputs import Shard, read_manifest, read_paths


def test_a_csv_with_further_columns(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        f'group,File Name,driver\na,x/1.mp4,007\nb,{tmp_path}/x/2.mp4,1e3\n"a\nb",./x//3.mp4,\n/,/else/4.mp4,NA\n',
        encoding="utf-8-sig",
    )
    inputs = read_manifest(path)
    assert inputs.names.to_pylist() == ["x/1.mp4", "x/2.mp4", "x/3.mp4", "/else/4.mp4"]
    # Identities are text, whatever they look like.
    assert inputs.labels.to_pydict() == {"group": ["a", "b", "a\nb", "/"], "driver": ["007", "1e3", "", "NA"]}
    assert [item.file for item in inputs.items()][0::3] == [f"{tmp_path}/x/1.mp4", "/else/4.mp4"]
    assert {name: value.as_py() for name, value in inputs.labels_of(1).items()} == {"group": "b", "driver": "1e3"}
    elsewhere = read_manifest(path, root="/else")
    assert elsewhere.names.to_pylist()[3] == "4.mp4"
    assert elsewhere.file("x/1.mp4") == "/else/x/1.mp4"


def test_a_parquet_file_keeps_the_types_of_its_columns(tmp_path: Path) -> None:
    group = pa.array(["x", "y"]).dictionary_encode()
    table = pa.table({"age": [3, None], "path": ["a.mp4", "b.mp4"], "group": group})
    pq.write_table(table, tmp_path / "list.parquet")
    inputs = read_manifest(tmp_path / "list.parquet")
    assert inputs.labels.schema.field("age").type == pa.int64()
    assert inputs.labels.schema.field("group").type == pa.string()
    assert inputs.labels_of(1)["age"].as_py() is None
    pq.write_table(table.slice(0, 0), tmp_path / "none.parquet")
    assert len(read_manifest(tmp_path / "none.parquet")) == 0


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name;driver\na;b\n", "lacks the column 'path'"),
        ("path,driver\na.mp4,x\n ,y\n", "a row has no path"),
        ("path,usable\na.mp4,x\n", "'usable' has a name that is taken"),
        ("path,driver,driver\na.mp4,x,y\n", "'driver' has a name that is taken"),
        ("path,driver\na.mp4\n", r"list\.csv: is no CSV"),
        ("", "is empty"),
    ],
)
def test_manifests_that_cannot_be_used(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ManifestError, match=match):
        read_manifest(tmp_path / "list.csv")


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "missing.csv")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "missing.parquet")
    (tmp_path / "list.parquet").write_text("path\n")
    with pytest.raises(ManifestError, match="no Parquet"):
        read_manifest(tmp_path / "list.parquet")
    (tmp_path / "latin.csv").write_bytes("path\nänä.mp4\n".encode("latin-1"))
    with pytest.raises(ManifestError, match="UTF-8"):
        read_manifest(tmp_path / "latin.csv")


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path\na/1.mp4\na/2.mp4\n./a//1.mp4\n")
    with pytest.raises(InputError, match=r"names a/1\.mp4 twice"):
        read_manifest(tmp_path / "list.csv")
    (tmp_path / "1.mp4").touch()
    with pytest.raises(InputError, match="twice"):
        read_paths([str(tmp_path), str(tmp_path / "1.mp4")])


def test_folders_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b/2.mp4", "b/1.MOV", "a.mkv", "b/.hidden.mp4", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert read_paths([str(tmp_path)]).names.to_pylist() == ["a.mkv", "b/1.MOV", "b/2.mp4"]
    monkeypatch.chdir(tmp_path)
    mixed = read_paths(["b", "a.mkv", "missing.mp4"])
    assert mixed.names.to_pylist() == ["b/1.MOV", "b/2.mp4", "a.mkv", "missing.mp4"]
    with pytest.raises(InputError, match="no video there"):
        read_paths([])


def test_names_that_are_no_text_are_escaped_and_opened_as_they_are(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff.mp4"
    try:
        Path(os.fsdecode(odd)).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    inputs = read_paths([str(tmp_path)])
    (item,) = inputs.items()
    assert item.name == "\\xff.mp4"
    assert os.fsencode(item.file) == odd


def test_shards_are_disjoint_their_union_is_the_whole_and_they_do_not_move(tmp_path: Path) -> None:
    names = [f"{number}.mp4" for number in range(300)]
    (tmp_path / "list.csv").write_text("path,n\n" + "".join(f"{name},{name[:-4]}\n" for name in names))
    (tmp_path / "other.csv").write_text("n,path\n" + "".join(f"0,{name}\n" for name in [*names[::-2], "new.mp4"]))
    parts = [read_manifest(tmp_path / "list.csv", shard=Shard(number, 4)) for number in (1, 2, 3, 4)]
    assert sorted(name for part in parts for name in part.names.to_pylist()) == sorted(names)
    for part in parts:
        assert 45 < len(part) < 105
        assert part.labels["n"].to_pylist() == [name[:-4] for name in part.names.to_pylist()]
    second = set(read_manifest(tmp_path / "other.csv", shard=Shard(2, 4)).names.to_pylist()) - {"new.mp4"}
    assert second == set(parts[1].names.to_pylist()) & set(names[::-2])


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "-1/2", "1/2/3"])
def test_shards_that_there_are_not(text: str) -> None:
    with pytest.raises(InputError, match="from 1 to n"):
        Shard.parse(text)
    assert Shard.parse(" 4/4 ") == Shard(4, 4)


def test_what_is_finished_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,n\na.mp4,1\nb.mp4,2\nc.mp4,3\n")
    left = read_manifest(tmp_path / "list.csv").without(pa.chunked_array([["b.mp4", "z.mp4"]]))
    assert left.names.to_pylist() == ["a.mp4", "c.mp4"]
    assert left.labels["n"].to_pylist() == ["1", "3"]
