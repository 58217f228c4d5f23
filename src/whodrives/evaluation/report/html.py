"""A report as one HTML page: no scripts, nothing loaded from elsewhere, readable in dark and light and on paper."""
# ruff: noqa: E501

from __future__ import annotations

import numpy as np

from whodrives.evaluation.report.contents import by_value
from whodrives.evaluation.report.document import Document, Grid, Section
from whodrives.evaluation.report.figures import (
    bars_figure,
    det_figure,
    histogram_figure,
    matrix_figure,
    roc_figure,
    scaling_figure,
)
from whodrives.evaluation.report.panels import panels_figure
from whodrives.evaluation.report.result import EvaluationResult, Result, TableResult
from whodrives.evaluation.report.shared import by_amount
from whodrives.evaluation.report.svg import COLOURS, escaped

# Tables up to this many rows stand open below their figure.
OPEN_ROWS = 12
_LIGHT = ";".join(f"--c{number}:{value}" for number, value in enumerate(COLOURS))
_DARK = ";".join(
    f"--c{number}:{value}"
    for number, value in enumerate(("#56b4e9", "#ff9a56", "#3fcf9f", "#e79cc2", "#e3c74a", "#bbbbbb"))
)
_STYLE = f"""
:root{{color-scheme:light dark;--ink:#222;--paper:#fff;--faint:#555;--rule:#ccc;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{--ink:#e6e6e6;--paper:#17191c;--faint:#aaa;--rule:#444;{_DARK}}}}}
body{{font:16px/1.5 system-ui,sans-serif;max-width:1240px;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--paper)}}
h1{{font-size:1.7rem;overflow-wrap:anywhere}}h2{{font-size:1.2rem;margin-top:2.2rem}}.lead{{font-size:1.3rem;font-weight:600}}
.scroll{{overflow-x:auto}}table{{border-collapse:collapse;margin:.6rem 0}}caption{{text-align:left;color:var(--faint);font-size:.9rem}}
td,th{{padding:.3rem .7rem;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top;font-size:.92rem}}
thead th{{border-bottom:2px solid var(--rule)}}tbody th{{font-weight:400}}td{{font-variant-numeric:tabular-nums}}
.provenance td{{overflow-wrap:anywhere;font-family:ui-monospace,monospace;font-size:.85rem}}
.note,summary{{color:var(--faint);font-size:.92rem}}figure{{margin:0}}svg{{max-width:100%;height:auto}}p{{max-width:62rem}}
@media print{{:root{{color-scheme:light;--ink:#000;--paper:#fff;--faint:#333;--rule:#999;{_LIGHT}}}
body{{max-width:none;margin:0;font-size:11pt}}figure,tr{{break-inside:avoid}}h2{{break-after:avoid}}
*{{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
details::details-content{{content-visibility:visible;display:block;block-size:auto}}}}
"""


def figures(result: Result) -> dict[str, list[str]]:
    """SVG by the section it belongs to; sections without what they need are not named."""
    drawn: dict[str, list[str]] = {}
    if isinstance(result, EvaluationResult):
        if result.curves is not None:
            drawn["det"] = [det_figure(result.curves.det, result.n_pairs, result.eer)]
            drawn["roc"] = [roc_figure(result.curves.roc)]
        if result.auc.per_target:
            bars = by_value(result.auc.per_target)
            mean = float(np.mean([value for _, value in bars]))
            drawn["targets"] = [bars_figure("targets", "AUC by target", "AUC", bars, mean, chance=0.5, full=1.0)]
        if result.histograms is not None:
            drawn["scores"] = [histogram_figure(result.histograms)]
    if isinstance(result, TableResult) and result.panels:
        drawn["panels"] = [panels_figure(result.panels)]
    if result.matrix is not None:
        more = result.more_matrices if isinstance(result, TableResult) else ()
        drawn["matrix"] = [matrix_figure(result.matrix)]
        drawn["matrix"] += [matrix_figure(one, f"matrix-{number}") for number, one in enumerate(more, 2)]
    if result.scaling:
        groups = by_amount(result.scaling).values()
        drawn["scaling"] = [scaling_figure(group, f"scaling-{number}") for number, group in enumerate(groups)]
    if result.motion_ratio:
        ratios = [(name, one.ratio) for name, one in result.motion_ratio.items()]
        drawn["motion"] = [bars_figure("motion", "Motion ratio", "motion ratio", ratios, digits=4)]
    return drawn


def html_grid(grid: Grid, key: str = "") -> str:
    """A table; the first cell of a row heads it, groups span the headings below them."""
    head = ""
    if grid.groups:
        cells = "".join(
            f'<th scope="colgroup" colspan="{span}">{escaped(text)}</th>' if text else f'<td colspan="{span}"></td>'
            for text, span in grid.groups
        )
        head = f"<tr>{cells}</tr>"
    head += "<tr>" + "".join(f'<th scope="col">{escaped(name)}</th>' for name in grid.header) + "</tr>"
    body = "".join(
        f'<tr><th scope="row">{escaped(row[0])}</th>'
        + "".join(f"<td>{escaped(cell)}</td>" for cell in row[1:])
        + "</tr>\n"
        for row in grid.rows
    )
    return (
        f'<div class="scroll"><table class="{escaped(key)}"><caption>{escaped(grid.caption)}</caption>'
        f"<thead>{head}</thead><tbody>\n{body}</tbody></table></div>"
    )


def _section(section: Section, drawn: list[str]) -> str:
    parts = [f'<section id="{escaped(section.key)}"><h2>{escaped(section.title)}</h2>']
    parts += [f'<p class="note">{escaped(words)}</p>' for words in section.words]
    parts += [html_grid(grid, section.key) for grid in section.grids]
    parts += [f"<figure>{one}</figure>" for one in drawn]
    for grid in section.instead:
        opened = " open" if len(grid.rows) <= OPEN_ROWS else ""
        parts.append(f"<details{opened}><summary>The figure as a table: {escaped(grid.caption)}</summary>")
        parts.append(html_grid(grid, section.key) + "</details>")
    return "\n".join([*parts, "</section>"])


def html_report(result: Result, document: Document) -> str:
    """The page. Its policy forbids a browser to load anything, whatever the names in it say."""
    drawn = figures(result)
    sections = "\n".join(_section(section, drawn.get(section.key, [])) for section in document.sections)
    words = "\n".join(f"<p>{escaped(words)}</p>" for words in document.words)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escaped(document.title)}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>
<header><h1>{escaped(document.title)}</h1>
<p class="lead">{escaped(document.lead)}</p>
{words}</header>
<main>
{sections}
</main></body></html>
"""
