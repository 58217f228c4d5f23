"""Templates of one weight file out of a gallery, one piece after the other, and what each was made from."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.verification.gallery_rows import read_floats

PIECE = 4096
_WHICH = "FROM driver WHERE weights = ? AND contract_digest = ?"


@dataclass(frozen=True)
class StoredTemplates:
    """missing : names that have only templates of other weights or contracts.

    origins : name -> 64 bits of a SHA-256 over the name and the videos of its template, so that another template has
    other bits. templates : names with their templates (n, D), by name, `PIECE` at a time; iterate once.
    """

    missing: int
    origins: dict[str, int]
    templates: Iterator[tuple[list[str], NDArray[np.float32]]]


def stored_templates(db: sqlite3.Connection, weights: str, contract: str) -> StoredTemplates:
    """What the gallery holds; `templates` reads on from `db`."""
    missing = db.execute(
        f"SELECT count(DISTINCT name) AS n FROM driver WHERE name NOT IN (SELECT name {_WHICH})", (weights, contract)
    ).fetchone()["n"]
    return StoredTemplates(int(missing), _origins(db, weights, contract), _templates(db, weights, contract))


def _origins(db: sqlite3.Connection, weights: str, contract: str) -> dict[str, int]:
    query = (
        "SELECT name, created, content, added FROM driver LEFT JOIN sample ON sample.driver_id = driver.id "
        "WHERE weights = ? AND contract_digest = ? ORDER BY name, sample.id"
    )
    texts: dict[str, list[str]] = {}
    for row in db.execute(query, (weights, contract)):
        text = texts.setdefault(row["name"], [row["name"], row["created"]])
        text += [str(row["content"]), str(row["added"])]
    return {
        name: int.from_bytes(hashlib.sha256("\n".join(text).encode()).digest()[:8], "little")
        for name, text in texts.items()
    }


def _templates(db: sqlite3.Connection, weights: str, contract: str) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    cursor = db.execute(f"SELECT name, template {_WHICH} ORDER BY name", (weights, contract))
    while rows := cursor.fetchmany(PIECE):
        yield [row["name"] for row in rows], np.stack([read_floats(row["template"]) for row in rows])
