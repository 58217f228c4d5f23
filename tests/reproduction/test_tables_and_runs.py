"""Tables, rows and recipes as files; runs by their content; the queue with its budget."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from whodrives.data.lock import locked
from whodrives.errors import InputError
from whodrives.reproduction import pace
from whodrives.reproduction.material import Material
from whodrives.reproduction.queue import states, work
from whodrives.reproduction.reproduce import plan
from whodrives.reproduction.runs import Run, make_run, recipe_names, row_config, run_key
from whodrives.reproduction.tables import ROWS, load_table, read_table, table_names
from whodrives.training.config import TrainConfig

TINY = """
[data]
builtin_drivers = 3
procedural_faces = 3
validation_drivers = 2
clip_length = 4

[train]
identities = 2
samples = 2
epochs = 1.0
steps_per_epoch = 6
validate_every = 100
threads = 1
precision = "fp32"
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.mark.parametrize("name", table_names())
def test_every_table_can_be_read_and_every_row_trained(name: str) -> None:
    table = load_table(name)
    assert table.title
    rows = table.expand(("warp", "mesh"))
    assert rows
    for row in rows:
        assert row.experiment or row.published or row.properties
        assert set(row.published) <= set(table.columns)
        assert all(0.5 < value < 1 for value in row.published.values())
        assert not table.properties or len(row.properties) == len(table.properties)
        if row.experiment:
            for recipe in recipe_names():
                row_config(row.experiment, recipe, {}, 1)


def test_every_row_file_is_used() -> None:
    used = {row.experiment for name in table_names() for row in load_table(name).rows}
    assert {path.stem for path in ROWS.glob("*.toml")} == used - {""}


def test_the_paper_recipe_is_the_papers() -> None:
    config = row_config("feat_diff", "paper", {}, 42)
    recipe = config.train
    assert (recipe.identities, recipe.samples, recipe.total_steps) == (16, 8, 30_000)
    assert (recipe.lr, recipe.weight_decay, recipe.temperature, recipe.clip_norm) == (1e-3, 1e-4, 0.07, 1.0)
    assert (recipe.warmup_epochs, config.data.clip_length, recipe.cross_entropy_weight) == (5.0, 64, 0.0)


def test_a_matrix_trains_on_each_generator_and_keeps_the_papers_rows() -> None:
    ours = load_table("table4").expand(("TPS", "warp"))
    assert [(row.generator, bool(row.published)) for row in ours] == [
        ("TPS", True),
        ("warp", False),
        ("", True),
        ("", True),
    ]
    assert ours[0].published == {"FV2V": 0.838, "TPS": 0.879, "LIA": 0.872}
    assert [row.label for row in ours[2:]] == ["trained on FV2V", "trained on LIA"]


def test_wrong_tables_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="table6"):
        load_table("table66")
    for text, word in (
        ("title = 1 2", "cannot be read"),
        ('title = "x"', "no \\[\\[row\\]\\]"),
        ('title = "x"\n[[row]]\nlabel = "a"\nexperiment = "nothing"', "nothing"),
        ('title = "x"\n[[row]]\nlabel = "a"\npublished = [0.5, 0.6]', "2 published"),
        ('title = "x"\nodd = 1\n[[row]]\nlabel = "a"', "odd"),
    ):
        (tmp_path / "t.toml").write_text(text)
        with pytest.raises(InputError, match=word):
            read_table(tmp_path / "t.toml")


def test_a_run_is_known_by_what_it_learns(tiny: Path, tmp_path: Path) -> None:
    one = row_config("feat_diff", tiny, {}, 1)
    assert run_key(one) == run_key(row_config("feat_diff", tiny, {}, 2))
    # k = 4 with itself is the default, so this is the same network under another name.
    assert run_key(one) != run_key(row_config("neighbours_8", tiny, {}, 1))
    assert run_key(one) != run_key(row_config("pixel_diff", tiny, {}, 1))
    a = row_config("feat_diff", tiny, {"motion": "/a/x.parquet"}, 1)
    b = row_config("feat_diff", tiny, {"motion": "/b/x.parquet"}, 1)
    assert run_key(a) == run_key(b) != run_key(one)
    threads = tmp_path / "threads.toml"
    threads.write_text(TINY.replace("threads = 1", "threads = 2"))
    assert run_key(row_config("feat_diff", threads, {}, 1)) == run_key(one)
    longer = tmp_path / "longer.toml"
    longer.write_text(TINY.replace("epochs = 1.0", "epochs = 2.0"))
    assert run_key(row_config("feat_diff", longer, {}, 1)) != run_key(one)
    with pytest.raises(InputError, match="small"):
        row_config("feat_diff", "large", {}, 1)


def test_rows_of_table_7_mask_padding_where_clips_can_be_short(tiny: Path, tmp_path: Path) -> None:
    rows = [row.experiment for row in load_table("table7").rows]
    assert all(row_config(row, tiny, {"store": "store"}, 1).data.mask_padding for row in rows)
    assert not row_config("feat_diff", tiny, {"store": "store"}, 1).data.mask_padding
    # Rendered clips are never short, so that the row stays the run that another table has trained.
    assert not any(row_config(row, tiny, {}, 1).data.mask_padding for row in rows)


def test_the_same_experiment_under_another_name_is_found_in_a_later_call(tiny: Path, tmp_path: Path) -> None:
    one = row_config("feat_diff", tiny, {}, 1)
    first = make_run(tmp_path, "feat_diff", one)
    first.folder.mkdir(parents=True)
    again = make_run(tmp_path, "frames_32", one)
    assert (again.folder, again.name) == (first.folder, first.name)
    other = make_run(tmp_path, "static", row_config("static", tiny, {}, 1))
    assert other.name.startswith("static-")


class Clock:
    """Ten seconds between two looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


def test_the_queue_stops_at_its_budget_and_goes_on(tiny: Path, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "runs", name, row_config(name, tiny, {}, 1)) for name in ("feat_diff", "static")]
    assert [state.hours for state in states(runs)] == [None, None]
    first = work(runs, budget=25, clock=Clock())
    assert [(state.done, state.steps) for state in first] == [(False, 5), (False, 0)]
    assert all(state.hours is not None and state.hours > 0 for state in first)
    # Somebody else trains the first one: it is passed over.
    with locked(runs[0].folder):
        second = work(runs)
    assert [(state.done, state.steps) for state in second] == [(False, 5), (True, 6)]
    last = work(runs)
    assert [(state.done, state.steps, state.hours) for state in last] == [(True, 6, 0.0)] * 2
    lines = (runs[0].folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


def test_pace_is_that_of_the_log(tiny: Path, tmp_path: Path) -> None:
    f5c, static, resnet = (
        make_run(tmp_path, name, row_config(name, tiny, {}, 1)) for name in ("feat_diff", "static", "resnet18_static")
    )
    f5c.folder.mkdir(parents=True)
    # Steps of 0.04 s, a second process from step 101 on, and a line that was cut short.
    rows = [{"step": step, "seconds": round(0.04 * ((step - 1) % 100 + 1), 1)} for step in range(1, 201)]
    (f5c.folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 2')
    assert f5c.seconds_a_step() == pytest.approx(0.04, rel=0.02)
    hours = [state.hours for state in states([f5c, static, resnet])]
    assert hours[0] is not None
    assert hours[0] == hours[1] > 0
    assert hours[2] is None, "the pace of another backbone says nothing"
    asked = []

    def timed(run: Run) -> float:
        asked.append(run.name)
        return 60.0

    hours = [state.hours for state in states([f5c, static, resnet], timed)]
    assert asked == [resnet.name], "where a pace is known nothing is timed"
    assert hours[2] == pytest.approx(6 * 60 / 3600)


def test_an_unknown_pace_is_timed_once_for_each_backbone(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pace.seconds_a_frame
    timed = []

    def counted(config: TrainConfig, device: torch.device) -> float:
        timed.append(config.model.backbone)
        return whole(config, device)

    monkeypatch.setattr(pace, "seconds_a_frame", counted)
    names = ("feat_diff", "static", "resnet18_feat_diff", "resnet18_static")
    runs = [make_run(tmp_path, name, row_config(name, tiny, {}, 1)) for name in names]
    before = torch.get_num_threads(), torch.get_rng_state()
    hours = [state.hours for state in states(runs, pace.Paces())]
    assert timed == ["f5c", "resnet18"]
    assert all(one is not None and 0 < one < 1 for one in hours)
    # 36 times the multiplications a frame; on a CPU several times as long.
    assert hours[2] > hours[0]
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])

    def refuse(config: TrainConfig, device: torch.device) -> float:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(pace, "seconds_a_frame", refuse)
    assert pace.Paces()(runs[0]) is None


def test_networks_for_other_columns_wait_behind_the_rows(tiny: Path, tmp_path: Path) -> None:
    material = Material("simulated", "", {}, ("mesh", "keypoint"), cast(Any, None))
    planned = plan([load_table("table2")], material, tiny, (1, 2), tmp_path)
    assert {row.experiment for row in planned.transfer} == {"pixel_diff", "feat_diff"}
    own = [run for _, _, runs in planned.rows for run in runs]
    also = [run for found in planned.transfer.values() for runs in found.values() for run in runs]
    assert len(also) == 8
    assert [run in also for run in planned.runs] == [False] * len(own) + [True] * len(also)
    # They are those of Tables IV and V.
    both = plan([load_table(name) for name in ("table2", "table4", "table5")], material, tiny, (1, 2), tmp_path)
    assert set(both.runs) == set(planned.runs)
    assert not plan([load_table("table2")], replace(material, generators=("mesh",)), tiny, (1,), tmp_path).transfer, (
        "one generator leaves none that was not trained on"
    )
