"""Markdown and LaTeX of a report. Every name may be hostile: nothing in it is read as markup."""

from __future__ import annotations

import re

from whodrives.evaluation.report.document import Document, Grid, Section
from whodrives.evaluation.report.plain import plain

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "–": r"\textendash{}",
    "−": "$-$",
    "‖": r"$\Vert$",
    "…": r"\ldots{}",
    "\ufffd": "?",
}
_MARKDOWN = re.compile(r"([\\`*~|#!$]|(?<!\w)_|_(?!\w))")


def markdown_text(text: str) -> str:
    """One line of Markdown that shows `text`: no emphasis, link, HTML or table bar survives as markup."""
    line = " ".join(plain(text).split())
    line = _MARKDOWN.sub(r"\\\1", line)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Brackets alone are no link: the intervals stay readable in the source.
    for mark in ("](", "][", "]:"):
        line = line.replace(mark, f"]\\{mark[1]}")
    line = line.replace("://", ":\\//").replace("www.", "www\\.")
    # A list mark or an underline at the start of a line.
    return re.sub(r"^(\d*)([-+=.)])(?=[-+=\s]|$)", r"\1\\\2", line)


def markdown_grid(grid: Grid) -> str:
    """A pipe table; groups stand before the headings, as pipe tables have one line of them."""

    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(markdown_text(cell) for cell in cells) + " |"

    return "\n".join(
        (line(grid.flat_header()), "| " + " | ".join("---" for _ in grid.header) + " |", *map(line, grid.rows))
    )


def _printed(section: Section) -> tuple[Grid, ...]:
    return section.grids if section.only_figure else (*section.grids, *section.instead)


def markdown_report(document: Document) -> str:
    """The whole page. Sections of figures appear as the table of what the figure shows."""
    blocks = [f"# {markdown_text(document.title)}", f"**{markdown_text(document.lead)}**"]
    blocks += map(markdown_text, document.words)
    for section in document.sections:
        grids = _printed(section)
        if not grids and section.only_figure:
            continue
        blocks.append(f"## {markdown_text(section.title)}")
        blocks += map(markdown_text, section.words)
        for grid in grids:
            if grid.caption != section.title and len(grids) > 1:
                blocks.append(f"### {markdown_text(grid.caption)}")
            blocks.append(markdown_grid(grid))
    return "\n\n".join(blocks) + "\n"


def latex_text(text: str) -> str:
    """Text that LaTeX prints as it stands, on one line."""
    # Digests and paths are too long for a line; two hyphens would become a dash, which breaks copied commands.
    pieces = [re.findall(".{1,24}", word) for word in plain(text).split()]
    line = " ".join(r"\allowbreak{}".join("".join(map(_latex_sign, piece)) for piece in word) for word in pieces)
    return re.sub("-(?=-)", "-{}", line)


def _latex_sign(sign: str) -> str:
    return _LATEX.get(sign, sign)


def _latex_row(cells: tuple[str, ...]) -> str:
    texts = [latex_text(cell) for cell in cells]
    # After \\ a bracket or star would be read as its argument.
    if texts[0].startswith(("[", "*")):
        texts[0] = "{}" + texts[0]
    return " & ".join(texts) + r" \\"


def latex_grid(grid: Grid, label: str) -> str:
    """A floating booktabs table. label : after "tab:", letters, digits and hyphens."""
    count = len(grid.header)
    # The other columns hold names and numbers and take about a quarter of the line each.
    width = (1 - 0.28 * (count - grid.prose)) / max(grid.prose, 1)
    columns = "l" * (count - grid.prose) + rf"p{{{max(width, 0.2):.2f}\linewidth}}" * grid.prose
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text(grid.caption)}}}", rf"\label{{tab:{label}}}"]
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    if grid.groups:
        spans, rules, at = [], [], 1
        for text, span in grid.groups:
            spans.append(rf"\multicolumn{{{span}}}{{c}}{{{latex_text(text)}}}" if text else " & " * (span - 1))
            if text:
                rules.append(rf"\cmidrule(lr){{{at}-{at + span - 1}}}")
            at += span
        lines += [" & ".join(spans) + r" \\", "".join(rules)]
    lines += [_latex_row(grid.header), r"\midrule", *map(_latex_row, grid.rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def latex_report(document: Document) -> str:
    """All tables, for \\input; the head says which packages they need. Labels are "tab:NAME-SECTION"."""
    name = re.sub("[^a-z0-9]+", "-", document.name.lower()).strip("-")[:40] or "report"
    blocks = [
        r"% Tables for \input; needs \usepackage{booktabs} and \usepackage[T1]{fontenc}; other scripts need XeLaTeX.",
        "% " + latex_text(document.title),
        "% " + latex_text(document.lead),
    ]
    for section in document.sections:
        for number, grid in enumerate(_printed(section), 1):
            blocks.append(latex_grid(grid, f"{name}-{section.key}" + (f"-{number}" if number > 1 else "")))
    return "\n\n".join(blocks) + "\n"
