import dataclasses
import sqlite3
import stat
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from fake_weights import INFO, NEW, embedding
from whodrives.errors import InputError
from whodrives.verification.embedding import Embedding, unit_mean
from whodrives.verification.errors import (
    AlreadyEnrolledError,
    DuplicateSampleError,
    EnrolmentError,
    GalleryBusyError,
    GalleryError,
    PurgeError,
    UnknownDriverError,
    WeightsMismatchError,
)
from whodrives.verification.gallery import Gallery
from whodrives.video.contract import PreprocessingContract
from whodrives.video.errors import ContractMismatchError


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery.open(tmp_path / "drivers.db")


def person(rng: np.random.Generator, path: str, windows: int = 3, problem: str | None = None) -> Embedding:
    return embedding(rng.normal(size=(windows, 256)), path, problem)


def test_template_is_the_unit_mean_over_all_videos(gallery: Gallery, rng: np.random.Generator) -> None:
    parts = [person(rng, "a.mp4", 1), person(rng, "b.mp4", 4)]
    result = gallery.enroll("ana", parts)
    expected = unit_mean(np.concatenate([part.vectors for part in parts]))
    assert gallery.template("ana") == pytest.approx(expected, abs=1e-6)
    assert result.added == 2
    assert result.driver.usable_windows == 5
    assert not result.warnings
    assert [sample.source for sample in gallery.show("ana").samples] == ["a.mp4", "b.mp4"]


def test_verify_and_identify(gallery: Gallery) -> None:
    one, two, three = np.eye(256)[:3]
    gallery.enroll("ana", embedding(one, "a.mp4"))
    gallery.enroll("ben", embedding(two, "b.mp4"))
    probe = embedding(one + 0.1 * two, "call.mp4")
    assert gallery.verify(probe, "ana").decision == "accept"
    assert gallery.verify(probe, claimed="ben").decision == "reject"
    assert gallery.verify(probe, "ana").claimed == "ana"
    assert gallery.identify(probe).name == "ana"
    assert gallery.identify(embedding(three, "stranger.mp4")).decision == "nobody"


def test_only_file_names_are_stored(gallery: Gallery, rng: np.random.Generator) -> None:
    gallery.enroll("ana", person(rng, "/home/someone/private/a.mp4"))
    assert gallery.show("ana").samples[0].source == "a.mp4"
    assert b"someone" not in gallery.path.read_bytes()


def test_enrolling_a_taken_name_changes_nothing(gallery: Gallery, rng: np.random.Generator) -> None:
    gallery.enroll("ana", person(rng, "a.mp4"))
    before = gallery.list(), gallery.template("ana").tobytes()
    with pytest.raises(AlreadyEnrolledError, match="--replace"):
        gallery.enroll("ana", person(rng, "b.mp4"))
    with pytest.raises(AlreadyEnrolledError):
        gallery.require_free("ana")
    gallery.require_free("ben")
    assert (gallery.list(), gallery.template("ana").tobytes()) == before


def test_add_and_replace(gallery: Gallery, rng: np.random.Generator) -> None:
    first, second, third = (person(rng, f"{n}.mp4") for n in range(3))
    gallery.enroll("ana", first)
    gallery.enroll("ana", second, add=True)
    expected = unit_mean(np.concatenate([first.vectors, second.vectors]))
    assert gallery.template("ana") == pytest.approx(expected, abs=1e-6)
    result = gallery.enroll("ana", [third, first], replace=True)
    assert result.replaced
    assert [sample.source for sample in result.driver.samples] == ["2.mp4", "0.mp4"]
    with pytest.raises(InputError, match="exclude"):
        gallery.enroll("ana", first, add=True, replace=True)


def test_the_same_content_twice_is_an_error(gallery: Gallery, rng: np.random.Generator) -> None:
    video = person(rng, "a.mp4")
    with pytest.raises(DuplicateSampleError, match="each recording once"):
        gallery.enroll("ana", [video, video])
    gallery.enroll("ana", video)
    renamed = embedding(video.vectors, "renamed.mp4", content="a.mp4-content")
    for name in ("ana", "ben"):
        with pytest.raises(DuplicateSampleError, match=r"renamed\.mp4") as caught:
            gallery.enroll(name, [person(rng, "new.mp4"), renamed], add=True)
        assert "ana" not in str(caught.value)
    assert [driver.name for driver in gallery.list()] == ["ana"]
    assert len(gallery.show("ana").samples) == 1


def test_unusable_videos_are_left_out_and_named(gallery: Gallery, rng: np.random.Generator) -> None:
    good, short = person(rng, "good.mp4"), person(rng, "short.mp4", 1, "short")
    result = gallery.enroll("ana", [good, short])
    assert result.added == 1
    assert any("short.mp4" in w and "20 real frames" in w for w in result.warnings)
    with pytest.raises(EnrolmentError, match=r"frozen\.mp4.*0\.10 grey"):
        gallery.enroll("ben", person(rng, "frozen.mp4", 2, "still"))
    assert [driver.name for driver in gallery.list()] == ["ana"]


def test_unknown_driver_says_what_to_do_without_naming_others(gallery: Gallery, rng: np.random.Generator) -> None:
    gallery.enroll("ana", person(rng, "a.mp4"))
    for call in (gallery.show, gallery.remove, gallery.template, lambda name: gallery.verify(person(rng, "x"), name)):
        with pytest.raises(UnknownDriverError, match="whodrives gallery list") as caught:
            call("ben")
        assert "ana" not in str(caught.value)


def test_empty_gallery_cannot_identify(gallery: Gallery, rng: np.random.Generator) -> None:
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        gallery.identify(person(rng, "a.mp4"))


def test_other_weights_and_contracts_are_errors(gallery: Gallery, rng: np.random.Generator) -> None:
    gallery.enroll("ana", person(rng, "a.mp4"))
    rows = rng.normal(size=(2, 256))
    other_weights = embedding(rows, "b.mp4", model=dataclasses.replace(INFO, digest="0" * 16))
    other_contract = embedding(rows, "b.mp4", contract=PreprocessingContract(fps=30.0))
    for probe, error in ((other_weights, WeightsMismatchError), (other_contract, ContractMismatchError)):
        with pytest.raises(error, match="ana"):
            gallery.verify(probe, "ana")
        with pytest.raises(error):
            gallery.identify(probe)
        with pytest.raises(AlreadyEnrolledError):
            gallery.enroll("ana", probe)
    gallery.enroll("ben", other_weights)
    # Passing over ben would make "nobody" a lie.
    with pytest.raises(WeightsMismatchError, match="ben"):
        gallery.identify(person(rng, "c.mp4"))


def test_a_gallery_moves_to_new_weights_while_the_old_ones_serve(gallery: Gallery, tmp_path: Path) -> None:
    one, two = np.eye(256)[:2]
    gallery.enroll("ana", embedding(one, "a.mp4"))
    gallery.enroll("ben", embedding(two, "b.mp4"))
    # The same recording may be enrolled again for other weights, under its own name only.
    gallery.enroll("ana", embedding(two, "a.mp4", model=NEW), add=True)
    with pytest.raises(DuplicateSampleError):
        gallery.enroll("ben", embedding(two, "a.mp4", model=NEW), add=True)
    status = gallery.status(NEW, PreprocessingContract())
    assert (status.ready, status.outdated) == (("ana",), ("ben",))
    assert [(group.weights, group.templates) for group in status.groups] == [(INFO.digest, 2), (NEW.digest, 1)]
    # Each probe meets the template of its own weights.
    assert gallery.verify(embedding(one, "c.mp4"), "ana").decision == "accept"
    assert gallery.verify(embedding(two, "c.mp4", model=NEW), "ana").decision == "accept"
    assert gallery.identify(embedding(two, "c.mp4")).name == "ben"
    with pytest.raises(WeightsMismatchError, match="ben"):
        gallery.identify(embedding(two, "c.mp4", model=NEW))
    assert [info.weights for info in gallery.templates("ana")] == [NEW.digest, INFO.digest]
    assert gallery.show("ana").weights == NEW.digest
    # An export carries all of it.
    gallery.export(tmp_path / "g.json")
    other = Gallery.open(tmp_path / "other.db")
    assert other.import_(tmp_path / "g.json") == 3
    assert other.list() == gallery.list()
    gallery.enroll("ben", embedding(one, "b.mp4", model=NEW), add=True)
    assert gallery.status(NEW, PreprocessingContract()).outdated == ()
    assert gallery.forget_weights(INFO.digest) == 2
    assert gallery.identify(embedding(two, "c.mp4", model=NEW)).name == "ana"
    with pytest.raises(GalleryError, match="no template of weights"):
        gallery.forget_weights(INFO.digest)
    gallery.remove("ana")
    assert [info.name for info in gallery.list()] == ["ben"]


def test_names_are_nfc_and_stripped(gallery: Gallery, rng: np.random.Generator) -> None:
    decomposed = unicodedata.normalize("NFD", "  Zoë Ångström ")
    gallery.enroll(decomposed, person(rng, "a.mp4"))
    assert gallery.show("Zoë Ångström").name == unicodedata.normalize("NFC", "Zoë Ångström")
    gallery.remove(decomposed)
    assert gallery.list() == ()


@pytest.mark.parametrize("name", ["", "  ", "\t\n", "a\x00b", "a\nb", "x" * 201, "bad\udcff"])
def test_bad_names_are_refused(gallery: Gallery, rng: np.random.Generator, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        gallery.enroll(name, person(rng, "a.mp4"))


@pytest.mark.parametrize("name", ["'; DROP TABLE driver; --", "%", "[bold]x[/]", "../../etc", "李雷", "a" * 200])
def test_odd_names_are_just_names(gallery: Gallery, rng: np.random.Generator, name: str) -> None:
    gallery.enroll(name, person(rng, "a.mp4"))
    assert gallery.show(name).name == name


def test_open_refuses_what_is_no_gallery(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to look at " * 50)
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE t (x)")
    for path, words in ((text, "no gallery"), (foreign, "no gallery"), (tmp_path, "folder")):
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(GalleryError, match=words):
            Gallery.open(path)
        assert before == (path.read_bytes() if path.is_file() else b"")
    with pytest.raises(GalleryError, match="enroll"):
        Gallery.open(tmp_path / "absent.db", create=False)
    assert not (tmp_path / "absent.db").exists()
    with pytest.raises(GalleryError, match="folder that exists"):
        Gallery.open(tmp_path / "no" / "such" / "folder.db")


def test_newer_and_damaged_galleries_are_named(gallery: Gallery, rng: np.random.Generator) -> None:
    gallery.enroll("ana", person(rng, "a.mp4", 30))
    with sqlite3.connect(gallery.path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(GalleryError, match="newer"):
        Gallery.open(gallery.path)
    with sqlite3.connect(gallery.path) as db:
        db.execute("PRAGMA user_version = 1")
    data = bytearray(gallery.path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    gallery.path.write_bytes(data)
    with pytest.raises(GalleryError, match=r"drivers\.db"):
        gallery.show("ana")


def test_gallery_file_is_private(gallery: Gallery, tmp_path: Path, rng: np.random.Generator) -> None:
    gallery.enroll("ana", person(rng, "a.mp4"))
    gallery.export(tmp_path / "out.json")
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_vanished_gallery_is_not_made_again(gallery: Gallery, rng: np.random.Generator) -> None:
    for path in gallery.path.parent.glob("drivers.db*"):
        path.unlink()
    with pytest.raises(GalleryError, match="gone"):
        gallery.enroll("ana", person(rng, "a.mp4"))
    assert not gallery.path.exists()


def _trace(folder: Path, needles: list[bytes]) -> list[tuple[str, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [(path.name, needle[:12]) for path in files for needle in needles if needle in path.read_bytes()]


@pytest.mark.parametrize("others", [0, 40])
def test_removal_leaves_no_byte_behind(gallery: Gallery, rng: np.random.Generator, others: int) -> None:
    for number in range(others):
        gallery.enroll(f"person {number:03d}", person(rng, f"{number}.mp4", 1 + number % 4))
    name = "Maximiliane Ünterbüchner"
    parts = [person(rng, f"secret-{n}.mp4", 5) for n in range(3)]
    gallery.enroll(name, parts[:2])
    gallery.enroll(name, parts[2], add=True)
    needles = [name.encode(), b"secret-", b"Maximiliane", *(row.tobytes()[:16] for p in parts for row in p.vectors)]
    needles += [gallery.template(name).tobytes()[:16]]
    assert len({needle for _, needle in _trace(gallery.path.parent, needles)}) > 15
    gallery.remove(name)
    assert _trace(gallery.path.parent, needles) == []
    assert len(gallery.list()) == others


def test_replacing_leaves_no_byte_of_the_old_samples(gallery: Gallery, rng: np.random.Generator) -> None:
    old = person(rng, "old-secret.mp4", 4)
    gallery.enroll("ana", old)
    gallery.enroll("ana", person(rng, "new.mp4"), replace=True)
    assert _trace(gallery.path.parent, [b"old-secret", *(row.tobytes()[:16] for row in old.vectors)]) == []


def test_removal_under_a_reader_says_that_bytes_remain(gallery: Gallery, rng: np.random.Generator) -> None:
    impatient = Gallery.open(gallery.path, timeout=0.2)
    impatient.enroll("ana", person(rng, "a.mp4"))
    reader = sqlite3.connect(gallery.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM driver").fetchall()
    with pytest.raises(PurgeError, match="gallery purge"):
        impatient.remove("ana")
    assert impatient.list() == ()
    reader.close()
    impatient.purge()
    assert _trace(gallery.path.parent, [b"a.mp4"]) == []


def test_a_long_writer_is_told(gallery: Gallery, rng: np.random.Generator) -> None:
    impatient = Gallery.open(gallery.path, timeout=0.1)
    writer = sqlite3.connect(gallery.path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(GalleryBusyError, match="try again"):
        impatient.enroll("ana", person(rng, "a.mp4"))
    assert impatient.list() == ()
    writer.close()


_CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from fake_weights import embedding
from whodrives.verification.gallery import Gallery
who, path = sys.argv[2], sys.argv[3]
rng = np.random.default_rng(int(who))
gallery = Gallery.open(path, timeout=60)
for number in range(15):
    name = f"{who}-{number}"
    gallery.enroll(name, embedding(rng.normal(size=(2, 256)), f"{name}.mp4"))
    gallery.enroll(name, embedding(rng.normal(size=(2, 256)), f"{name}b.mp4"), add=True)
    if number % 3 == 0:
        gallery.remove(name)
"""


def test_two_processes_enroll_at_once(tmp_path: Path) -> None:
    path = tmp_path / "drivers.db"
    here = str(Path(__file__).resolve().parents[1])
    children = [
        subprocess.Popen([sys.executable, "-c", _CHILD, here, who, str(path)], stderr=subprocess.PIPE) for who in "12"
    ]
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors.decode()
    drivers = Gallery.open(path).list()
    assert {driver.name for driver in drivers} == {f"{w}-{n}" for w in "12" for n in range(15) if n % 3}
    assert all(len(driver.samples) == 2 for driver in drivers)


def test_threads_share_one_gallery(gallery: Gallery) -> None:
    failures: list[Exception] = []

    def work(who: int) -> None:
        rng = np.random.default_rng(who)
        try:
            for number in range(5):
                gallery.enroll(f"{who}-{number}", person(rng, f"{who}-{number}.mp4"))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(gallery.list()) == 20
