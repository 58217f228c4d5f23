"""`whodrives reproduce` and `whodrives evaluate` on a made-up study: a few built-in people, a few steps."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Answer, Caller
from whodrives.evaluation.report import read_result
from whodrives.evaluation.report.result import EvaluationResult, TableResult
from whodrives.reproduction import tables

RECIPE = """
[data]
builtin_drivers = 3
procedural_faces = 3
validation_drivers = 2
validation_others = 1
generators = ["warp"]
fps = 12.5
clip_length = 4

[train]
identities = 2
samples = 2
epochs = 1.0
steps_per_epoch = 2
validate_every = 100
threads = 1
"""
TABLE = """
title = "Two rows and a stranger"
columns = ["overall", "FV2V"]

[[row]]
label = "differences"
experiment = "feat_diff"
published = [0.877, 0.869]

[[row]]
label = "one frame"
experiment = "static"

[[row]]
label = "another system"
published = [0.87, 0.86]
"""


class Study:
    """The folder of a study, and the answers of its two calls: without any time, then to the end."""

    def __init__(self, root: Path) -> None:
        self.root, self.out, self.call = root, root / "out", Caller()
        (root / "recipe.toml").write_text(RECIPE)
        self.first = self.reproduce("--budget", 0)
        self.second = self.reproduce("--seeds", 2, "--ledger", root / "ledger.jsonl")

    def reproduce(self, *more: object) -> Answer:
        words = ["reproduce", "little", "--recipe", self.root / "recipe.toml", "-o", self.out]
        words += ["--test-drivers", 3, "--test-targets", 3, "--test-clips", 2, "--test-seconds", 0.6]
        return self.call(*words, "--json", *more)

    @property
    def checkpoint(self) -> Path:
        return next(self.out.glob("runs/feat_diff-*/seed-1/last.safetensors"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    root = tmp_path_factory.mktemp("study")
    (root / "tables").mkdir()
    (root / "tables" / "little.toml").write_text(TABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "TABLES", root / "tables")
        yield Study(root)


def read_evaluation(study: Study) -> EvaluationResult:
    (path,) = study.out.glob("runs/feat_diff-*/seed-1/evaluation-*.json")
    found = read_result(path)
    assert isinstance(found, EvaluationResult)
    return found


def test_without_time_nothing_is_run_and_that_is_said(study: Study) -> None:
    assert study.first.status == 1
    (table,) = study.first.json["tables"]
    rows = {row["label"]: row["cells"] for row in table["rows"]}
    assert rows["differences"]["overall"]["status"] == "not run (estimated under 0.1 h)"
    assert rows["differences"]["overall"]["published"] == 0.877
    assert rows["another system"] == {
        "overall": {"value": None, "ci95": None, "seeds": [], "published": 0.87, "status": "ok"},
        "FV2V": {"value": None, "ci95": None, "seeds": [], "published": 0.86, "status": "ok"},
    }
    assert study.first.json["rows_not_run"] == 2


def test_a_table_has_our_figures_in_columns_of_their_own(study: Study) -> None:
    assert study.second.status == 0, study.second.err
    result = read_result(study.out / "little" / "result.json")
    assert isinstance(result, TableResult)
    ours = {row.label: row.cells for row in result.rows}["differences"]
    assert {"overall", "warp", "mesh", "keypoint", "Eq. 1", "other recordings", "training AUC"} <= set(ours)
    overall = ours["overall"]
    assert overall.value == pytest.approx(sum(overall.seeds) / 2, abs=1e-5)
    assert len(overall.seeds) == 2
    assert overall.ci95 is not None
    assert overall.ci95[0] <= overall.value <= overall.ci95[1]
    assert ours["FV2V"].value is None
    assert ours["FV2V"].published == 0.869
    assert result.provenance.data_sha256 == read_evaluation(study).provenance.data_sha256
    assert len(result.provenance.data_sha256 or "") == 64
    assert any("differences minus one frame, paired over people" in note for note in result.notes)
    text = (study.out / "little" / "report.md").read_text()
    assert "published, NVFAIR" in text
    assert "ours, simulated" in text


def test_each_run_is_evaluated_once_with_controls_for_the_first_seed(study: Study) -> None:
    found = {}
    for seed in (1, 2):
        (path,) = study.out.glob(f"runs/feat_diff-*/seed-{seed}/evaluation-*.json")
        found[seed] = read_result(path)
    first, second = found[1], found[2]
    assert isinstance(first, EvaluationResult)
    assert isinstance(second, EvaluationResult)
    assert set(first.controls) == {"static frame", "shuffled", "reversed", "untrained", "frozen", "duration only"}
    assert first.controls["static frame"].training_auc is not None
    assert first.controls["duration only"].training_auc is None
    assert set(second.controls) == {"duration only"}  # needs no network, so it costs nothing
    times = {
        path: path.stat().st_mtime_ns for path in study.out.rglob("*") if path.is_file() and path.suffix != ".lock"
    }
    again = study.reproduce("--seeds", 2)
    assert again.json["tables"][0]["rows"] == study.second.json["tables"][0]["rows"]
    kept = [path for path in times if "runs" in path.parts and path.name != ".lock"]
    assert all(path.stat().st_mtime_ns == times[path] for path in kept)


def test_evaluate_measures_a_checkpoint_as_reproduce_does(study: Study, tmp_path: Path) -> None:
    answer = study.call("evaluate", study.checkpoint, study.out / "data" / "test", "--json", "-o", tmp_path)
    assert answer.status == 0, answer.err
    (path,) = study.out.glob("runs/feat_diff-*/seed-1/evaluation-*.json")
    known = json.loads(path.read_text())
    assert answer.json["auc"] == known["auc"]
    assert answer.json["protocols"] == known["protocols"]
    assert answer.json["controls"]["static frame"] == known["controls"]["static frame"]
    assert set(answer.json["protocols"]) == {"per_target_mean", "cross_target"}
    assert (tmp_path / "report.html").is_file()
    assert read_result(tmp_path / "result.json").auc.overall == answer.json["auc"]["overall"]
    people = study.call("evaluate", study.checkpoint, study.out / "data" / "test", "--no-controls", "--no-training-auc")
    assert "Both protocols" in people.out
    assert "No control" not in people.err


def test_evaluate_restricts_its_trials(study: Study, tmp_path: Path) -> None:
    data = study.out / "data" / "test"
    with (data / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    content, people = tmp_path / "content.csv", tmp_path / "people.csv"
    content.write_text("recording,content\n" + "".join(f"{row['recording']},a\n" for row in rows))
    drivers = sorted({row["driving_identity"] for row in rows})
    people.write_text("driver,sex\n" + "".join(f"{name},{'fm'[n % 2]}\n" for n, name in enumerate(drivers)))
    words = ["evaluate", study.checkpoint, data, "--no-controls", "--no-training-auc", "--json"]
    plain = study.call(*words).json
    one = study.call(*words, "--generators", "warp", "--content", content, "--attributes", people).json
    assert one["n_videos"] * 3 == plain["n_videos"]
    assert set(one["auc"]["per_generator"]) == {"warp"}
    pairs = study.call(*words, "--protocol", "recordings", "--faces", "different", "--negatives", "same_source").json
    assert pairs["protocol"] == "recordings"
    assert set(pairs["protocols"]) == {"recordings", "per_target_mean", "cross_target"}
    assert set(one["controls"]) == {"duration only"}


def test_evaluate_scores_a_list_of_pairs(study: Study, tmp_path: Path) -> None:
    data = tmp_path / "tree"
    words = ["simulate", data, "--splits", "test:3/3", "--clips", 2, "--seconds", 0.5, "--size", 64]
    assert study.call(*words, "--generators", "warp,mesh", "--layout", "avaprintdb").status == 0
    with (data / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["generator"] == "warp"]
    own, cross = ([row for row in rows if row["is_self_reenactment"] == kind] for kind in ("True", "False"))
    # The trials of the protocol `pooled`, as a list.
    trials = [
        (Path(a["path"]).stem, Path(b["path"]).name, int(b in own))
        for n, a in enumerate(own)
        for b in (*own[n + 1 :], *cross)
        if a["target_identity"] == b["target_identity"]
    ]
    pairs = tmp_path / "pairs.csv"
    lines = [
        f"{one},{other},{label}\n" for one, other, label in [*trials, ("nobody--is--there--WARP", trials[0][0], 0)]
    ]
    pairs.write_text("enrolment_sample,test_sample,label\n" + "".join(lines))
    words = ["evaluate", study.checkpoint, data, "--no-controls", "--no-training-auc", "--json"]
    for generator in ("warp", "mesh"):
        pooled = study.call(*words, "--protocol", "pooled", "--generators", generator).json
        listed = study.call(*words, "--pairs", pairs, "--generators", generator).json
        assert listed["protocol"] == "listed"
        # Hardly trained, the network gives scores so alike that the last bit of a product decides some comparisons.
        assert listed["auc"]["overall"] == pytest.approx(pooled["auc"]["overall"], abs=0.03)
        assert listed["n_pairs"] == pooled["n_pairs"]
        assert listed["auc"]["per_generator"][generator]["value"] == pytest.approx(listed["auc"]["overall"])
        assert listed["protocols"]["listed"]["note"].startswith("1 listed pairs are left out")
        assert set(listed["protocols"]) == {"listed", "per_target_mean", "cross_target"}
        assert "duration only" in listed["controls"]
    for more, part in (
        (("--generators", "warp,mesh"), "name the one"),
        (("--negatives", "same_source"), "leave out options"),
        (("--generators", "keypoint"), "no video is left"),
    ):
        wrong = study.call(*words, "--pairs", pairs, *more)
        assert wrong.status == 2, wrong.err
        assert part in wrong.out


def test_evaluate_lists_files_that_cannot_be_read(study: Study, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(study.out / "data" / "test", data)
    victim = sorted(data.rglob("*.mp4"))[0]
    victim.write_bytes(b"no video")
    words = ["--no-controls", "--no-training-auc", "--json"]
    answer = study.call("evaluate", study.checkpoint, data, *words)
    assert answer.status == 1
    assert [Path(entry["path"]).name for entry in answer.json["failed"]] == [victim.name]
    assert answer.json["coverage"] < 1


def test_wrong_calls_are_told(study: Study, tmp_path: Path) -> None:
    data = study.out / "data" / "test"
    for words, part in (
        (["evaluate", study.checkpoint, data, "--protocol", "best"], "per_target_mean"),
        (["evaluate", study.checkpoint, data, "--split", "val"], "splits test"),
        (["evaluate", tmp_path / "no.safetensors", data], "no.safetensors"),
        (["reproduce", "table66"], "little"),
        (["reproduce", "little", "--data", data, "--motion", data / "manifest.csv"], "--data simulated"),
        (["reproduce", "little", "--data", data, "-o", tmp_path], "needs the splits"),
        # Said at once, and not after the training that the tables need.
        (["reproduce", "little", "motion", "--data", data, "-o", tmp_path], "needs --data simulated"),
        (["reproduce", "all", "--data", data, "-o", tmp_path], "needs the splits"),
        (["reproduce", "little", "--test-drivers", 2, "-o", tmp_path], "--test-drivers"),
    ):
        answer = study.call(*words)
        assert answer.status == 2
        assert part in answer.err


def test_analyses_of_trained_and_untrained_networks(study: Study) -> None:
    words = ["reproduce", "motion", "disentanglement", "--recipe", study.root / "recipe.toml", "-o", study.out]
    words += ["--test-drivers", 3, "--test-targets", 3, "--test-clips", 2, "--test-seconds", 0.6]
    answer = study.call(*words, "--people", 4, "--faces", 2, "--json")
    assert answer.status == 0, answer.err
    motion, probes = answer.json["tables"]
    labels = [row["label"] for row in motion["rows"]]
    for stage in ("frames", "conv1", "fcc", "ccc"):
        assert f"F5C, trained: {stage}" in labels
        assert f"F5C, untrained: {stage}" in labels
    assert "ResNet-18, untrained: layer4" in labels
    assert any("Not trained yet" in note and "ResNet-18" in note for note in motion["notes"])
    assert len(motion["provenance"]["data_sha256"]) == 64
    assert motion["provenance"]["data_sha256"] == probes["provenance"]["data_sha256"]
    first = motion["rows"][0]["cells"]["motion ratio"]
    assert first["ci95"][0] <= first["value"] <= first["ci95"][1]
    rows = {row["label"]: row["cells"] for row in probes["rows"]}
    assert set(rows) == {
        f"F5C, {kind}: {what}" for kind in ("untrained", "trained") for what in ("f_t", "d_t", "embedding")
    }
    # A frame shows whose face it is; the change between two frames hardly does.
    assert rows["F5C, untrained: f_t"]["target"]["value"] > 0.9
    face, motion_share = (rows["F5C, untrained: f_t"][f"share of {what}"]["value"] for what in ("face", "motion"))
    assert face > motion_share
    assert rows["F5C, untrained: d_t"]["share of face"]["value"] < face
    assert 0 <= rows["F5C, trained: embedding"]["swap AUC"]["value"] <= 1


def test_every_new_evaluation_stands_in_the_ledger(study: Study, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (study.root / "ledger.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    assert {"date", "commit", "split", "command", "result"} <= set(lines[0])
    words = ["evaluate", study.checkpoint, study.out / "data" / "test", "--no-controls", "--no-training-auc"]
    assert study.call(*words, "--ledger", tmp_path / "one.jsonl").status == 0
    (line,) = (tmp_path / "one.jsonl").read_text().splitlines()
    known = [one["result"]["protocols"] for one in lines]
    assert json.loads(line)["result"]["protocols"] in known


def test_a_labelled_data_set_is_packed_trained_on_and_tested(study: Study, tmp_path: Path) -> None:
    data = tmp_path / "tree"
    words = ["simulate", data, "--splits", "train:3/3,val:2/2,test:3/3", "--clips", 2, "--seconds", 0.5, "--size", 64]
    assert study.call(*words, "--generators", "warp").status == 0
    for more in ((), ("--fps", 12.5)):
        out = tmp_path / f"out{len(more)}"
        words = ["reproduce", "little", "--recipe", study.root / "recipe.toml", "--data", data, "-o", out, "--json"]
        answer = study.call(*words, *more)
        assert answer.status == 0, answer.out
        (table,) = answer.json["tables"]
        cells = table["rows"][0]["cells"]
        assert 0 <= cells["overall"]["value"] <= 1
        assert "warp" in cells
        assert "mesh" not in cells
        assert table["provenance"]["data_kind"] == "simulated"
        assert "test videos of" in table["provenance"]["data"]


def test_a_row_that_lacks_a_seed_is_not_complete(study: Study) -> None:
    answer = study.reproduce("--seeds", 3, "--budget", 0)
    assert answer.status == 1
    assert (answer.json["rows_not_run"], answer.json["rows_lacking_seeds"]) == (0, 2)
    (table,) = answer.json["tables"]
    assert table["provenance"]["seed"] == [1, 2]
    assert "differences: 2 of 3 seeds so far." in table["notes"]
    assert study.first.json["tables"][0]["provenance"]["seed"] is None
    assert study.second.json["rows_lacking_seeds"] == 0
