"""Where figures come from."""

import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from whodrives.data.record import Record
from whodrives.reproduction.provenance import PACKAGE, commit, data_digest, software


def records(root: Path) -> list[Record]:
    out = []
    for number in range(3):
        path = root / f"d{number % 2}" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
        out.append(Record(path, f"d{number % 2}", "t", "warp", "", str(number), "test", False))
    return out


def test_data_keep_their_digest_when_moved_and_lose_it_when_changed(tmp_path: Path) -> None:
    one, two = records(tmp_path / "here"), records(tmp_path / "far" / "there")
    digest = data_digest(one)
    assert data_digest(two) == digest == data_digest(one[::-1]) == data_digest(one, tmp_path / "here")
    assert data_digest([*one[:2], replace(one[2], driver="d9")]) != digest
    one[0].path.write_bytes(b"other")
    assert data_digest(one) != digest
    assert data_digest([replace(one[1], path=Path("mixed/1.mp4")), one[2]]) != digest


def test_code_is_named() -> None:
    assert commit()
    assert {"python", "torch", "numpy"} <= set(software())


def test_a_change_anywhere_in_the_package_is_marked(tmp_path: Path) -> None:
    package = tmp_path / "src" / "whodrives"
    room = package / "evaluation" / "metrics.py"
    room.parent.mkdir(parents=True)
    room.write_text("one\n")
    (package / "__init__.py").write_text("")

    def git(*words: str) -> None:
        names = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *names, *words], check=True, capture_output=True)

    git("init")
    # Not followed: the commit would be that of somebody else's project.
    (tmp_path / "other").write_text("")
    git("add", "other")
    git("commit", "-m", "one")
    assert commit(package) == f"version {version('whodrives')}"
    git("add", "src")
    git("commit", "-m", "two")
    clean = commit(package)
    assert len(clean) == 10
    room.write_text("two\n")
    assert commit(package) == clean + "+"
    assert PACKAGE.name == "whodrives"
