"""What a run writes down as it goes: JSON lines always, TensorBoard events on request."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from whodrives.errors import InputError


class RunLog:
    """Rows of numbers by step, in `folder`/log.jsonl; a resumed run drops the rows behind its checkpoint first.

    Parameters
    ----------
    folder : of the run. step : rows of later steps are dropped (what a killed run did after its last checkpoint is
        done again). tensorboard : also write events into `folder`/tensorboard.

    Raises
    ------
    InputError
        TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "log.jsonl"
        kept = [line for line in _lines(path) if _step(line) <= step]
        partial = path.with_suffix(".partial")
        partial.write_text("".join(kept), encoding="utf-8")
        partial.replace(path)
        self._file = path.open("a", encoding="utf-8")
        self._board: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise InputError("train.tensorboard needs the extra: pip install 'whodrives[tensorboard]'") from error
            self._board = SummaryWriter(folder / "tensorboard", purge_step=step + 1)  # type: ignore[no-untyped-call]

    def write(self, row: dict[str, Any]) -> None:
        """Append one row; it holds ``step``. On disk at once."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        if self._board is not None:
            for key, value in row.items():
                if key != "step":
                    self._board.add_scalar(key, value, row["step"])

    def close(self) -> None:
        """Finish the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _lines(path: Path) -> list[str]:
    """Whole lines; a last one cut short by a kill is left out."""
    if not path.exists():
        return []
    return [
        line
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        if line.endswith("\n")
    ]


def _step(line: str) -> float:
    """Step of a row; infinity for a damaged one, which is then dropped."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
