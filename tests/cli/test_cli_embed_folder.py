from pathlib import Path

import pyarrow.parquet as pq
import pytest


def test_a_folder_of_parts_is_written_and_gone_on_with(call, videos, tmp_path: Path) -> None:
    out = f"{tmp_path}/out/"
    words = ("--root", videos["ana1"].parent, "-o", out, "--workers", 1)
    first = call("embed", videos["ana1"], videos["empty"], *words, "--json")
    assert first.status == 2
    assert {name: first.json[name] for name in ("files", "done", "kept", "windows", "failed", "hop", "shard")} == {
        "files": 2, "done": 1, "kept": 0, "windows": 4, "failed": 1, "hop": 32, "shard": "1/1",
    }  # fmt: skip
    assert [(error["path"], error["type"]) for error in first.json["errors"]] == [("empty.mp4", "EmptyFileError")]
    assert "empty.mp4" in Path(first.json["failed_list"]).read_text()
    second = call("embed", videos["ana1"], videos["short"], *words, "--json")
    assert second.status == 0
    assert (second.json["done"], second.json["kept"], second.json["errors"]) == (1, 1, [])
    table = pq.read_table(tmp_path / "out" / "embeddings")
    assert table["paths"].to_pylist() == ["ana1.mp4"] * 4 + ["short.mp4"]
    assert table["usable"].to_pylist() == [True] * 4 + [False]
    assert table.schema.metadata[b"weights"] == b"feedfeedfeedfeed"
    refused = call("embed", videos["ana1"], *words, "--hop", 8, "--json")
    assert refused.status == 2
    assert refused.json["error"]["type"] == "BatchError"


def test_a_manifest_and_shards(call, videos, tmp_path: Path) -> None:
    names = ("ana1", "ben1", "short", "missing")
    manifest = tmp_path / "list.csv"
    manifest.write_text("path,driver\n" + "".join(f"{videos[name]},{name[:3]}\n" for name in names))
    (tmp_path / "out").mkdir()
    words = ("embed", "--manifest", manifest, "--root", videos["ana1"].parent, "-o", tmp_path / "out", "--workers", 1)
    answers = [call(*words, "--shard", f"{number}/2") for number in (1, 2)]
    assert sorted(answer.status for answer in answers) == [0, 2]
    assert "missing.mp4" in "".join(answer.err for answer in answers)
    table = pq.read_table(tmp_path / "out" / "files")
    assert sorted(zip(table["paths"].to_pylist(), table["driver"].to_pylist())) == [
        ("ana1.mp4", "ana"), ("ben1.mp4", "ben"), ("short.mp4", "sho"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["ana1", "--manifest", "x.csv", "-o", "out/"], "either"),
        (["-o", "out/"], "either"),
        (["ana1", "-o", "out.npz", "--shard", "1/2"], "--shard needs a folder"),
        (["ana1", "-o", "out.npz", "--workers", "2"], "end -o out.npz with /"),
        (["ana1", "-o", "out/", "--shard", "0/2"], "from 1 to n"),
        (["--manifest", "missing.csv", "-o", "out/"], "missing.csv: cannot be read"),
    ],
)
def test_wrong_calls(call, videos, words: list[str], match: str) -> None:
    answer = call("embed", *(videos.get(word, word) for word in words))
    assert answer.status == 2
    assert match in answer.err
    assert answer.err.count("\n") == 1
