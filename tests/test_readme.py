"""What README and docs show runs as it stands there, with the bundled weights."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.encode import write_mp4
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.warp import build_rig, render
from whodrives.cli.main import VERBS, cli
from whodrives.reproduction.tables import load_table
from whodrives.training.config import load_config
from whodrives.training.source import AvatarSource

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
VIDEOS = {"ana-1": 0, "ana-2": 0, "ana-3": 0, "call": 0, "a": 0, "b": 1, "a1": 0, "a2": 0}


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, code) of every fenced block in a language."""
    found = []
    for page in PAGES:
        for code in re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            found.append((page.name, code))
    return found


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the videos that the pages name: 100 frames each of two built-in drivers."""
    folder = tmp_path_factory.mktemp("readme")
    rig = build_rig(procedural_face(1))
    for number, (name, driver) in enumerate(VIDEOS.items()):
        track = BuiltinDriver(400 + driver).recording(4000 + number, number, 4.0, 25.0)
        frames = render([rig], torch.from_numpy(track.values[None].astype(np.float32)), grey=False)[0]
        write_mp4(folder / f"{name}.mp4", (frames * 255).byte().permute(0, 2, 3, 1).numpy())
    return folder


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_python_runs(page: str, code: str, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(videos)
    exec(compile(code, page, "exec"), {})


def test_shell_verbs_run(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(videos)
    monkeypatch.setenv("WHODRIVES_GALLERY", str(videos / "readme.db"))
    lines = [line for _, code in blocks("sh") for line in code.splitlines() if line.startswith("whodrives ")]
    assert len(lines) >= 9
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        assert words[0] in VERBS, line
        if words[0] == "train":  # takes an hour; that the experiment needs no data is what can be checked
            assert AvatarSource(load_config(ROOT / words[1], ("data.builtin_drivers=4",)).data, seed=0).drivers
            continue
        if words[0] in ("calibrate", "reproduce"):
            if words[0] == "reproduce":
                assert load_table(words[1]).rows
            continue
        if words[0] == "evaluate":
            words += ["--no-controls", "--generators", "warp"]
        if words[0] == "simulate":
            words += ["--seconds", "0.2", "--size", "64"]
        words = [str(path) for word in words for path in (sorted(videos.glob(word)) if "*" in word else [word])]
        result = CliRunner().invoke(cli, words)
        assert result.exit_code in (0, 1), f"{line}: {result.output}"
        assert result.exit_code == 0 or words[0] in ("verify", "identify", "compare"), f"{line}: {result.output}"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
