"""Manifests that other people wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodrives.data.errors import LayoutError
from whodrives.data.layouts import list_dataset, open_layout
from whodrives.data.manifest import ManifestError, read_manifest, write_manifest
from whodrives.data.record import Record

WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp", "Cf")), min_size=1, max_size=6)


def test_path_and_driver_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "my list.csv"
    path.write_text("Video;Driver\nsub dir/ü 1.mp4;007\n\nb.mkv;ana\n", encoding="utf-8-sig")
    listing = list_dataset(path)
    assert listing.layout == "manifest"
    first, second = listing.records
    assert first == Record(
        tmp_path / "sub dir/ü 1.mp4", "007", "007", "original", "", "007/sub dir/ü 1", "", True
    )  # fmt: skip
    assert second.recording == "ana/b"
    assert any("no column recording" in note for note in listing.notes)
    assert any("no column target_identity" in note for note in listing.notes)


def test_optional_columns_by_their_other_names(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "file,driver_id,target,method,session,set,licence,corpus,research_use,publication_use\n"
        "a.mp4, ana , bob,lia,s1,Validation,CC0,home,yes,no\n"
        "b.mp4,ana,ana,,,,,,,\n"
        "c.mp4,ana,bob,,,,,,,\n"
    )
    one, own, cross = open_layout(tmp_path)
    assert (one.driver, one.target, one.generator, one.recording, one.split) == ("ana", "bob", "lia", "s1", "val")
    assert (one.licence, one.source, one.research_use, one.publication_use) == ("CC0", "home", True, False)
    assert (own.generator, own.is_self, own.recording, own.research_use) == ("original", True, "ana/b", None)
    assert (cross.generator, cross.is_self) == ("unknown", False)
    (tmp_path / "s.csv").write_text("identity,split\nana,test\n")
    listing = list_dataset(tmp_path, splits=tmp_path / "s.csv")
    assert [r.split for r in listing.records] == ["", "test", ""]
    assert "1 identities are in no split of s.csv: bob" in listing.notes


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../a.mp4,d,t,lia,False,", "must lie inside"),
        ("/etc/a.mp4,d,t,lia,False,", "must lie inside"),
        (",d,t,lia,False,", "must lie inside"),
        ("a.mp4,,t,lia,False,", "driving_identity is empty"),
        ("a.mp4,d,t,lia,,", "is_self_reenactment '' must be"),
        ("a.mp4,d,t,lia,maybe,", "is_self_reenactment 'maybe' must be"),
        ("a.mp4,d,t,original,False,", "an original shows its own driver"),
        ("b.mp4,d,t,lia,False,held out", "split 'held out' must be"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(f"path,driver,target,generator,is_self,split\na.mp4,d,t,lia,0,test\n{row}\n")
    with pytest.raises(ManifestError, match=f"line 3: .*{message}"):
        read_manifest(tmp_path)
    listing = list_dataset(tmp_path, strict=False)
    assert (len(listing.records), len(listing.problems)) == (1, 1)


@pytest.mark.parametrize("again", ["ä b.mp4", "./ä b.mp4", ".//ä b.mp4", "x/./ä b.mp4"])
def test_a_path_in_two_rows_is_named(tmp_path: Path, again: str) -> None:
    first = "x/ä b.mp4" if again.startswith("x") else "ä b.mp4"
    path = tmp_path / "m.csv"
    path.write_bytes(f"\ufeffpath;driver\r\n{first};Zoë\r\nc.mp4;bob\r\n{again};bob\r\n".encode())
    with pytest.raises(ManifestError, match=r"line 4: path '.*ä b.mp4' is named in line 2 already"):
        read_manifest(path)
    listing = list_dataset(path, strict=False)
    assert [record.driver for record in listing.records] == ["Zoë", "bob"]
    assert len(listing.problems) == 1


def test_paths_are_told_apart_by_what_they_mean(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path,driver\n./a.mp4,ana\nx//a.mp4,ana\n")
    one, other = read_manifest(path)
    assert (one.path, one.recording) == (tmp_path / "a.mp4", "ana/a")
    assert (other.path, other.recording) == (tmp_path / "x/a.mp4", "ana/x/a")
    for place in (".", "./", "x/..", "x/../a.mp4"):
        path.write_text(f"path,driver\n{place},ana\n")
        with pytest.raises(ManifestError, match="must lie inside"):
            read_manifest(path)


def test_odd_files(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path\na.mp4\n")
    with pytest.raises(ManifestError, match="lacks the column 'driving_identity' or 'driver'"):
        read_manifest(path)
    path.write_bytes(b"path,driver\n\xff\xfe,x\n")
    with pytest.raises(LayoutError, match="UTF-8"):
        read_manifest(path)
    path.write_text("path,driver\na.mp4\n")
    with pytest.raises(ManifestError, match="line 2: driving_identity is empty"):
        read_manifest(path)


@given(WORD, WORD, WORD, st.sampled_from([None, True, False]))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, driver: str, target: str, clip: str, use: object) -> None:
    root = tmp_path_factory.getbasetemp()
    name = clip.replace("/", "_").replace("\\", "_")
    record = Record(
        root / f"x{name}.mp4", driver, target, "warp", "S", clip, "test", driver == target, "CC0", use  # type: ignore
    )  # fmt: skip
    write_manifest(root, [record])
    assert read_manifest(root) == [record]
