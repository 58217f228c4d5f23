"""Template indexes: the file, searching it, removing from it, and the gallery behind it."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from fake_weights import INFO, embedding
from whodrives.errors import InputError
from whodrives.verification import index_write
from whodrives.verification.errors import (
    GalleryError,
    IndexDamageError,
    StaleIndexError,
    TemplateIndexError,
    UnknownDriverError,
    WeightsMismatchError,
)
from whodrives.verification.gallery import Gallery
from whodrives.verification.index_build import index_gallery, remove_from_index
from whodrives.verification.index_file import offsets, sections
from whodrives.verification.index_labels import Label, read_labels
from whodrives.verification.index_source import check_source
from whodrives.verification.index_write import IndexWriter, describe
from whodrives.verification.template_index import TemplateIndex
from whodrives.video.contract import PreprocessingContract
from whodrives.video.errors import ContractMismatchError

DIM = 32
CONTRACT = PreprocessingContract()


def units(rng: np.random.Generator, count: int, dim: int = DIM) -> np.ndarray:
    rows = rng.normal(size=(count, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def label(number: int) -> Label:
    scopes = [(), ("kyc",), ("kyc", "moderation")][number % 3]
    return Label("north" if number % 10 == 0 else "south", scopes)


def write(path: Path, rows: np.ndarray, piece: int = 64, overwrite: bool = False) -> TemplateIndex:
    info = describe(len(rows), rows.shape[1], INFO.digest, CONTRACT.digest(), settings=CONTRACT.to_dict())
    with IndexWriter(path, info, overwrite) as writer:
        for start in range(0, len(rows), piece):
            numbers = range(start, min(start + piece, len(rows)))
            writer.append(
                [f"dr\u00efver {n}" for n in numbers], rows[start : start + piece], [label(n) for n in numbers]
            )
    return TemplateIndex.open(path)


@pytest.fixture
def made(tmp_path: Path, rng: np.random.Generator) -> tuple[TemplateIndex, np.ndarray]:
    rows = units(rng, 300)
    return write(tmp_path / "all.idx", rows), rows.astype(np.float16).astype(np.float64)


def place(index: TemplateIndex, section: str) -> int:
    info = index.info
    return offsets(sections(info.count, info.dim, info.name_bytes))[0][section]


def corrupt(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x41]))


def test_search_gives_names_and_scores_of_the_stored_templates(made: tuple, rng: np.random.Generator) -> None:
    index, rows = made
    queries = units(rng, 3)
    for query, hits in zip(queries, index.search(queries, k=4), strict=True):
        scores = rows @ query
        order = np.argsort(-scores, kind="stable")[:4]
        assert hits.rows.tolist() == order.tolist()
        assert hits.scores == pytest.approx(scores[order], abs=1e-12)
        assert hits.names == tuple(f"dr\u00efver {row}" for row in order)
        assert hits.compared == 300
    assert len(index.search(rows[7])) == 1
    assert index.search(rows[7], k=1)[0].names == ("dr\u00efver 7",)
    assert len(index.search(rows[7], k=1000)[0].rows) == 300
    assert index.search(np.empty((0, DIM))) == []
    index.check()


def test_filters_come_before_ranking(made: tuple) -> None:
    index, rows = made
    fits = {
        (("north",), None): lambda n: n % 10 == 0,
        (("north", "south"), None): lambda n: True,
        (None, ("kyc",)): lambda n: n % 3 > 0,
        (None, ("kyc", "moderation")): lambda n: n % 3 == 2,
        (("north",), ("moderation",)): lambda n: n % 10 == 0 and n % 3 == 2,
        (("east",), None): lambda n: False,
        (None, ("advertising",)): lambda n: False,
    }
    for (groups, scopes), fit in fits.items():
        (hits,) = index.search(rows[1], k=7, groups=groups, scopes=scopes)
        allowed = np.array([row for row in range(300) if fit(row)], int)
        order = allowed[np.argsort(-(rows[allowed] @ rows[1]), kind="stable")][:7]
        assert hits.rows.tolist() == order.tolist()
        assert hits.compared == len(allowed) == index.count(groups, scopes)


def test_windows_of_a_probe(made: tuple, rng: np.random.Generator) -> None:
    index, rows = made
    windows = units(rng, 12) * 0.2 + rows[5]
    plain = index.search_windows(windows, 0, 3)
    assert plain.scores == pytest.approx(np.sort((rows @ windows.T).mean(axis=1))[::-1][:3])
    trimmed = index.search_windows(windows, 1, 3)
    middle = np.sort(rows @ windows.T, axis=1)[:, 1:-1].mean(axis=1)
    assert trimmed.scores == pytest.approx(np.sort(middle)[::-1][:3])
    with pytest.raises(InputError, match="2 of 4 windows"):
        index.search_windows(windows[:4], 2)


@pytest.mark.parametrize(("vectors", "k"), [(np.ones(DIM + 1), 5), (np.full(DIM, np.nan), 5), (np.ones(DIM), 0)])
def test_wrong_queries(made: tuple, vectors: np.ndarray, k: int) -> None:
    with pytest.raises(InputError):
        made[0].search(vectors, k)


def test_only_the_owner_may_read_and_nothing_else_is_left(made: tuple) -> None:
    path = made[0].path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_foreign_cut_and_damaged_files(made: tuple, tmp_path: Path) -> None:
    index, _ = made
    whole = index.path.read_bytes()
    other = tmp_path / "other.idx"
    with pytest.raises(TemplateIndexError, match="cannot be read"):
        TemplateIndex.open(other)
    for text in (b"", b"SQLite format 3\0" + bytes(9000)):
        other.write_bytes(text)
        with pytest.raises(TemplateIndexError, match="no template index"):
            TemplateIndex.open(other)
    for cut in (len(whole) - 1, len(whole) // 2, 100):
        other.write_bytes(whole[:cut])
        with pytest.raises(IndexDamageError, match="bytes instead of"):
            TemplateIndex.open(other)
    other.write_bytes(whole[:16] + b"\x09" + whole[17:])
    with pytest.raises(TemplateIndexError, match="version 9"):
        TemplateIndex.open(other)
    other.write_bytes(whole[:-5] + b"#" + whole[-4:])
    with pytest.raises(IndexDamageError, match="footer is damaged"):
        TemplateIndex.open(other)


@pytest.mark.parametrize("section", ["templates", "names", "groups", "scopes", "origins", "checks", "name_ends"])
def test_a_changed_row_is_an_error_never_an_answer(made: tuple, section: str) -> None:
    index, rows = made
    corrupt(index.path, place(index, section))
    opened = TemplateIndex.open(index.path)
    with pytest.raises(IndexDamageError):
        opened.search(rows[0], k=3, groups=None)
    with pytest.raises(IndexDamageError):
        opened.check()


@pytest.mark.parametrize("section", ["codes", "scales", "along"])
def test_a_search_notices_changed_bytes_of_what_it_scores_exactly(made: tuple, section: str) -> None:
    index, rows = made
    # The first row, which is the best for its own template; all rows are scored exactly.
    corrupt(index.path, place(index, section) + (int(np.abs(rows[0]).argmax()) if section == "codes" else 2))
    with pytest.raises(IndexDamageError, match="has changed"):
        TemplateIndex.open(index.path).search(rows[0], k=300)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("section", ["codes", "scales", "along", "centre"])
def test_check_finds_changes_in_what_the_search_reads_first(made: tuple, section: str) -> None:
    index, _ = made
    corrupt(index.path, place(index, section) + 3)
    with pytest.raises(IndexDamageError):
        TemplateIndex.open(index.path).check()


def test_overwriting_wipes_the_old_file_and_tells_whoever_has_it_open(made: tuple, rng: np.random.Generator) -> None:
    index, rows = made
    with pytest.raises(TemplateIndexError, match="--overwrite"):
        write(index.path, rows)
    old = index.path.with_suffix(".old")
    os.link(index.path, old)
    fresh = write(index.path, units(rng, 20), overwrite=True)
    assert len(fresh) == 20
    assert not any(old.read_bytes())
    with pytest.raises(StaleIndexError, match="open it again"):
        index.search(rows[0])


def test_what_is_no_index_is_never_overwritten(tmp_path: Path, rng: np.random.Generator) -> None:
    video = tmp_path / "holiday.mp4"
    video.write_bytes(b"precious")
    with pytest.raises(TemplateIndexError, match="no template index"):
        write(video, units(rng, 3), overwrite=True)
    assert video.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["holiday.mp4"]


def test_a_failed_build_changes_nothing(made: tuple, rng: np.random.Generator) -> None:
    index, rows = made
    before = index.path.read_bytes()
    for bad in (rows * 2, np.full_like(rows, np.nan)):
        with pytest.raises(InputError, match="length 1"):
            write(index.path, bad, overwrite=True)
    with (
        pytest.raises(InputError, match="10 rows were written to an index of 11"),
        IndexWriter(index.path, describe(11, DIM, "w", "c"), overwrite=True) as writer,
    ):
        writer.append([str(n) for n in range(10)], rows[:10])
    assert index.path.read_bytes() == before
    assert os.listdir(index.path.parent) == [index.path.name]


def test_two_writers_exclude_each_other(made: tuple) -> None:
    index, rows = made
    with (
        pytest.raises(TemplateIndexError, match="another process"),
        IndexWriter(index.path, describe(1, DIM, "w", "c"), overwrite=True),
    ):
        remove_from_index(index.path, ["dr\u00efver 3"])
    assert index.search(rows[3], k=1)[0].names == ("dr\u00efver 3",)


def test_removing_writes_the_index_again_without_the_driver(made: tuple) -> None:
    index, rows = made
    old = index.path.with_suffix(".old")
    os.link(index.path, old)
    with pytest.raises(UnknownDriverError, match="zoe"):
        remove_from_index(index.path, ["dr\u00efver 3", "zoe"])
    assert remove_from_index(index.path, ["dri\u0308ver 3", "dr\u00efver 299"]) == 298
    fresh = TemplateIndex.open(index.path)
    assert list(fresh.names()) == [f"dr\u00efver {n}" for n in range(299) if n != 3]
    assert not any(old.read_bytes())
    assert rows[3].astype(np.float16).tobytes() not in index.path.read_bytes()
    assert "dr\u00efver 3\u0000".encode()[:-1] + "dr\u00efver 4".encode() not in index.path.read_bytes()
    assert fresh.label(3) == label(4)
    assert fresh.search(rows[4], k=1)[0].names == ("dr\u00efver 4",)
    fresh.check()
    remove_from_index(index.path, list(fresh.names()))
    assert TemplateIndex.open(index.path).search(rows[0])[0].names == ()


def test_weights_and_contract_must_agree(made: tuple) -> None:
    index, _ = made
    index.require_comparable(INFO, CONTRACT)
    with pytest.raises(WeightsMismatchError, match="feedfeedfeedfeed"):
        index.require_comparable(dataclasses.replace(INFO, digest="0" * 16), CONTRACT)
    with pytest.raises(ContractMismatchError, match="fps"):
        index.require_comparable(INFO, PreprocessingContract(fps=30.0))


@pytest.fixture
def gallery(tmp_path: Path, rng: np.random.Generator) -> Gallery:
    gallery = Gallery.open(tmp_path / "drivers.db")
    for name in ("ana", "ben", "cai"):
        gallery.enroll(name, embedding(rng.normal(size=(3, 256)), f"{name}.mp4"))
    return gallery


def test_an_index_of_a_gallery_and_its_state(gallery: Gallery, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "g.idx"
    assert index_gallery(gallery, path, INFO, CONTRACT).templates == 3
    index = TemplateIndex.open(path)
    assert list(index.names()) == ["ana", "ben", "cai"]
    for row, name in enumerate(index.names()):
        assert index.templates(np.array([row]))[0] == pytest.approx(gallery.template(name), abs=2e-4)
    assert check_source(index) == ()
    gallery.remove("ben")
    with pytest.raises(StaleIndexError, match="1 drivers removed, 0 added, 0 enrolled anew"):
        check_source(index)
    remove_from_index(path, ["ben"])
    index = TemplateIndex.open(path)
    assert check_source(index) == ()
    gallery.enroll("ana", embedding(rng.normal(size=(3, 256)), "ana2.mp4"), add=True)
    gallery.enroll("dee", embedding(rng.normal(size=(3, 256)), "dee.mp4"))
    with pytest.raises(StaleIndexError, match="0 drivers removed, 1 added, 1 enrolled anew"):
        check_source(index)
    moved = gallery.path.rename(tmp_path / "moved.db")
    assert "cannot be told" in check_source(index)[0]
    with pytest.raises(StaleIndexError):
        check_source(index, moved)


def test_a_gallery_that_cannot_be_indexed(gallery: Gallery, tmp_path: Path) -> None:
    newer = dataclasses.replace(INFO, digest="0" * 16)
    with pytest.raises(WeightsMismatchError, match="3 enrolled drivers"):
        index_gallery(gallery, tmp_path / "g.idx", newer, CONTRACT)
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        index_gallery(Gallery.open(tmp_path / "empty.db"), tmp_path / "g.idx", INFO, CONTRACT)
    assert not (tmp_path / "g.idx").exists()


def test_labels(gallery: Gallery, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("name,group,scope\nana,staff,kyc|moderation\nben,,kyc\n", encoding="utf-8")
    assert index_gallery(gallery, tmp_path / "g.idx", INFO, CONTRACT, read_labels(table)).unlabelled == 1
    index = TemplateIndex.open(tmp_path / "g.idx")
    assert index.label(0) == Label("staff", ("kyc", "moderation"))
    assert (index.count(scopes=["kyc"]), index.count(groups=["staff"]), index.count(groups=[""])) == (2, 1, 2)
    table.write_text("name,group\nana,a\nana,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 3"):
        read_labels(table)
    table.write_text("name,path\nana,x.mp4\nben,x.mp4\n", encoding="utf-8")
    with pytest.raises(InputError, match="another name"):
        read_labels(table)


def test_memory_of_a_build_is_a_piece(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_write, "_PIECE", 16)
    pieces = write(tmp_path / "p.idx", rows := units(rng, 100), piece=7)
    monkeypatch.undo()
    whole = write(tmp_path / "w.idx", rows, piece=100)
    assert pieces.search(rows[9], 3)[0].rows.tolist() == whole.search(rows[9], 3)[0].rows.tolist()
    pieces.check()
