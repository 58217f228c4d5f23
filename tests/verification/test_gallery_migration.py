"""Galleries of the first schema are taken over when they are opened."""

import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from fake_weights import INFO, NEW, embedding
from whodrives.verification import gallery_rows, gallery_store
from whodrives.verification.errors import GalleryError, PurgeError
from whodrives.verification.gallery import Gallery
from whodrives.verification.gallery_store import APPLICATION_ID
from whodrives.video.contract import PreprocessingContract


def first_schema(path: Path) -> None:
    """A gallery of schema 1 with one driver, ana."""
    with closing(sqlite3.connect(path)) as db:
        script = resources.files("whodrives.verification").joinpath("gallery_0001.sql").read_text(encoding="utf-8")
        db.executescript(script)
        number = gallery_rows.insert_driver(db, "ana", INFO, PreprocessingContract(), "2026-01-01T00:00:00+00:00")
        db.row_factory = sqlite3.Row
        sample = gallery_rows.sample_of(embedding(np.eye(256)[0], "a.mp4"), "2026-01-01T00:00:00+00:00")
        gallery_rows.insert_sample(db, number, sample)
        gallery_rows.refresh_template(db, number, "ana")
        db.execute("PRAGMA user_version = 1")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.commit()


def test_a_gallery_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    first_schema(path)
    gallery = Gallery.open(path)
    assert [info.name for info in gallery.list()] == ["ana"]
    assert gallery.verify(embedding(np.eye(256)[0], "c.mp4"), "ana").decision == "accept"
    gallery.enroll("ana", embedding(np.eye(256)[1], "a.mp4", model=NEW), add=True)
    gallery.remove("ana")
    everything = b"".join(file.read_bytes() for file in tmp_path.glob("old.db*"))
    assert np.eye(256, dtype="<f4")[0].tobytes() not in everything
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM sample").fetchone()[0] == 0


def test_a_gallery_of_the_first_schema_opens_while_another_process_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    first_schema(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("PRAGMA journal_mode = WAL")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM driver").fetchall()
        gallery = Gallery.open(path, timeout=0.2)
        assert [info.name for info in gallery.list()] == ["ana"]
        with pytest.raises(PurgeError):
            gallery.remove("ana")
    gallery.purge()
    everything = b"".join(file.read_bytes() for file in tmp_path.glob("old.db*"))
    assert np.eye(256, dtype="<f4")[0].tobytes() not in everything


@pytest.mark.parametrize("statement", range(10))
def test_a_crash_in_the_middle_of_a_migration_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: int
) -> None:
    path = tmp_path / "old.db"
    first_schema(path)
    whole = gallery_store._statements

    def crashing(script: str) -> list[str]:
        return [*whole(script)[:statement], "SELECT no_such_function();"]

    with monkeypatch.context() as patch:
        patch.setattr(gallery_store, "_statements", crashing)
        with pytest.raises(GalleryError):
            Gallery.open(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 1
        assert db.execute("SELECT name FROM driver").fetchall() == [("ana",)]
    assert Gallery.open(path).verify(embedding(np.eye(256)[0], "c.mp4"), "ana").decision == "accept"
