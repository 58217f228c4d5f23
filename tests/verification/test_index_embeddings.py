"""Indexes of what `whodrives embed` writes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fake_weights import INFO, embedding
from whodrives.cli.embed import write_embeddings
from whodrives.errors import InputError
from whodrives.verification import embedding_files
from whodrives.verification.embedding import unit_mean
from whodrives.verification.errors import WeightsMismatchError
from whodrives.verification.index_build import index_embeddings
from whodrives.verification.index_labels import read_labels
from whodrives.verification.template_index import TemplateIndex


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_template_for_each_name_from_usable_windows(
    tmp_path: Path, rng: np.random.Generator, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_files, "PIECE", 3)
    parts = [embedding(rng.normal(size=(4, 256)), f"{name}.mp4") for name in ("a1", "b", "a2")]
    still = embedding(rng.normal(size=(2, 256)), "still.mp4", problem="still")
    first, second = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    write_embeddings(first, [parts[0], still, parts[1]])
    write_embeddings(second, [parts[2]])
    report = index_embeddings([first, second], tmp_path / "by_path.idx")
    assert (report.templates, report.skipped, report.unlabelled) == (3, 1, 0)
    by_path = TemplateIndex.open(tmp_path / "by_path.idx")
    assert list(by_path.names()) == ["a1.mp4", "b.mp4", "a2.mp4"]
    assert by_path.info.weights == INFO.digest
    table = tmp_path / "labels.csv"
    table.write_text("path,name,group\na1.mp4,ana,x\na2.mp4,ana,x\n", encoding="utf-8")
    assert index_embeddings([first, second], tmp_path / "by_name.idx", read_labels(table)).unlabelled == 1
    by_name = TemplateIndex.open(tmp_path / "by_name.idx")
    assert list(by_name.names()) == ["ana", "b.mp4"]
    expected = unit_mean(np.concatenate([parts[0].vectors, parts[2].vectors]))
    assert by_name.templates(np.array([0]))[0] == pytest.approx(expected, abs=2e-4)
    assert sorted(os.listdir(tmp_path)) == sorted(["by_name.idx", "by_path.idx", "labels.csv", first.name, second.name])


def test_files_that_do_not_fit(tmp_path: Path, rng: np.random.Generator) -> None:
    import dataclasses

    good, other = tmp_path / "good.npz", tmp_path / "other.parquet"
    write_embeddings(good, [embedding(rng.normal(size=(2, 256)), "a.mp4")])
    newer = dataclasses.replace(INFO, digest="0" * 16)
    write_embeddings(other, [embedding(rng.normal(size=(2, 256)), "b.mp4", model=newer)])
    out = tmp_path / "x.idx"
    with pytest.raises(WeightsMismatchError, match=r"other\.parquet"):
        index_embeddings([good, other], out)
    for name, text in (("bad.npz", b"no zip"), ("bad.parquet", b"PAR1"), ("none.npz", None)):
        if text is not None:
            (tmp_path / name).write_bytes(text)
        with pytest.raises(InputError, match="no file of fingerprints"):
            index_embeddings([tmp_path / name], out)
    still = tmp_path / "still.npz"
    write_embeddings(still, [embedding(rng.normal(size=(2, 256)), "s.mp4", problem="still")])
    with pytest.raises(InputError, match="no video has a usable window"):
        index_embeddings([still], out)
    vectors = np.eye(2, 256)[[0, 0]] * [[1], [-1]]
    write_embeddings(good, [embedding(vectors, "cancel.mp4")])
    with pytest.raises(InputError, match="cancel out"):
        index_embeddings([good], out)
    assert not out.exists()
