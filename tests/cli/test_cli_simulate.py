"""`whodrives simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from whodrives.data.manifest import read_manifest

if TYPE_CHECKING:
    from tests.cli.conftest import Caller


def test_simulate_writes_what_it_says(call: Caller, tmp_path: Path) -> None:
    out = tmp_path / "é"
    small = ("--drivers", 2, "--targets", 2, "--clips", 2, "--seconds", 0.4, "--size", 64)
    answer = call("simulate", out, *small, "--json")
    assert answer.status == 0
    assert (answer.json["videos"], answer.json["self"], answer.json["cross"]) == (8, 4, 4)
    records = read_manifest(out)
    assert len(records) == 8
    assert all(r.path.is_file() and r.split == "test" for r in records)
    again = call("simulate", out, *small, "--seed", 1, "--json")
    assert again.status == 2
    assert "other settings" in again.json["error"]["message"]


def test_simulate_says_what_is_wrong(call: Caller, tmp_path: Path) -> None:
    for words in (("--size", 65), ("--generators", "mesh"), ("--seconds", "x")):
        answer = call("simulate", tmp_path / "x", *words, "--json")
        assert answer.status == 2
        assert answer.json["error"]["message"]
