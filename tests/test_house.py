"""The house stands: rooms import one way, files stay small, nothing phones home."""

from __future__ import annotations

import ast
from pathlib import Path

import whodrives

ROOT = Path(whodrives.__file__).resolve().parent
ROOMS = ["models", "video", "data", "avatars", "evaluation", "training", "verification", "cli"]
NETWORK = {"socket", "http", "urllib", "urllib3", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "pickle"}
FILES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def test_imports_flow_one_way_and_stay_offline() -> None:
    for path in FILES:
        room = path.relative_to(ROOT).parts[0]
        names = imported(path)
        assert not {name.split(".")[0] for name in names} & NETWORK, path
        if room in ROOMS:
            used = {name.split(".")[1] for name in names if name.startswith("whodrives.")} & set(ROOMS)
            assert not used & set(ROOMS[ROOMS.index(room) + 1 :]), f"{path} imports from a later room"


def test_rooms_stay_small() -> None:
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path
