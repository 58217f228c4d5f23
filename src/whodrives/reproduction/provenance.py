"""Where a figure comes from: code, data, command."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from whodrives.data.record import Record
from whodrives.evaluation.report.result import EvaluationResult

PACKAGE = Path(__file__).resolve().parents[1]
PACKAGES = ("whodrives", "torch", "numpy", "scipy", "av")


def commit(package: Path = PACKAGE) -> str:
    """Commit of the checkout that this package runs from, with "+" when the package has changes; the version elsewhere.

    package : its folder. A folder that git does not follow, such as a virtual environment inside another project's
        checkout, is no checkout of this package.
    """
    here = package.resolve()
    try:
        subprocess.run(
            ["git", "-C", str(here), "ls-files", "--error-unmatch", "__init__.py"], capture_output=True, check=True
        )
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no", "."],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return f"version {importlib.metadata.version('whodrives')}"
    return found + ("+" if changed else "")


def software() -> dict[str, str]:
    """Versions of what computes the figures."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def today() -> str:
    """Date in UTC, ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def data_digest(records: Sequence[Record], root: Path | None = None) -> str:
    """SHA-256 over names, sizes and labels of videos, in any order; not over their content, which would take hours.

    root : names are taken relative to it (None: to the folder that holds them all), so that a data set keeps its digest
    when it is moved.
    """
    lines = []
    if root is None and records:
        # A store may hold names both relative to its data set and from elsewhere; then they stay as they are.
        with contextlib.suppress(ValueError):
            root = Path(os.path.commonpath([record.path.parent for record in records]))
    for record in records:
        try:
            size = record.path.stat().st_size if record.path.is_file() else -1
        except OSError:
            size = -1
        path = record.path
        if root is not None and path.is_relative_to(root):
            path = path.relative_to(root)
        labels = (record.driver, record.target, record.generator, record.recording, record.split, str(record.is_self))
        lines.append("\t".join((path.as_posix(), str(size), *labels)))
    text = "\n".join(sorted(lines)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()


def append_ledger(path: Path, result: EvaluationResult) -> None:
    """One line more in a ledger of evaluations, JSON lines: for a claim about test people the first one counts."""
    origin = result.provenance
    controls = {name: one.auc for name, one in result.controls.items()}
    line = {
        "date": origin.date,
        "commit": origin.commit,
        "split": origin.split,
        "command": origin.command,
        "model": f"{origin.model} {origin.weights_sha256}",
        "data": f"{origin.data} {origin.data_sha256}",
        "result": {
            "protocols": {name: {"auc": one.auc, "ci95": one.ci95} for name, one in result.protocols.items()},
            "per_generator": {name: one.value for name, one in result.auc.per_generator.items()},
            "controls": controls,
        },
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
