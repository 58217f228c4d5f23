"""Many files at once give what each gives alone; bad files, killed processes and resumed runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from batch_media import clip, load_fake, stored

from fake_weights import CARD, FakeWeights
from whodrives.data.lock import BusyError, locked
from whodrives.data.worker_pool import PoolError
from whodrives.errors import InputError
from whodrives.models import ModelConfig, build_model
from whodrives.verification.batch.group import GroupSettings, embed_group
from whodrives.verification.batch.inputs import Shard, read_manifest, read_paths
from whodrives.verification.batch.rows import read_rows
from whodrives.verification.batch.run import (
    WORKER_DIED,
    BatchProgress,
    BatchResult,
    embed_files,
    in_processes,
    usual_settings,
)
from whodrives.verification.errors import BatchError, WeightsMismatchError
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.video.contract import PreprocessingContract
from whodrives.video.errors import ContractMismatchError

SETTINGS = GroupSettings(hop=16)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six of 20 to 130 frames."""
    folder = tmp_path_factory.mktemp("videos")
    for number, frames in enumerate((70, 130, 20, 64, 100, 96)):
        clip(folder / f"{number}.mp4", number, frames)
    return folder


@pytest.fixture(scope="module")
def fp() -> Fingerprinter:
    return load_fake()


def embed(fp: Fingerprinter, videos: Path, out: Path, settings: GroupSettings = SETTINGS, **more: Any) -> BatchResult:
    shard = more.get("shard", Shard())
    return embed_files(fp, read_paths([str(videos)], shard=shard), out, settings, **more)


@pytest.mark.parametrize(("decoders", "batch"), [(1, 4), (3, 100)])
def test_rows_are_those_of_each_file_alone(
    fp: Fingerprinter, videos: Path, tmp_path: Path, decoders: int, batch: int
) -> None:
    result = embed(fp, videos, tmp_path, replace(SETTINGS, decoders=decoders, batch=batch))
    assert (result.done, result.kept, result.n_failed, result.failed_list) == (6, 0, 0, None)
    rows = pq.read_table(tmp_path / "embeddings").to_pylist()
    files = {row["paths"]: row for row in pq.read_table(tmp_path / "files").to_pylist()}
    assert result.windows == len(rows)
    for path in videos.iterdir():
        made = fp.embed(path, hop=16)
        mine = [row for row in rows if row["paths"] == path.name]
        assert [row["start_frames"] for row in mine] == [window.start for window in made.windows]
        assert [row["valid_frames"] for row in mine] == [window.valid for window in made.windows]
        assert [row["usable"] for row in mine] == made.usable.tolist()
        assert [row["problem"] for row in mine] == [window.problem for window in made.windows]
        # A batch of other windows may be rounded differently.
        np.testing.assert_allclose([row["embeddings"] for row in mine], made.vectors, atol=1e-6)
        assert files[path.name]["content"] == made.videos[0].content
        assert files[path.name]["n_frames"] == made.videos[0].n_frames
        assert files[path.name]["usable_windows"] == made.usable.sum()
        assert files[path.name]["bytes"] == path.stat().st_size


@pytest.mark.parametrize("normalisation", ["clip", "fixed"])
def test_rows_of_a_real_network_whether_or_not_windows_share_frames(
    videos: Path, tmp_path: Path, normalisation: str
) -> None:
    model = build_model(ModelConfig(normalisation=normalisation)).eval()
    card = {**CARD, "contract": PreprocessingContract(normalisation=normalisation).to_dict()}
    real = Fingerprinter(FakeWeights(model, card), "cpu")
    items = list(read_paths([str(videos / "0.mp4"), str(videos / "2.mp4"), str(videos / "3.mp4")]).items())
    outcomes = list(embed_group(real, items, replace(SETTINGS, hop=6, batch=3, decoders=2)))
    assert sorted(outcome.number for outcome in outcomes) == [0, 1, 2]
    for outcome in outcomes:
        ((rows, _),) = read_rows(outcome.rows)
        made = real.embed(items[outcome.number].file, hop=6)
        found = np.array(rows.windows["embeddings"].to_pylist())
        # In single precision rounding may swap equally near neighbours; both are unit rows.
        assert (found * made.vectors).sum(axis=1).min() > 1 - 1e-4


def test_at_most_a_batch_and_what_waits_is_held(videos: Path) -> None:
    weights = FakeWeights()
    items = list(read_paths([str(videos)]).items())
    list(embed_group(Fingerprinter(weights, "cpu"), items, replace(SETTINGS, batch=3, decoders=2)))
    sizes = [size for size, _ in weights.model.calls]
    assert max(sizes) == 3
    assert sizes[:-1] == [3] * (len(sizes) - 1)


def test_bad_files_are_told_and_listed_and_tried_again(fp: Fingerprinter, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    clip(folder / "good.mp4", 1)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video " * 99)
    told: list[BatchProgress] = []
    result = embed(fp, folder, out, progress=told.append)
    assert (result.done, result.n_failed, told[-1]) == (1, 2, BatchProgress(3, 3, 2))
    assert result.kinds == {"EmptyFileError": 1, "NotAVideoError": 1}
    assert result.failed_list is not None
    listed = [json.loads(line) for line in result.failed_list.read_text().splitlines()]
    assert {(row["path"], row["type"]) for row in listed} == {
        ("empty.mp4", "EmptyFileError"),
        ("text.mp4", "NotAVideoError"),
    }
    assert all(str(folder / row["path"]) in row["message"] for row in listed)
    clip(folder / "empty.mp4", 2)
    (folder / "text.mp4").unlink()
    result = embed(fp, folder, out)
    assert (result.done, result.kept, result.n_failed) == (1, 1, 0)
    assert not list((out / "failed").iterdir())
    assert stored(out, "files") == ["empty.mp4", "good.mp4"]


def test_labels_stand_in_both_tables(fp: Fingerprinter, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,driver\n1.mp4,ana\n2.mp4,007\n")
    inputs = read_manifest(tmp_path / "list.csv", str(videos))
    embed_files(fp, inputs, tmp_path / "out", SETTINGS)
    for kind in ("embeddings", "files"):
        table = pq.read_table(tmp_path / "out" / kind)
        named = set(zip(table["paths"].to_pylist(), table["driver"].to_pylist()))
        assert named == {("1.mp4", "ana"), ("2.mp4", "007")}
    with pytest.raises(BatchError, match="labels"):
        embed(fp, videos, tmp_path / "out")


def test_shards_write_into_one_folder_and_their_union_is_the_whole(
    fp: Fingerprinter, videos: Path, tmp_path: Path
) -> None:
    shards = [Shard(number, 3) for number in (1, 2, 3)]
    counts = [embed(fp, videos, tmp_path / "out", shard=shard).done for shard in shards]
    assert sum(counts) == 6
    assert stored(tmp_path / "out", "files") == stored(tmp_path / "out", "embeddings") == [f"{n}.mp4" for n in range(6)]
    embed(fp, videos, tmp_path / "whole")
    one, two = (
        sorted((row["paths"], row["start_frames"]) for row in pq.read_table(tmp_path / out / "embeddings").to_pylist())
        for out in ("out", "whole")
    )
    assert one == two
    # What other divisions have finished counts.
    result = embed(fp, videos, tmp_path / "out")
    assert (result.done, result.kept) == (0, 6)


def test_who_may_write_at_once(fp: Fingerprinter, videos: Path, tmp_path: Path) -> None:
    embed(fp, videos, tmp_path, shard=Shard(1, 2))
    with locked(tmp_path / ".work" / "1-of-2"):
        with pytest.raises(BusyError, match="another run"):
            embed(fp, videos, tmp_path, shard=Shard(1, 2))
        with pytest.raises(BusyError, match="shard 1/2"):
            embed(fp, videos, tmp_path, shard=Shard(1, 3))
        embed(fp, videos, tmp_path, shard=Shard(2, 2))
    assert stored(tmp_path, "files") == [f"{n}.mp4" for n in range(6)]


def test_a_folder_is_gone_on_with_as_it_was_begun_or_not_at_all(
    fp: Fingerprinter, videos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    embed(fp, videos, out)
    before = {path: path.read_bytes() for path in out.rglob("*.parquet")}
    with pytest.raises(BatchError, match="hop 16, not 8"):
        embed(fp, videos, out, replace(SETTINGS, hop=8))
    with pytest.raises(BatchError, match="crop None, not 0,0,64,64"):
        embed(fp, videos, out, replace(SETTINGS, crop="0,0,64,64"))
    with pytest.raises(WeightsMismatchError, match="begun before"):
        embed(Fingerprinter(FakeWeights(digest="0" * 16), "cpu"), videos, out)
    card = {**CARD, "contract": PreprocessingContract(fps=20.0).to_dict()}
    with pytest.raises(ContractMismatchError, match="begun before"):
        embed(Fingerprinter(FakeWeights(card=card), "cpu"), videos, out)
    assert {path: path.read_bytes() for path in out.rglob("*.parquet")} == before
    with pytest.raises(BatchError, match="not empty"):
        embed(fp, videos, videos)
    (out / "batch.json").write_text("{}")
    with pytest.raises(BatchError, match="no header"):
        embed(fp, videos, out)


def test_other_files_of_the_same_names_are_refused(fp: Fingerprinter, videos: Path, tmp_path: Path) -> None:
    embed(fp, videos, tmp_path / "out")
    for number in range(6):
        clip(tmp_path / "other" / f"{number}.mp4", 11 - number, 40)
    with pytest.raises(InputError, match="holds a file of this name"):
        embed(fp, tmp_path / "other", tmp_path / "out")


def test_an_interrupted_run_keeps_what_is_done(fp: Fingerprinter, videos: Path, tmp_path: Path) -> None:
    def interrupt(state: BatchProgress) -> None:
        if state.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(fp, videos, tmp_path, progress=interrupt)
    assert len(stored(tmp_path, "files")) == 3
    assert embed(fp, videos, tmp_path).done == 3
    assert stored(tmp_path, "files") == [f"{n}.mp4" for n in range(6)]


@pytest.mark.slow
def test_a_file_that_kills_its_process_costs_itself_alone(fp: Fingerprinter, videos: Path, tmp_path: Path) -> None:
    for path in videos.iterdir():
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / path.name).symlink_to(path)
    (tmp_path / "in" / "killer.mp4").write_bytes(b"kills whoever opens it")
    result = embed(fp, tmp_path / "in", tmp_path / "out", engine=in_processes(load_fake, SETTINGS, 2))
    assert (result.done, result.kinds) == (6, {WORKER_DIED: 1})
    assert "exit code 9" in result.failed[0].reason
    assert stored(tmp_path / "out", "files") == stored(tmp_path / "out", "embeddings") == [f"{n}.mp4" for n in range(6)]


def load_nothing() -> Fingerprinter:
    """Weights that bring every process down."""
    os._exit(3)


@pytest.mark.slow
def test_processes_that_cannot_begin_are_an_error(fp: Fingerprinter, videos: Path, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="keep ending"):
        embed(fp, videos, tmp_path, engine=in_processes(load_nothing, SETTINGS, 2))


KILLED = """
import sys, time
from batch_media import load_fake
from whodrives.verification.batch.group import GroupSettings
from whodrives.verification.batch.inputs import read_paths
from whodrives.verification.batch.run import embed_files, in_processes
def slow(state):
    print(state.done, flush=True)
    if state.done == 4:
        time.sleep(60)
if __name__ == "__main__":
    settings = GroupSettings(hop=16)
    embed_files(load_fake(), read_paths([sys.argv[1]]), sys.argv[2], settings,
                engine=in_processes(load_fake, settings, 2), progress=slow)
"""


def test_killed_in_the_middle(fp: Fingerprinter, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(KILLED)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    words = [sys.executable, str(tmp_path / "run.py"), str(videos), str(tmp_path / "out")]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
    assert run.stdout is not None
    for line in run.stdout:
        if int(line) == 4:
            break
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert (tmp_path / "out" / ".work" / "1-of-1" / "journal").stat().st_size
    result = embed(fp, videos, tmp_path / "out")
    assert (result.kept, result.done) == (4, 2)
    assert stored(tmp_path / "out", "files") == stored(tmp_path / "out", "embeddings") == [f"{n}.mp4" for n in range(6)]


def test_settings_that_fit(fp: Fingerprinter) -> None:
    settings, workers = usual_settings(fp)
    assert (settings.hop, settings.batch) == (32, 2)
    assert workers >= 1
    assert usual_settings(fp, hop=5, workers=1, batch=7)[0] == GroupSettings(5, None, 1, 7, None)
    with pytest.raises(InputError, match="at least 1"):
        usual_settings(fp, hop=0)
