"""Tables on a terminal: they fit into its lines, and no column and no row that says something is lost."""

from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.cli.report import pieces
from whodrives.evaluation.report.document import Grid

FIGURE = "0.612 [0.502, 0.701] (3 seeds, 0.590 to 0.634)"


def wide(rows: int) -> Grid:
    """Nine columns; in the last row only its status is told."""
    header = ("row", "status", *["ours, simulated", "published, NVFAIR"] * 3, "ours, simulated")
    filled = [(f"resnet18_released, {n}", "measured", *[FIGURE, "0.877"] * 3, FIGURE) for n in range(rows - 1)]
    waiting = ("resnet18, static", "not run (estimated 3.2 h)", *["–"] * 7)
    groups = (("", 2), ("overall", 2), ("warp", 2), ("mesh", 2), ("Eq. 1", 1))
    return Grid("t", header, (*filled, waiting), groups)


def room(widths: list[int]) -> int:
    return sum(widths) + 3 * len(widths) + 1


def test_a_wide_table_of_many_rows_is_printed_a_few_columns_at_a_time() -> None:
    grid = wide(9)
    found = list(pieces(grid, 80))
    header = grid.flat_header()
    assert [name for head, _, _ in found for name in head[1:]] == list(header[1:])
    for head, rows, widths in found:
        assert widths is not None
        assert room(widths) <= 80
        assert head[0] == "row"
        assert all(len(row) == len(head) == len(widths) for row in rows)
    # Status first, once a row; behind it the rows that have something to say.
    head, rows, _ = found[0]
    assert head[1] == "status"
    assert rows[-1][:2] == ("resnet18, static", "not run (estimated 3.2 h)")
    assert [len(rows) for _, rows, _ in found] == [9, *[8] * (len(found) - 1)]
    assert sum(cell.startswith("not run") for _, rows, _ in found for row in rows for cell in row) == 1
    # Ours and the published figures of one column stand side by side.
    assert any(head[1:3] == ("overall: ours, simulated", "overall: published, NVFAIR") for head, _, _ in found)


def test_what_fits_is_whole_and_what_is_wide_and_low_is_turned() -> None:
    grid = wide(3)
    assert list(pieces(grid, 500)) == [(grid.flat_header(), grid.rows, None)]
    (header, rows, widths) = next(pieces(grid, 120))
    assert (header, widths) == (("row", "resnet18_released, 0", "resnet18_released, 1", "resnet18, static"), None)
    assert [row[0] for row in rows] == list(grid.flat_header()[1:])


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(30, 200))
def test_no_cell_is_lost(columns: int, count: int, width: int) -> None:
    header = ("row", *(f"c{n}" for n in range(columns)))
    rows = tuple((f"r{m}", *(f"0.{m}{n} {FIGURE}" for n in range(columns))) for m in range(count))
    cells = {cell for _, found, _ in pieces(Grid("t", header, rows), width) for row in found for cell in row}
    heads = {name for head, found, _ in pieces(Grid("t", header, rows), width) for name in head}
    assert {cell for row in rows for cell in row} <= cells | heads
