"""A result as four files: JSON, Markdown, LaTeX and HTML."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from whodrives.evaluation.report.comparison import table_document
from whodrives.evaluation.report.contents import evaluation_document
from whodrives.evaluation.report.document import Document
from whodrives.evaluation.report.html import html_report
from whodrives.evaluation.report.result import EvaluationResult, Result, to_json
from whodrives.evaluation.report.tables import latex_report, markdown_report


def document_of(result: Result) -> Document:
    """The sections of either kind of result."""
    return evaluation_document(result) if isinstance(result, EvaluationResult) else table_document(result)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file in one step, so that no half of it is ever seen."""
    handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(content)
        # mkstemp files are private; this one is an ordinary output.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_report(result: Result, folder: str | Path) -> dict[str, Path]:
    """Write result.json, report.md, report.tex and report.html; returns them by ``json``, ``md``, ``tex``, ``html``.

    The folder is made when it is missing. Everything is rendered before the first file is replaced. Raises InputError
    for a result that JSON cannot hold, OSError when the folder cannot be written.
    """
    place, document = Path(folder), document_of(result)
    texts = {
        "result.json": to_json(result),
        "report.md": markdown_report(document),
        "report.tex": latex_report(document),
        "report.html": html_report(result, document),
    }
    place.mkdir(parents=True, exist_ok=True)
    for name, content in texts.items():
        write_text(place / name, content)
    return {name.rpartition(".")[2]: place / name for name in texts}
