"""NVFAIR's lists and tables, with the quirks that they have, on trees made here in exactly that layout."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dataset_trees import NVFAIR, NVFAIR_SPLITS, nvfair, touch
from whodrives.data.errors import LayoutError
from whodrives.data.layouts import list_dataset, open_layout
from whodrives.data.nvfair_read import SOURCES, explain_counts
from whodrives.data.nvfair_table import COLUMNS, CSV_NAME, XLSX_NAME, Terms, read_per_file
from whodrives.data.record import cleared_for
from whodrives.data.splits import Splits, read_sources, read_splits
from whodrives.errors import InputError

HEADER = [COLUMNS[name][0] for name in ("file", "real", "kind", "licence", "research", "publication")]
ROWS = [
    ["a01-id001.mp4", "real", "", "NVIDIA", "No", "no"],
    ["id001--a01-id001--id001.mp4", "synthetic", "self-reenactment", "NVIDIA", "No", "no"],
    ["id001--1019_IEO_FEA_LO--1019.mp4", "synthetic", "cross-reenactment", "ODbL", "Yes", "N/A"],
    ["Actor_01--01-01-05-02-01-01-02--Actor_02.mp4", "synthetic", "cross-reenactment", "CC BY-NC-SA", "yes", "Yes"],
    ["1019_IEO_FEA_LO.mp4", "real", "", "ODbL", "Yes", "Yes"],
]


def table(path: Path, rows: list[list[str]] = ROWS) -> Path:
    path.write_text("\n".join(",".join(f'"{cell}"' for cell in row) for row in [HEADER, *rows]), encoding="utf-8")
    return path


def test_splits_file_in_any_punctuation(tmp_path: Path) -> None:
    path = tmp_path / "train_val_test_splits.txt"
    path.write_text(
        "\ufeffIdentities in train set: 111\n1085' id003;\r\nActor_05\n7828 files, 2024\nidentities in test set:[1001]"
    )
    splits = read_splits(path)
    assert dict(splits.of) == {"1085": "train", "id003": "train", "Actor_05": "train", "1001": "test"}
    assert splits.ignored == ("111", "7828", "files", "2024")
    assert splits.counts() == {"train": 3, "val": 0, "test": 1}


def test_numbers_of_crema_d(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text("identities in train set: " + " ".join(map(str, range(10_000))))
    assert sorted(read_splits(path).of) == [str(number) for number in range(1001, 1092)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("identities in train set: id001\nidentities in test set: id001", "in both train and test"),
        ("identities in other set: id001", "expected one of train"),
        ("id001 id002", "names no identity"),
        ("", "names no identity"),
    ],
)
def test_splits_file_errors(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.txt"
    path.write_text(text)
    with pytest.raises(LayoutError, match=message):
        read_splits(path)
    with pytest.raises(LayoutError, match="cannot be read"):
        read_splits(tmp_path / "none.txt")


def test_splits_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text("driver;Split\nzoë b;Validation\n007;train\n", encoding="utf-8")
    assert dict(read_splits(path).of) == {"zoë b": "val", "007": "train"}
    path.write_text("driver,split\na,dev\nb,Development\n")
    assert dict(read_splits(path).of) == {"a": "val", "b": "val"}
    path.write_text("driver,split\na,held out\n")
    with pytest.raises(LayoutError, match=r"line 2: .*'held out'"):
        read_splits(path)
    path.write_bytes(b"driver,split\n\xff,test\n")
    with pytest.raises(LayoutError, match="UTF-8"):
        read_splits(path)


def test_counts_are_explained(tmp_path: Path) -> None:
    def told(train: int, val: int, test: int) -> str:
        names = ["train"] * train + ["val"] * val + ["test"] * test
        return explain_counts(Splits(tmp_path / "s.txt", {str(n): name for n, name in enumerate(names)}))

    released = told(111, 15, 35)
    assert "111 / 15 / 35 identities in train / val / test, as in the released list" in released
    assert "papers state 112 / 14 / 35" in released
    assert "as papers state; the released list has 111 / 15 / 35" in told(112, 14, 35)
    assert "3 / 1 / 1 identities" in told(3, 1, 1)
    assert "neither the released list's 111 / 15 / 35 nor the papers' 112 / 14 / 35" in told(3, 1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "NVIDIA-VC-subset: id001, id002\nCREMA-D: 1085' 1086\nRAVDESS: Actor_01",
        "id001 NVIDIA-VC-subset\nid002 NVIDIA-VC-subset\n1085' CREMA-D\n1086 CREMA-D\nActor_01 RAVDESS",
        "Identities from nvidia-vc-subset:\n['id001',\n'id002']\n\nCREMA-D\n'1085', 1085', '1086'\nRAVDESS\nActor_01",
    ],
)
def test_sources_in_several_forms(tmp_path: Path, text: str) -> None:
    path = tmp_path / "subject_sources.txt"
    path.write_text(text)
    assert read_sources(path, SOURCES) == {
        "id001": "NVIDIA-VC-subset", "id002": "NVIDIA-VC-subset", "1085": "CREMA-D", "1086": "CREMA-D",
        "Actor_01": "RAVDESS",
    }  # fmt: skip


def test_sources_errors(tmp_path: Path) -> None:
    path = tmp_path / "subject_sources.txt"
    path.write_text("id001\nRAVDESS")
    with pytest.raises(LayoutError, match="line 1: id001 comes before any of"):
        read_sources(path, SOURCES)
    path.write_text("RAVDESS: Actor_01\nCREMA-D: Actor_01")
    with pytest.raises(LayoutError, match="line 2: Actor_01 has two sources"):
        read_sources(path, SOURCES)


def test_splits_are_found_beside_the_folders(tmp_path: Path) -> None:
    listing = list_dataset(nvfair(tmp_path))
    assert listing.layout == "nvfair"
    assert [(r.driver, r.split) for r in listing.records if r.target == "id001"] == [
        ("1019", ""), ("id001", "test"), ("id001", "test"), ("1019", ""),
    ]  # fmt: skip
    assert {r.split for r in listing.records if r.target == "Actor_01"} == {"train"}
    assert any("3 / 1 / 1 identities" in note for note in listing.notes)
    assert any("2 videos are in no split" in note for note in listing.notes)
    assert "1 identities of train_val_test_splits.txt have no video here: id002" in listing.notes
    other = tmp_path / "mine.csv"
    other.write_text("identity,split\nid001,val\n1019,val\n")
    records = open_layout(tmp_path, "nvfair", splits=other)
    assert {r.split for r in records if r.target in ("id001", "1019")} == {"val"}
    assert {r.split for r in records if r.target == "Actor_01"} == {""}


def test_sources_that_contradict_the_folders_are_problems(tmp_path: Path) -> None:
    nvfair(tmp_path)
    (tmp_path / "subject_sources.txt").write_text("RAVDESS: id001\nCREMA-D: 1019'")
    listing = list_dataset(tmp_path, strict=False)
    assert len(listing.problems) == 1
    assert "says id001 is from RAVDESS, but its folder lies in NVIDIA-VC-subset" in listing.problems[0]
    assert any("2 identities have no source" in note for note in listing.notes)


def test_terms_travel_with_every_record(tmp_path: Path) -> None:
    nvfair(tmp_path)
    table(tmp_path / CSV_NAME)
    listing = list_dataset(tmp_path)
    by_name = {r.path.stem: r for r in listing.records}
    cross = by_name["id001--1019_IEO_FEA_LO--1019"]
    assert (cross.licence, cross.research_use, cross.publication_use) == ("ODbL", True, None)
    assert by_name["a01-id001"].research_use is False
    assert len(cleared_for(listing.records, "research")) == 4
    assert [r.target for r in cleared_for(listing.records, "publication")] == ["1019", "Actor_01"]
    assert any("1 cells say neither yes nor no" in note for note in listing.notes)
    with pytest.raises(InputError, match="must be 'research' or 'publication'"):
        cleared_for(listing.records, "fun")


def test_no_record_states_its_use(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of 6 records says"):
        cleared_for(open_layout(nvfair(tmp_path)), "research")
    assert cleared_for([], "research") == []


def test_table_by_path_by_name_and_stricter_of_two(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.csv",
        [
            ["NVFAIR-v2-release/CREMA-D/lia-generated/1/1--c--2.mp4", "", "", "A", "yes", "yes"],
            ["CREMA-D\\tps-generated\\1\\1--c--2", "", "", "B", "yes", "yes"],
            ["1--c--3.mp4", "", "", "A", "yes", ""],
            ["lost/1--c--3.mp4", "", "", "B", "no", "yes"],
            ["", "", "", "", "", ""],
        ],
    )
    terms = read_per_file(path)
    assert terms.terms("CREMA-D/lia-generated/1", "1--c--2").licence == "A"
    assert terms.terms("CREMA-D/tps-generated/1", "1--c--2").licence == "B"
    assert terms.terms("any", "1--c--3") == Terms("A / B", False, None)
    assert terms.terms("any", "1--c--4") == Terms()
    assert terms.merged == 1
    assert any("no row for 2 of 9" in note for note in terms.notes(7, 9))


def test_table_that_says_another_kind_is_a_problem(tmp_path: Path) -> None:
    nvfair(tmp_path)
    rows = [[cell.replace("cross-", "self-") for cell in row] for row in ROWS]
    listing = list_dataset(tmp_path, metadata=table(tmp_path / "t.csv", rows), strict=False)
    assert len(listing.problems) == 3
    assert "the name says cross-reenactment, t.csv 'self-reenactment'" in listing.problems[0]


def test_table_errors(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,applicable license\n")
    with pytest.raises(LayoutError, match="lacks the column 'file name' or 'filename'"):
        read_per_file(path)
    path.write_text("file name,size\n")
    with pytest.raises(LayoutError, match="neither a licence"):
        read_per_file(path)
    path.write_text("")
    with pytest.raises(LayoutError, match="lacks the column"):
        read_per_file(path)


def test_workbook(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["NVFAIR v2"])
    book.active.append([])
    book.active.append(HEADER)
    for row in ROWS:
        book.active.append([True if cell == "Yes" else cell for cell in row])
    book.save(tmp_path / XLSX_NAME)
    nvfair(tmp_path)
    assert any("was not read" in note for note in list_dataset(tmp_path).notes)
    records = open_layout(tmp_path, metadata=tmp_path / XLSX_NAME)
    assert records == open_layout(tmp_path, metadata=table(tmp_path / CSV_NAME))
    assert len(cleared_for(records, "research")) == 4
    (tmp_path / "broken.xlsx").write_bytes(b"PK\x03\x04 no workbook")
    with pytest.raises(LayoutError, match="is no XLSX workbook"):
        read_per_file(tmp_path / "broken.xlsx")


def test_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    touch(tmp_path, XLSX_NAME)
    with pytest.raises(LayoutError, match=r"needs openpyxl; pip install 'whodrives\[nvfair\]'"):
        read_per_file(tmp_path / XLSX_NAME)


def test_names_of_the_tree_are_those_of_the_card() -> None:
    assert len(NVFAIR) == 6
    assert NVFAIR_SPLITS.count("identities in") == 3
