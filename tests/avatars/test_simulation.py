"""Settings of data sets, and who plays in which split."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from whodrives.avatars import cast
from whodrives.avatars.cast import Part, _deal, cast_drivers, cast_faces
from whodrives.avatars.conditioning import WEAK_POSE
from whodrives.avatars.dataset import make_dataset
from whodrives.avatars.motion.tables import COLUMN_OF
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.simulation import SETTINGS, Simulation
from whodrives.avatars.tracks import CHANNELS
from whodrives.data.avaprintdb import list_videos, parse_path
from whodrives.data.manifest import read_manifest
from whodrives.errors import InputError

PEOPLE = [f"p{number}" for number in range(8)]
SMALL = {"drivers": 1, "targets": 2, "clips": 1, "seconds": 0.2, "size": 64}


@pytest.fixture(autouse=True)
def _short_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built-in people perform for seconds, not for half a minute."""
    monkeypatch.setattr(cast, "MIN_SECONDS", 3.0)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A motion table of eight people with two recordings of two seconds."""
    rows: dict[str, list] = {name: [] for name in ("driver", "clip", "frame", "time_s", "confidence")}
    columns = [column for name, column in COLUMN_OF.items() if name not in WEAK_POSE]
    for person in PEOPLE:
        for take in range(2):
            rows["driver"] += [person] * 50
            rows["clip"] += [f"{person}_{take}"] * 50
            rows["frame"] += list(range(50))
            rows["time_s"] += [number / 25 for number in range(50)]
            rows["confidence"] += [1.0] * 50
    values = np.random.default_rng(0).uniform(0, 0.5, (len(rows["driver"]), len(columns)))
    path = tmp_path_factory.mktemp("motion") / "tracks.parquet"
    pq.write_table(pa.table(rows | {c: values[:, n] for n, c in enumerate(columns)}), path)
    return path


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces") / "photos"
    folder.mkdir()
    index = {}
    for number in range(6):
        face = procedural_face(number, 128)
        Image.fromarray(face.image).save(folder / f"q{number}.png")
        index[f"q{number}.png"] = face.landmarks.tolist()
    (folder / "portraits.json").write_text(json.dumps(index))
    return folder


@given(
    st.builds(
        Simulation,
        drivers=st.integers(1, 99),
        clips=st.integers(1, 9),
        cross_clips=st.none() | st.integers(1, 9),
        seed=st.integers(),
        motion=st.none() | st.text(max_size=5),
        generators=st.lists(st.sampled_from(["warp", "mesh", "x"]), min_size=1, unique=True),
        seconds=st.floats(0.1, 100),
        fps=st.sampled_from([25, 30.0, "25", "24-30"]),
        splits=st.sampled_from([(), [["train", 3, 2], ["test", 1, 1]]]),
        layout=st.sampled_from(["nvfair", "avaprintdb"]),
        neutral=st.booleans(),
        codec=st.none() | st.integers(0, 51),
    )
)
def test_settings_survive_json(simulation: Simulation) -> None:
    assert Simulation.from_dict(json.loads(json.dumps(simulation.to_dict()))) == simulation


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"size": 65}, "even number"),
        ({"fps": "x"}, "range such as"),
        ({"generators": ()}, "one or more"),
        ({"generators": ("warp", "warp")}, "each once"),
        ({"split": "dev"}, "unknown split"),
        ({"splits": (("test", 1, 1), ("test", 2, 2))}, "each may stand there once"),
        ({"splits": (("test", 0, 1),)}, "at least one driver"),
        ({"faces": "wax"}, "one or more of procedural"),
        ({"layout": "zip"}, "unknown layout"),
        ({"codec": 52}, "0..51"),
        ({"cross_clips": 0}, "at least 1"),
    ],
)
def test_settings_that_cannot_be(words: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Simulation(**words)


def test_settings_are_kept_beside_the_videos(tmp_path: Path) -> None:
    simulation = Simulation(**SMALL, fps="24-30")
    list(make_dataset(simulation, tmp_path))
    again = Simulation.load(tmp_path)
    assert again == simulation
    assert [v.record for v in again.plan()] == [v.record for v in simulation.plan()]
    (tmp_path / SETTINGS).write_text('{"colour": 1}')
    with pytest.raises(InputError, match="unknown 'colour'"):
        Simulation.load(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        Simulation.load(tmp_path / "nowhere")


def test_unknown_generators_are_named() -> None:
    with pytest.raises(InputError, match="unknown generator 'wrap'; there are warp"):
        Simulation(generators=("wrap",)).plan()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
@settings(max_examples=40)
def test_nobody_is_dealt_twice(counts: list[int], data: st.DataObject) -> None:
    parts = [Part(split, count, 1) for split, count in zip(("train", "val", "test"), counts, strict=False)]
    names = [f"n{number}" for number in range(12)]
    splits = st.fixed_dictionaries({name: st.sampled_from(["train", "val", "test"]) for name in names})
    assignment = data.draw(st.none() | splits)
    try:
        shares = _deal(parts, names, assignment, counts, "people")
    except InputError:
        assert assignment is not None
        assert any(list(assignment.values()).count(p.split) < n for p, n in zip(parts, counts, strict=True))
        return
    dealt = [name for share in shares for name in share]
    assert [len(share) for share in shares] == counts
    assert len(set(dealt)) == len(dealt)
    if assignment is not None:
        assert all(assignment[n] == part.split for part, share in zip(parts, shares, strict=True) for n in share)


def test_splits_share_neither_drivers_nor_faces(table: Path, portraits: Path) -> None:
    plan = Simulation(
        motion=str(table), portraits=str(portraits), faces="photos,procedural", clips=1, seconds=0.4,
        splits=(("train", 4, 6), ("val", 1, 2), ("test", 3, 4)),
    ).plan()  # fmt: skip
    for label in ("driver", "target"):
        homes: dict[str, set[str]] = {}
        for video in plan:
            homes.setdefault(getattr(video.record, label), set()).add(video.record.split)
        assert all(len(home) == 1 for home in homes.values())
    assert Counter(v.record.split for v in plan) == {"train": 24, "val": 2, "test": 12}


def test_split_files_decide(table: Path, portraits: Path) -> None:
    drivers = {name: "test" if number % 2 else "train" for number, name in enumerate(PEOPLE)}
    lines = ["driver,split", *(f"{name},{split}" for name, split in drivers.items())]
    table.with_name("split.csv").write_text("\n".join(lines))
    faces = {f"q{number}": "train" if number < 2 else "test" for number in range(6)}
    lines = ["portrait,split", *(f"{name},{split}" for name, split in faces.items())]
    (portraits.parent / "split.csv").write_text("\n".join(lines))
    try:
        plan = Simulation(
            motion=str(table), portraits=str(portraits), clips=1, seconds=0.4, splits=(("train", 4, 2), ("test", 3, 4))
        ).plan()
        assert {v.record.driver for v in plan if v.record.split == "train"} == {"p0", "p2", "p4", "p6"}
        assert {v.record.driver for v in plan if v.record.split == "test"} == {"p1", "p3", "p5"}
        assert all(drivers[v.record.driver] == faces[v.record.target] == v.record.split for v in plan)
        with pytest.raises(InputError, match="drivers: 5 asked, split test has 4"):
            cast_drivers([Part("test", 5, 1)], str(table), 0.4)
        with pytest.raises(InputError, match="portraits: 3 asked, split train has 2"):
            cast_faces([Part("train", 1, 3)], ["photos"], str(portraits))
        table.with_name("split.csv").write_text("driver,split\np0,train")
        with pytest.raises(InputError, match="7 drivers have no split"):
            cast_drivers([Part("train", 1, 1)], str(table), 0.4)
    finally:
        table.with_name("split.csv").unlink()
        (portraits.parent / "split.csv").unlink()


def test_built_in_people_of_splits_never_meet() -> None:
    plan = Simulation(splits=(("train", 2, 2), ("val", 1, 1), ("test", 2, 2)), clips=1, seconds=0.2).plan()
    assert len({v.record.driver for v in plan}) == len({v.record.target for v in plan}) == 5
    alone = Simulation(drivers=2, targets=2, clips=1, seconds=0.2, split="test").plan()
    together = {v.record.path: v for v in plan}
    assert all(together[v.record.path].record == v.record for v in alone)


def test_kinds_of_faces_and_photos_go_together(portraits: Path) -> None:
    with pytest.raises(InputError, match="give both or neither"):
        cast_faces([Part("test", 1, 1)], ["photos"], None)
    with pytest.raises(InputError, match="give both or neither"):
        cast_faces([Part("test", 1, 1)], ["procedural"], str(portraits))
    names = [face.name for face in cast_faces([Part("test", 1, 4)], ["photos", "procedural"], str(portraits))[0]]
    assert [name.startswith("q") for name in names] == [True, False, True, False]


def test_neutral_sets_hold_nothing_but_appearance() -> None:
    simulation = Simulation(**SMALL)
    still = Simulation(**SMALL, neutral=True).plan()
    for moving, video in zip(simulation.plan(), still, strict=True):
        assert video.record == moving.record
        assert video.nuisance == moving.nuisance
        assert not video.controls().any()
        assert moving.controls().shape == video.controls().shape == (5, len(CHANNELS))


def test_avaprintdb_tree(tmp_path: Path) -> None:
    simulation = Simulation(
        splits=(("train", 1, 1), ("val", 1, 1), ("test", 1, 2)), clips=1, seconds=0.2, size=64, layout="avaprintdb"
    )
    rendering = make_dataset(simulation, tmp_path)
    list(rendering)
    records = list(list_videos(tmp_path))
    assert records == read_manifest(tmp_path) == list(rendering.result.records)
    assert Counter(r.split for r in records) == {"train": 1, "val": 1, "test": 2}
    for record in records:
        read = parse_path(tmp_path, record.path)
        assert (read.driver, read.target, read.generator) == (record.driver, record.target, "warp")
        assert ("TEST" in record.path.parts) == (record.split == "test")
    metadata = (tmp_path / "data/metadata/avaprintdb_metadata.csv").read_text().splitlines()
    assert metadata[0] == "avatar_video_path,generator,split"
    assert len(metadata) == 5
