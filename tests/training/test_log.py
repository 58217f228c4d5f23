"""The log of a run."""

import json
from pathlib import Path

import pytest

from whodrives.errors import InputError
from whodrives.training.log import RunLog


def test_rows_behind_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    for step in (1, 2, 3):
        log.write({"step": step, "loss": step / 2})
    log.close()
    path = tmp_path / "log.jsonl"
    path.write_text(path.read_text() + '{"step": 4, "lo')
    again = RunLog(tmp_path, 2)
    again.write({"step": 3, "loss": 9.0})
    again.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(1, 0.5), (2, 1.0), (3, 9.0)]


def test_tensorboard_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="tensorboard"):
        RunLog(tmp_path, 0, tensorboard=True)


def test_tensorboard_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    log = RunLog(tmp_path, 0, tensorboard=True)
    log.write({"step": 1, "loss": 0.5})
    log.close()
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_damaged_rows_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": \xff\n[]\n{"loss": 2}\n{"step": 2}\n')
    RunLog(tmp_path, 2).close()
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
