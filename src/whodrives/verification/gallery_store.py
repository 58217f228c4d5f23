"""The SQLite file under a gallery: opening, migrations, transactions, and deletion that leaves nothing behind."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib import resources
from pathlib import Path

from whodrives.verification.errors import GalleryBusyError, GalleryError, PurgeError

# "whod": tells a gallery from any other SQLite file.
APPLICATION_ID = 0x77686F64
MIGRATIONS = ("gallery_0001.sql", "gallery_0002.sql")
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class GalleryStore:
    """One gallery file. Every operation opens its own connection, so threads, forks and processes may share it."""

    def __init__(self, path: Path, create: bool, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        if path.is_dir():
            raise GalleryError(f"{path}: is a folder; give the path of a gallery file")
        if not path.exists():
            if not create:
                raise GalleryError(f"{path}: no gallery there; enroll a driver first, or give another path")
            self._create()
        self._migrate()

    def _create(self) -> None:
        try:
            # Templates are biometric data: nobody but the owner may read the file (SQLite's side files inherit this).
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise GalleryError(
                f"{self.path}: cannot create a gallery there ({error.strerror}); choose a folder that exists and "
                "that you may write to"
            ) from error

    def _connect(self) -> sqlite3.Connection:
        if not self.path.exists():
            # SQLite would quietly make an empty file, readable by everyone.
            raise GalleryError(f"{self.path}: the gallery file is gone; open the gallery again")
        connection = sqlite3.connect(self.path, timeout=self.timeout, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            # A sort or VACUUM must not leave templates in a temporary file.
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA trusted_schema = OFF")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _translate(self, error: sqlite3.Error) -> GalleryError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            return GalleryBusyError(
                f"{self.path}: another process holds the gallery for more than {self.timeout:g} s; try again"
            )
        if code == sqlite3.SQLITE_NOTADB:
            return GalleryError(f"{self.path}: is no gallery; give a file made by whodrives, or a new path")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return GalleryError(f"{self.path}: cannot be opened for writing ({error}); check its permissions")
        return GalleryError(f"{self.path}: the gallery cannot be used ({error}); restore it from an export")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one consistent state of the gallery."""
        with self._session("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection in a write transaction: all of the block happens, or nothing."""
        with self._session("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _session(self, begin: str) -> Iterator[sqlite3.Connection]:
        try:
            with closing(self._connect()) as connection:
                connection.execute(begin)
                try:
                    yield connection
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def _migrate(self) -> None:
        rewritten = False
        try:
            with closing(self._connect()) as connection:
                if self._version(connection) == len(MIGRATIONS):
                    return
                self._enter_wal(connection)
                connection.execute("BEGIN IMMEDIATE")
                try:
                    # Asked again: another process may have migrated in the meantime.
                    rewritten = self._version(connection) > 0
                    for number in range(self._version(connection), len(MIGRATIONS)):
                        script = resources.files(__package__).joinpath(MIGRATIONS[number]).read_text(encoding="utf-8")
                        for statement in _statements(script):
                            connection.execute(statement)
                        connection.execute(f"PRAGMA user_version = {number + 1}")
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    connection.execute("COMMIT")
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            raise self._translate(error) from error
        if rewritten:
            # Templates were copied: no copy shall stay behind. Where another process reads, the gallery opens all the
            # same: whoever removes a driver rewrites the whole file again, and is told when that could not be done.
            with suppress(PurgeError):
                self.purge()

    def _enter_wal(self, connection: sqlite3.Connection) -> None:
        # Changing the journal mode does not wait for other connections by itself.
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if (error.sqlite_errorcode & 0xFF) not in _BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _version(self, connection: sqlite3.Connection) -> int:
        """The schema version; GalleryError when the file is not an (empty) gallery."""
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        if application != APPLICATION_ID and (tables or version or application):
            raise GalleryError(f"{self.path}: a database, but no gallery; give a file made by whodrives, or a new path")
        if version > len(MIGRATIONS):
            raise GalleryError(
                f"{self.path}: made by a newer whodrives (schema {version}, this one knows {len(MIGRATIONS)}); upgrade"
            )
        return version

    def purge(self) -> None:
        """Overwrite what was deleted: rewrite the file, then empty the write-ahead log.

        ``secure_delete`` zeroes freed cells, but rebalanced pages may keep old copies and the log keeps old pages.

        Raises
        ------
        PurgeError
            Another process kept reading for the whole waiting time.
        """
        deadline = time.monotonic() + self.timeout
        vacuumed = False
        while True:
            try:
                with closing(self._connect()) as connection:
                    if not vacuumed:
                        connection.execute("VACUUM")
                        vacuumed = True
                    busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                if not busy:
                    return
            except sqlite3.Error as error:
                if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in _BUSY:
                    raise self._translate(error) from error
            if time.monotonic() > deadline:
                raise PurgeError(
                    f"{self.path}: deleted, but another process still reads the gallery, so old bytes stay in its "
                    "files; close that process and run `whodrives gallery purge`"
                )
            time.sleep(0.05)


def _statements(script: str) -> list[str]:
    """The statements of an SQL script, one by one: `executescript` would commit the transaction."""
    out, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            out.append(current)
            current = ""
    return out
