import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from fake_weights import embedding
from whodrives.verification.embedding import Embedding
from whodrives.verification.errors import (
    AlreadyEnrolledError,
    ArchiveError,
    DuplicateSampleError,
    GalleryError,
    UnknownDriverError,
)
from whodrives.verification.gallery import Gallery

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=12)
names = names.filter(lambda name: name.strip())


def person(seed: int, windows: int = 2) -> Embedding:
    return embedding(np.random.default_rng(seed).normal(size=(windows, 256)), f"{seed}.mp4")


@pytest.fixture
def filled(tmp_path: Path) -> Gallery:
    gallery = Gallery.open(tmp_path / "filled.db")
    gallery.enroll("ana", [person(1), person(2, 5)])
    gallery.enroll("李雷", person(3))
    return gallery


@settings(max_examples=15)
@given(st.dictionaries(names, st.integers(1, 3), max_size=4))
def test_export_and_import_give_an_equal_gallery(
    tmp_path_factory: pytest.TempPathFactory, people: dict[str, int]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    first, second = Gallery.open(folder / "1.db"), Gallery.open(folder / "2.db")
    for seed, (name, videos) in enumerate(people.items()):
        try:
            first.enroll(name, [person(10 * seed + n) for n in range(videos)])
        except AlreadyEnrolledError:
            continue  # two spellings of one name
    assert first.export(folder / "1.json") == len(first.list())
    assert second.import_(folder / "1.json") == len(first.list())
    second.export(folder / "2.json")
    assert (folder / "1.json").read_bytes() == (folder / "2.json").read_bytes()
    assert first.list() == second.list()
    for driver in first.list():
        assert np.array_equal(first.template(driver.name), second.template(driver.name))


def test_export_does_not_overwrite_unasked(filled: Gallery, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    out.write_text("precious")
    with pytest.raises(GalleryError, match="--overwrite"):
        filled.export(out)
    assert out.read_text() == "precious"
    filled.export(out, overwrite=True)
    assert json.loads(out.read_text())["format"] == "whodrives-gallery"
    with pytest.raises(GalleryError, match="cannot be written"):
        filled.export(tmp_path / "no" / "folder.json")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_import_is_all_or_nothing(filled: Gallery, tmp_path: Path) -> None:
    filled.export(tmp_path / "out.json")
    other = Gallery.open(tmp_path / "other.db")
    other.enroll("李雷", person(99))
    with pytest.raises(AlreadyEnrolledError, match="--replace"):
        other.import_(tmp_path / "out.json")
    assert [driver.name for driver in other.list()] == ["李雷"]
    other.import_(tmp_path / "out.json", replace=True)
    assert other.list() == filled.list()
    third = Gallery.open(tmp_path / "third.db")
    third.enroll("zoe", person(3))
    with pytest.raises(DuplicateSampleError):
        third.import_(tmp_path / "out.json")
    assert [driver.name for driver in third.list()] == ["zoe"]


def _vectors(values: np.ndarray) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "format": lambda a: a.update(format="other"),
    "version": lambda a: a.update(schema_version=2),
    "drivers": lambda a: a.update(drivers={}),
    "driver": lambda a: a.update(drivers=[7]),
    "no name": lambda a: a["drivers"][0].pop("name"),
    "name type": lambda a: a["drivers"][0].update(name=3),
    "empty name": lambda a: a["drivers"][0].update(name=" "),
    "twice": lambda a: a["drivers"].append(a["drivers"][0]),
    "contract": lambda a: a["drivers"][0]["contract"].pop("fps"),
    "no samples": lambda a: a["drivers"][0].update(samples=[]),
    "base64": lambda a: a["drivers"][0]["samples"][0].update(vectors="§"),
    "cut vectors": lambda a: a["drivers"][0]["samples"][0].update(vectors=_vectors(np.zeros(255))),
    "odd bytes": lambda a: a["drivers"][0]["samples"][0].update(vectors=base64.b64encode(b"12345").decode()),
    "zeros": lambda a: a["drivers"][0]["samples"][0].update(vectors=_vectors(np.zeros(512))),
    "nan": lambda a: a["drivers"][0]["samples"][0].update(vectors=_vectors(np.full(512, np.nan))),
    "other size": lambda a: a["drivers"][0]["samples"][0].update(vectors=_vectors(np.tile(np.eye(128)[0], 2))),
    "window": lambda a: a["drivers"][0]["samples"][0]["windows"][0].pop(),
    "problem": lambda a: a["drivers"][0]["samples"][0]["windows"][0].__setitem__(6, "odd"),
    "frames": lambda a: a["drivers"][0]["samples"][0].update(frames=-1),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_archives_are_refused_and_change_nothing(filled: Gallery, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out.json"
    filled.export(path)
    archive = json.loads(path.read_text(encoding="utf-8"))
    DAMAGE[kind](archive)
    path.write_text(json.dumps(archive))
    target = Gallery.open(tmp_path / "target.db")
    with pytest.raises(ArchiveError):
        target.import_(path)
    assert target.list() == ()


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[1, 2]", b"{", b"[" * 100_000, b"null"])
def test_other_files_are_no_archives(filled: Gallery, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"other\.json"):
        filled.import_(path)
    with pytest.raises(ArchiveError, match=r"absent\.json"):
        filled.import_(tmp_path / "absent.json")


class GalleryMachine(RuleBasedStateMachine):
    """Any order of enroll, add, replace and remove agrees with a plain dict."""

    people = Bundle("people")

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.gallery = Gallery.open(Path(self.folder.name) / "drivers.db")
        self.model: dict[str, list[int]] = {}
        self.next = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    def fresh(self) -> int:
        self.next += 1
        return self.next

    @rule(target=people, name=st.sampled_from(["ana", "ben", "Zoë", "李雷", "O'Hara"]))
    def name_somebody(self, name: str) -> str:
        return name

    @rule(name=people, mode=st.sampled_from(["new", "add", "replace"]), count=st.integers(1, 2))
    def enroll(self, name: str, mode: str, count: int) -> None:
        seeds = [self.fresh() for _ in range(count)]
        videos = [person(seed) for seed in seeds]
        if mode == "new" and name in self.model:
            with pytest.raises(AlreadyEnrolledError):
                self.gallery.enroll(name, videos)
            return
        self.gallery.enroll(name, videos, add=mode == "add", replace=mode == "replace")
        self.model[name] = (self.model.get(name, []) if mode == "add" else []) + seeds

    @rule(name=people)
    def remove(self, name: str) -> None:
        if self.model.pop(name, None) is None:
            with pytest.raises(UnknownDriverError):
                self.gallery.remove(name)
        else:
            self.gallery.remove(name)

    @invariant()
    def agrees(self) -> None:
        found = {d.name: [int(sample.source[:-4]) for sample in d.samples] for d in self.gallery.list()}
        assert found == self.model
        for name, seeds in self.model.items():
            mean = np.concatenate([person(seed).vectors for seed in seeds]).mean(axis=0)
            assert np.allclose(self.gallery.template(name), mean / np.linalg.norm(mean), atol=1e-5)


TestGalleryMachine = GalleryMachine.TestCase
TestGalleryMachine.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
