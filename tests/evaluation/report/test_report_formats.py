"""Markdown, LaTeX and HTML: hostile names stay text, published figures keep to their columns, pages stay offline."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from report_examples import HOSTILE, bare, full, panel, provenance, table
from whodrives.evaluation.report import parts
from whodrives.evaluation.report.comparison import PUBLISHED, STATUS, comparison_grid, row_status
from whodrives.evaluation.report.contents import control_words
from whodrives.evaluation.report.html import html_report
from whodrives.evaluation.report.result import Cell, Result, Row, TableResult
from whodrives.evaluation.report.tables import latex_grid, latex_report, latex_text, markdown_report, markdown_text
from whodrives.evaluation.report.write import document_of

RESULTS = {
    "full": full(),
    "hostile": full(HOSTILE),
    "bare": bare(),
    "table": table(),
    "hostile table": table(HOSTILE),
    "table with figures": replace(
        table(),
        matrix=full().matrix,
        more_matrices=(replace(full().matrix, protocol=HOSTILE),),
        scaling=full().scaling,
        motion_ratio=full().motion_ratio,
        panels=(panel(), panel(HOSTILE)),
    ),
}
VOID = {"meta", "br", "img", "hr", "input", "link"}


class Page(HTMLParser):
    """Tags that must balance, every attribute, and the tables as lists of rows of (heading?, text)."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.cell = 0
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = len(self.tables[-1][-1])
            self.tables[-1][-1] += [""] * int(dict(attrs).get("colspan") or 1)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][self.cell] += data


def page_of(result: Result) -> str:
    return html_report(result, document_of(result))


def braces(text: str) -> int:
    """Depth at the end of LaTeX source; comments and escaped braces do not count. Fails where it falls below 0."""
    depth = 0
    source = re.sub(r"\\[\\{}%]", "", text)
    for line in source.splitlines():
        for sign in line.split("%")[0]:
            depth += {"{": 1, "}": -1}.get(sign, 0)
            assert depth >= 0
    return depth


@pytest.mark.parametrize("name", RESULTS)
def test_html_is_balanced_offline_and_without_scripts(name: str) -> None:
    text = page_of(RESULTS[name])
    page = Page(text)
    tags = {tag for tag, _, _ in page.attributes}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a", "use", "image"}
    for tag, attribute, value in page.attributes:
        assert not attribute.startswith("on")
        assert attribute not in ("src", "href", "xlink:href", "srcset", "action", "data")
        if re.search(r"https?://|//", value):
            assert (tag, attribute, value) == ("svg", "xmlns", "http://www.w3.org/2000/svg")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {"#det-area", "#roc-area", "#scores-area"}
    assert "default-src 'none'" in text
    names = [value for _, attribute, value in page.attributes if attribute == "id"]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", RESULTS)
def test_svg_is_xml_with_title_description_and_a_table_beside(name: str) -> None:
    text = page_of(RESULTS[name])
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    for one in drawn:
        root = ET.fromstring(one)
        first, second = list(root)[:2]
        assert first.tag.endswith("title")
        assert first.text
        assert second.tag.endswith("desc")
        assert second.text
        assert root.get("aria-labelledby") == f"{first.get('id')} {second.get('id')}"
    sections = re.findall(r"<section.*?</section>", text, re.DOTALL)
    assert all("<details" in one and "<table" in one for one in sections if "<svg" in one)
    expected = {"full": 8, "hostile": 8, "table with figures": 6}
    assert len(drawn) == expected.get(name, 0)


def test_html_shows_hostile_names_as_text() -> None:
    for result in (RESULTS["hostile"], RESULTS["hostile table"]):
        text = page_of(result)
        assert "<script" not in text
        shown = HOSTILE.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
        assert any(shown in words for words in Page(text).words)
        text.encode("utf-8")


def test_order_of_the_page() -> None:
    result = full()
    text = page_of(result)
    first = text.index(
        f"AUC {result.auc.overall:.3f} [{result.auc.ci95[0]:.3f}, {result.auc.ci95[1]:.3f}] (per_target_mean)"
    )
    places = [
        text.index(f'<section id="{key}"') for key in ("protocols", "controls", "verification", "det", "provenance")
    ]
    assert [first, *places] == sorted([first, *places])
    assert text.rindex("<section") == places[-1]
    assert "540 videos, 20 drivers, 25 targets; 600 genuine pairs and 4,000 impostor pairs" in text


@pytest.mark.parametrize("name", ["full", "bare"])
def test_both_protocols_stand_side_by_side(name: str) -> None:
    result = RESULTS[name]
    first = Page(page_of(result)).tables[0]
    assert first[0] == ["", "per_target_mean", "cross_target"]
    expected = {"full": "0.812 [0.770, 0.860]", "bare": "–"}
    assert first[1][2] == expected[name]
    assert "| per_target_mean | cross_target |" in markdown_report(document_of(result))
    assert r"per\_target\_mean & cross\_target \\" in latex_report(document_of(result))
    if name == "bare":
        assert ["note", "–", "needs a driver on two targets"] in first


def test_missing_parts_are_left_out_and_missing_controls_are_said() -> None:
    document = document_of(bare())
    assert [one.key for one in document.sections] == ["protocols", "controls", "verification", "provenance"]
    for text in (page_of(bare()), markdown_report(document)):
        assert "No control was run" in text
        assert "not recorded" in text
        assert "None" not in text


def test_untrained_controls_print_no_auc() -> None:
    assert control_words(parts.Control(0.4321, (0.4, 0.5), True, 0.61)) == "not trained (training AUC 0.61)"
    assert control_words(parts.Control(0.4321, training_auc=0.8)) == "0.432"
    assert control_words(parts.Control(0.4321, trained=False)) == "not trained (training AUC not known)"
    assert control_words(parts.Control(0.5011)) == "0.501"
    for text in (page_of(full()), markdown_report(document_of(full())), latex_report(document_of(full()))):
        assert "not trained (training AUC 0.61)" in text
        assert "0.432" not in text
        assert "0.765" not in text


NUMBERS = st.none() | st.floats(0, 0.4).map(lambda value: round(value, 3))
STATUSES = st.sampled_from(["ok", "ok", "not run (estimated 3 h)", "not trained (training AUC 0.61)"])


@st.composite
def tables(draw: st.DrawFn) -> TableResult:
    """Tables where ours lie in 0..0.4 and published figures in 0.5..0.9, so that each number tells whose it is."""
    columns = tuple(draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)))
    rows = []
    for number in range(draw(st.integers(1, 4))):
        cells = {}
        for name in columns:
            status = draw(STATUSES)
            value = None if status.startswith("not run") else draw(NUMBERS)
            published = draw(st.none() | st.floats(0.5, 0.9))
            if status != "ok" or value is not None or published is not None:
                cells[name] = Cell(value, published=published, status=status)
        rows.append(Row(f"row {number}", cells))
    return TableResult("t", "title", columns, tuple(rows), provenance(draw(st.sampled_from(["simulated", "NVFAIR"]))))


@settings(deadline=None, max_examples=100)
@given(tables())
def test_ours_and_published_never_share_a_column(result: TableResult) -> None:
    grid = comparison_grid(result)
    ours = f"ours, {result.provenance.data_kind}"
    above = [text for text, span in grid.groups for _ in range(span)]
    assert len(above) == len(grid.header) == len(grid.flat_header())
    told = [row_status(row) for row in result.rows]
    assert (STATUS in grid.header) == any(told)
    first = 1
    if any(told):
        first = 2
        assert grid.header[1] == STATUS
        for row, texts, status in zip(result.rows, grid.rows, told):
            ours_there = any(cell.value is not None for cell in row.cells.values())
            assert texts[1] == (status or ("measured" if ours_there else "–"))
            # Said once.
            assert not status or texts.count(status) == 1
    assert set(grid.header[first:]) <= {ours, PUBLISHED}
    for column in range(first, len(grid.header)):
        for row, texts, status in zip(result.rows, grid.rows, told):
            cell, text = row.cells.get(above[column]), texts[column]
            if grid.header[column] == PUBLISHED:
                assert text == ("–" if cell is None or cell.published is None else f"{cell.published:.3f}")
            elif cell is None:
                assert text == "–"
            elif cell.status != "ok":
                assert text == ("–" if cell.status == status else cell.status)
            else:
                assert text == ("–" if cell.value is None else f"{cell.value:.3f}")
    # Nothing is lost: each published figure and each of ours stands in a column of its own.
    for name in result.columns:
        cells = [row.cells[name] for row in result.rows if name in row.cells]
        heads = {head for head, group in zip(grid.header, above) if group == name}
        assert (PUBLISHED in heads) == any(cell.published is not None for cell in cells)
        assert ours in heads or not any(cell.value is not None or cell.status != "ok" for cell in cells)


@pytest.mark.parametrize("kind", ["simulated", "NVFAIR"])
def test_headings_say_whose_figures_they_are_in_every_format(kind: str) -> None:
    result = table(kind=kind)
    document = document_of(result)
    html_rows = Page(page_of(result)).tables[0]
    assert html_rows[0] == ["", "", "overall", "", "mesh", "FV2V", "keypoint", ""]
    ours = f"ours, {kind}"
    assert html_rows[1] == ["row", "status", ours, PUBLISHED, ours, PUBLISHED, ours, PUBLISHED]
    assert html_rows[2] == ["feat_diff", "measured", "0.749 [0.688, 0.806] (2 seeds, 0.740 to 0.758)", "0.877", "0.700", "0.869", "0.612", "0.880"]  # fmt: skip # noqa: E501
    assert html_rows[3] == ["pixel_diff", "not run (estimated 12 h)", "–", "0.861", "–", "–", "–", "–"]
    assert html_rows[4][1:4] == ["not trained (training AUC 0.61)", "–", "0.610"]
    assert f"| row | status | overall: {ours} | overall: {PUBLISHED} | mesh: {ours} |" in markdown_report(document)
    tex = latex_report(document)
    assert r" & \multicolumn{2}{c}{overall} & \multicolumn{1}{c}{mesh} & " in tex
    assert rf"row & status & {ours} & {PUBLISHED} & {ours} & {PUBLISHED} & {ours} & {PUBLISHED} \\" in tex
    assert document.lead == "3 figures measured, 1 row not run, 1 row not trained"
    assert ("on other videos" in markdown_report(document)) == (kind != "NVFAIR")
    assert "0.543" not in markdown_report(document)


def test_a_row_says_once_why_it_has_no_figures() -> None:
    waiting, other = "not run (estimated 3.2 h)", "not run (estimated 9.0 h)"
    row = Row("r", {"a": Cell(status=waiting), "b": Cell(status=waiting), "c": Cell(published=0.6, status=other)})
    result = TableResult("t", "title", ("a", "b", "c"), (row,), provenance())
    assert comparison_grid(result).rows == (("r", waiting, "–", "–", other, "0.600"),)
    # A row with a figure keeps what is missing in its place.
    part = replace(row, cells={**row.cells, "a": Cell(0.5)})
    assert comparison_grid(replace(result, rows=(part,))).rows == (("r", "0.500", waiting, other, "0.600"),)


def test_provenance_says_how_much_of_a_digest_it_gives() -> None:
    origin = replace(provenance(), weights_sha256="0123456789abcdef", data_sha256="cd" * 32, seed=(1, 2))
    text = markdown_report(document_of(replace(table(), provenance=origin)))
    assert "| weights, SHA-256 (first 16 digits) | 0123456789abcdef |" in text
    assert f"| data, SHA-256 | {'cd' * 32} |" in text
    assert "| training seed | 1, 2 |" in text


def test_figures_of_panels_stand_in_columns_by_whose_they_are() -> None:
    rows = Page(page_of(RESULTS["table with figures"])).tables[0]
    assert rows[0] == ["panel", "tested on", "ours, simulated", "published, NVFAIR: NVFAIR baseline"]
    assert rows[1] == ["trained on warp", "warp", "0.700 [0.600, 0.800]", "0.870"]
    assert rows[2] == ["trained on warp", "mesh", "–", "0.840"]


@pytest.mark.parametrize("name", RESULTS)
def test_latex_is_balanced(name: str) -> None:
    text = latex_report(document_of(RESULTS[name]))
    assert braces(text) == 0
    begun, ended = re.findall(r"\\begin\{(\w+)\}", text), re.findall(r"\\end\{(\w+)\}", text)
    assert sorted(begun) == sorted(ended)
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(labels) == len(set(labels))
    for body in re.findall(r"\\midrule\n(.*?)\n\\bottomrule", text, re.DOTALL):
        counts = {len(re.findall(r"(?<!\\)&", row)) for row in body.splitlines()}
        assert len(counts) == 1
    assert r"\input{" not in text.split("\n", 1)[1]


TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("\\&%$#_{}~^<>|`*[]()!-.\n"), max_size=60)
UNSAFE = re.compile(r"(?<!\\)[&%#_]")


@settings(deadline=None)
@given(TEXTS)
def test_latex_text_has_no_command_of_the_user(text: str) -> None:
    latex = latex_text(text)
    assert braces(latex + "\n") == 0
    assert not UNSAFE.search(latex)
    assert "\n" not in latex
    assert "--" not in latex
    commands = set(re.findall(r"\\([a-zA-Z]+)", latex))
    assert commands <= {"textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar",
                        "textquotedbl", "textasciigrave", "textendash", "Vert", "ldots", "allowbreak"}  # fmt: skip
    assert latex.count("$") % 2 == latex.count(r"\$") % 2


def test_latex_by_hand() -> None:
    assert latex_text("100% & a_b {c} #1 $x$") == r"100\% \& a\_b \{c\} \#1 \$x\$"
    assert latex_text("--split ---") == "-{}-split -{}-{}-"
    assert latex_text("a\\b~c^d") == r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d"
    assert latex_text("0" * 30) == "0" * 24 + r"\allowbreak{}" + "0" * 6
    grid = replace(comparison_grid(table()), rows=(("[1] row", *["x"] * 7), ("*", *["x"] * 7)))
    assert "\n{}[1] row & x" in latex_grid(grid, "a")
    assert "\n{}* & x" in latex_grid(grid, "a")


@settings(deadline=None)
@given(TEXTS)
def test_markdown_text_stays_one_harmless_line(text: str) -> None:
    line = markdown_text(text)
    assert "\n" not in line
    assert not re.search(r"[<>]", line)
    bare_signs = re.sub(r"\\[\W_]", "", line)
    assert not re.search(r"[|`*~#$!]|\]\(|\]\[|\]:|://", bare_signs)


def test_markdown_by_hand() -> None:
    assert (
        markdown_text("a|b *c* `d` <e> & [f](g) _h_ i_j")
        == "a\\|b \\*c\\* \\`d\\` &lt;e&gt; &amp; [f]\\(g) \\_h\\_ i_j"
    )
    assert markdown_text("0.749 [0.688, 0.806]") == "0.749 [0.688, 0.806]"
    assert markdown_text("- a") == "\\- a"
    assert markdown_text("1. a") == "1\\. a"
    assert markdown_text("-0.3") == "-0.3"


@pytest.mark.parametrize("name", RESULTS)
def test_markdown_tables_keep_their_columns(name: str) -> None:
    text = markdown_report(document_of(RESULTS[name]))
    for block in text.split("\n\n"):
        if block.startswith("|"):
            counts = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in block.splitlines()}
            assert len(counts) == 1
        else:
            assert "\n" not in block.rstrip("\n")
