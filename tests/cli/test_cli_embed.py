from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_embed_writes_a_row_for_each_window(call, videos, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"out.{kind}"
    answer = call("embed", videos["ana1"], videos["ana2"], videos["short"], "-o", out, "--json")
    assert answer.status == 0
    counts = [video["windows"] for video in answer.json["videos"]]
    assert counts == [4, 4, 1]
    assert answer.json["errors"] == []
    if kind == "npz":
        table = dict(np.load(out, allow_pickle=False))
        vectors, paths, starts = table["embeddings"], table["paths"].tolist(), table["start_frames"].tolist()
        assert table["embeddings"].dtype == np.float32
        assert table["usable"].tolist() == [True] * 8 + [False]
    else:
        stored = parquet.read_table(out)
        vectors = np.array(stored["embeddings"].to_pylist())
        paths, starts = stored["paths"].to_pylist(), stored["start_frames"].to_pylist()
        assert stored.schema.metadata[b"weights"] == b"feedfeedfeedfeed"
    assert vectors.shape == (9, 256)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-4)
    assert paths == [str(videos["ana1"])] * 4 + [str(videos["ana2"])] * 4 + [str(videos["short"])]
    assert starts == [0, 32, 64, 96] * 2 + [0]


def test_bad_files_are_listed_and_the_others_done(call, videos, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    bad = [videos["empty"], videos["text"], videos["missing"]]
    answer = call("embed", bad[0], videos["ana1"], bad[1], bad[2], "-o", out, "--json")
    assert answer.status == 2
    assert [error["path"] for error in answer.json["errors"]] == [str(path) for path in bad]
    types = [error["type"] for error in answer.json["errors"]]
    assert types == ["EmptyFileError", "NotAVideoError", "UnreadableFileError"]
    assert len(np.load(out)["embeddings"]) == 4
    people = call("embed", videos["ana1"], bad[0], "-o", out)
    assert people.status == 2
    assert "empty.mp4" in people.err
    assert "ana1.mp4" in people.out


def test_nothing_is_written_when_every_file_is_bad(call, videos, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    answer = call("embed", videos["empty"], "-o", out, "--json")
    assert answer.status == 2
    assert answer.json["out"] is None
    assert list(tmp_path.iterdir()) == []


def test_hop_and_crop_are_used(call, videos, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    answer = call("embed", videos["ana1"], "-o", out, "--hop", 48, "--crop", "0,0,96,96", "--json")
    assert np.load(out)["start_frames"].tolist() == [0, 48, 96]
    assert answer.json["videos"][0]["crop"] == [0, 0, 96, 96]


@pytest.mark.parametrize(
    "words",
    [["-o", "out.csv"], ["-o", "no/such/folder/out.npz"], [], ["-o", "out.npz", "--hop", "0"], ["-o", "o.npz", "--x"]],
)
def test_wrong_calls(call, videos, words: list[str]) -> None:
    answer = call("embed", videos["ana1"], *words, "--json")
    assert answer.status == 2
    assert answer.json["error"]["message"]
    people = call("embed", videos["ana1"], *words)
    assert people.status == 2
    assert people.err.startswith("whodrives: ")
    assert people.err.count("\n") == 1
