"""The output folder of many embedded files: Parquet parts, and a journal of what is not in a part yet.

- ``batch.json``: weights, contract, hop, crop and label columns, written first.
- ``embeddings/1-of-1-00000.parquet``: a row a window, of at most so many windows.
- ``files/1-of-1-00000.parquet``: the files of that part, a row each; a part counts once this stands.
- ``failed/1-of-1.jsonl``: files that the last run could not embed, a JSON object a line.
- ``.work/1-of-1/journal``: finished files on their way into a part; gone at the end of a run.

A file is finished once it is in the journal: a killed run loses what its workers held, nothing else.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from whodrives.data.store_layout import write_file
from whodrives.verification.batch.rows import PATH, Rows, read_rows

EMBEDDINGS, FILES, FAILED, WORK, JOURNAL = "embeddings", "files", "failed", ".work", "journal"
# 64 MiB of vectors of 256 numbers; one part is put together in memory.
PART_WINDOWS = 65_536
PART_FILES = 32_768


class PartWriter:
    """Writes the parts of one shard; nobody else may write under this `tag` at the same time.

    Parameters
    ----------
    out : the output folder. tag : begins the names of its parts. metadata : of the Parquet schemas.
    """

    def __init__(
        self,
        out: Path,
        tag: str,
        metadata: dict[str, str],
        part_windows: int = PART_WINDOWS,
        part_files: int = PART_FILES,
    ) -> None:
        self.out, self.tag, self.metadata = out, tag, metadata
        self.part_windows, self.part_files = part_windows, part_files
        self.journal = out / WORK / tag / JOURNAL
        self.windows = self.files = 0
        self._stream: FileIO | None = None

    def part(self, kind: str, number: int) -> Path:
        """``kind/tag-number.parquet``."""
        return self.out / kind / f"{self.tag}-{number:05d}.parquet"

    def numbers(self, kind: str) -> list[int]:
        """Of the parts that stand."""
        lead = f"{self.tag}-"
        stems = (path.stem[len(lead) :] for path in (self.out / kind).glob(f"{lead}*.parquet"))
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def finished(self) -> pa.ChunkedArray:
        """Names of all files in parts."""
        paths = [self.part(FILES, number) for number in self.numbers(FILES)]
        chunks = (pq.read_table(path, columns=[PATH])[PATH].chunks for path in paths)
        return pa.chunked_array([chunk for some in chunks for chunk in some], pa.string())

    def recover(self) -> pa.ChunkedArray:
        """Take up what a killed run left. Returns the names of all finished files, in parts and in the journal."""
        whole = set(self.numbers(FILES))
        for number in self.numbers(EMBEDDINGS):
            if number not in whole:
                self.part(EMBEDDINGS, number).unlink()
        for kind in (EMBEDDINGS, FILES):
            for left in (self.out / kind).glob(f".{self.tag}-*.part"):
                left.unlink()
        done = self.finished()
        if not self.journal.exists():
            return done
        end, names = 0, []
        for rows, after in self._read():
            end = after
            names += rows.files[PATH].to_pylist()
            self.files += len(rows.files)
            self.windows += len(rows.windows)
        known = set(done.to_pylist()) if names else set()
        if names and names[0] in known:
            # Killed between the part and the removal of the journal that went into it as a whole.
            self._drop()
            return done
        os.truncate(self.journal, end)
        return pa.chunked_array([*done.chunks, pa.array(names, pa.string())], pa.string())

    def append(self, rows: Rows) -> None:
        """One finished file. It counts when this returns, whatever happens to the process."""
        if self._stream is None:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what a full disk refuses must not be written later on.
            self._stream = FileIO(str(self.journal), "a")
        rest = memoryview(rows.to_bytes())
        while rest:
            rest = rest[self._stream.write(rest) or 0 :]
        self.files += len(rows.files)
        self.windows += len(rows.windows)
        if self.windows >= self.part_windows or self.files >= self.part_files:
            self.finish()

    def finish(self) -> None:
        """Put what is in the journal into a part."""
        if not self.files:
            self._drop()
            return
        found = [rows for rows, _ in self._read()]
        number = max([-1, *self.numbers(FILES), *self.numbers(EMBEDDINGS)]) + 1
        for kind, tables in ((EMBEDDINGS, [rows.windows for rows in found]), (FILES, [rows.files for rows in found])):
            (self.out / kind).mkdir(exist_ok=True)
            self._write(self.part(kind, number), pa.concat_tables(tables))
        self._drop()

    def _write(self, path: Path, table: pa.Table) -> None:
        table = table.combine_chunks().replace_schema_metadata(self.metadata)
        sink = pa.BufferOutputStream()
        # Dictionaries suit names and labels, not the numbers of vectors.
        text = [field.name for field in table.schema if pa.types.is_string(field.type)]
        pq.write_table(table, sink, compression="zstd", use_dictionary=text)
        write_file(path, sink.getvalue())

    def _read(self) -> list[tuple[Rows, int]]:
        return list(read_rows(self.journal.read_bytes()))

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self.journal.unlink(missing_ok=True)
        self.files = self.windows = 0
