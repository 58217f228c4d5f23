"""Opening an output folder for one shard: the lock, what is finished, and the list of what failed."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whodrives.data.lock import BusyError, locked
from whodrives.data.store_layout import partial_file, storable
from whodrives.errors import InputError
from whodrives.verification.batch.header import BatchHeader, agree
from whodrives.verification.batch.inputs import Inputs, Shard
from whodrives.verification.batch.parts import FAILED, FILES, WORK, PartWriter
from whodrives.verification.batch.rows import PATH
from whodrives.verification.errors import BatchError

# Failures that a result repeats; all of them stand in the file.
LISTED = 1000
# Finished files whose sizes are compared with those of the inputs.
_LOOKED_AT = 16


@dataclass(frozen=True)
class Failure:
    """A file that could not be embedded: its name, kind of error, and message."""

    path: str
    kind: str
    reason: str


class FailedList:
    """``failed/<tag>.jsonl``, written aside until the run ends. Holds the first `LISTED` failures and counts all."""

    def __init__(self, out: Path, tag: str) -> None:
        self.path = out / FAILED / f"{tag}.jsonl"
        self.first: list[Failure] = []
        self.kinds: Counter[str] = Counter()
        self._stream: IO[str] | None = None

    def add(self, failure: Failure) -> None:
        """One more."""
        self.kinds[failure.kind] += 1
        if len(self.first) < LISTED:
            self.first.append(failure)
        if self._stream is None:
            self.path.parent.mkdir(exist_ok=True)
            self._stream = partial_file(self.path).open("w", encoding="utf-8")
        row = {"path": failure.path, "type": failure.kind, "message": storable(failure.reason)}
        self._stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        """Move the list into place; without a failure there is none. Failed files are tried again by every run."""
        if self._stream is None:
            self.path.unlink(missing_ok=True)
            return
        self._stream.close()
        os.replace(partial_file(self.path), self.path)


@dataclass(frozen=True)
class OpenOutput:
    """An output folder that this process alone writes its shard into. finished : names of what is done."""

    writer: PartWriter
    failed: FailedList
    finished: pa.ChunkedArray


@contextlib.contextmanager
def open_output(out: Path, header: BatchHeader, shard: Shard, **limits: int) -> Iterator[OpenOutput]:
    """Begin or go on with an output folder; what is finished is in a part at the end, however the block ends.

    Runs with the same number of shards may write at once. limits : `part_windows` and `part_files` of `PartWriter`.

    Raises
    ------
    BatchError, WeightsMismatchError, ContractMismatchError
        The folder holds something else, was begun in another way, or cannot be written.
    BusyError
        Another run writes this shard, or shards of another number: their files would overlap.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        agree(out, header)
        work = out / WORK / shard.tag
        work.mkdir(parents=True, exist_ok=True)
        with locked(work):
            finished = []
            for tag in _other_divisions(out, shard):
                with _alone(out, tag):
                    other = PartWriter(out, tag, header.metadata)
                    finished += other.recover().chunks
                    other.finish()
            writer = PartWriter(out, shard.tag, header.metadata, **limits)
            finished += writer.recover().chunks
            failed = FailedList(out, shard.tag)
            try:
                yield OpenOutput(writer, failed, pa.chunked_array(finished, pa.string()))
            finally:
                writer.finish()
            # Not after Ctrl-C: the list of the run before says more than half a list of this one.
            failed.finish()
    except OSError as error:
        raise BatchError(
            f"{error.filename or out}: cannot be written ({error.strerror or error}); free space or choose another "
            "folder, and run again: finished files are kept"
        ) from error


def _other_divisions(out: Path, shard: Shard) -> list[str]:
    """Tags of shards that were begun under another number of shards, so that they share files with this one."""
    tags = {entry.name for entry in os.scandir(out / WORK)}
    with contextlib.suppress(FileNotFoundError):
        tags |= {entry.name.rpartition("-")[0] for entry in os.scandir(out / FILES) if entry.name[0] != "."}
    own = f"-of-{shard.count}"
    return sorted(tag for tag in tags if "-of-" in tag and not tag.endswith(own))


@contextlib.contextmanager
def _alone(out: Path, tag: str) -> Iterator[None]:
    work = out / WORK / tag
    work.mkdir(exist_ok=True)
    try:
        with locked(work):
            yield
    except BusyError:
        raise BusyError(
            f"{out}: a run of shard {tag.replace('-of-', '/')} is writing here; divide all runs by the same number, or "
            "wait for its end"
        ) from None


def refuse_strangers(out: Path, inputs: Inputs) -> None:
    """Raise InputError where a finished file has another size now: `out` was filled from other files of such names.

    A few are looked at: other videos under the same names differ in size as a rule, and all of them do.
    """
    seen = 0
    for path in sorted((out / FILES).glob("*.parquet")):
        if seen:
            return
        table = pq.read_table(path, columns=[PATH, "bytes"])
        table = table.filter(pc.is_in(table[PATH], value_set=inputs.names))
        for row in table.slice(0, _LOOKED_AT).to_pylist():
            seen += 1
            file = inputs.file(row[PATH])
            with contextlib.suppress(OSError):
                if (size := os.path.getsize(file)) != row["bytes"]:
                    raise InputError(
                        f"{file}: has {size} bytes, but {out} holds a file of this name with {row['bytes']}; give "
                        "other files, or files that have changed, a folder of their own"
                    )
