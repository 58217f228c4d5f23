"""What people and machines get to see: one JSON object, or Rich tables; errors as one line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from whodrives.verification.embedding import Embedding
    from whodrives.verification.fingerprinter import Fingerprinter

SCHEMA_VERSION = 1


def plain(text: str) -> str:
    """Text that every terminal can print: bytes that are no text, and control characters, replaced."""
    clean = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in clean)


def print_json(values: dict[str, Any]) -> None:
    """One JSON object on stdout, with `schema_version`; never NaN."""
    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **values}, allow_nan=False))


def print_error(kind: str, message: str, as_json: bool) -> None:
    """One line on stderr, or one JSON object on stdout."""
    message = plain(" ".join(message.split()))
    if as_json:
        print_json({"error": {"type": kind, "message": message}})
    else:
        click.echo(f"whodrives: {message}", err=True)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str | None = None,
    widths: Sequence[int] | None = None,
) -> None:
    """A table on stdout; cells are plain text, never markup. widths : of the columns; None: as wide as they need."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, show_header=any(columns))
    for place, column in enumerate(columns):
        table.add_column(Text(plain(column)), overflow="fold", width=widths[place] if widths else None)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console().print(table)


def terminal_width() -> int:
    """Characters in a line of stdout."""
    from rich.console import Console

    return Console().width


def print_lines(*lines: str) -> None:
    """Plain lines on stdout."""
    for line in lines:
        click.echo(plain(line))


def print_warnings(warnings: Sequence[str]) -> None:
    """Warnings on stderr, a line each."""
    for warning in warnings:
        click.echo(plain(f"warning: {warning}"), err=True)


def number(value: float | None) -> str:
    """A score for people."""
    return "-" if value is None else f"{value:+.4f}"


@contextmanager
def progress(label: str, total: int, quiet: bool) -> Iterator[Any]:
    """A progress bar on stderr; yields a function that advances it by one. Only shown to a person at a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def progress_of(label: str, quiet: bool) -> Iterator[Any]:
    """Like `progress` for a length that shows on the way; yields a function of (done, total)."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def embed_all(
    fingerprinter: Fingerprinter, videos: Sequence[str], crop: str | None, hop: int | None, quiet: bool
) -> Embedding:
    """Embed videos of one driver under a progress bar; the first bad file ends it with its error."""
    from whodrives.verification.embedding import Embedding

    parts = []
    with progress("embedding", len(videos), quiet) as advance:
        for video in videos:
            parts.append(fingerprinter.embed(video, crop=crop, hop=hop))
            advance()
    return Embedding.join(parts)
