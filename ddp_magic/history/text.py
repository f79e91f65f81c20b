"""Runs in the kernel: pages of the history as plain text, for terminals, diffs and `text/plain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.history.blocks import DIFF_LINES, Cell, Chart, Code, Diff, Table
from ddp_magic.views import escape
from ddp_magic.views.chart import sparkline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ddp_magic.history.blocks import Block

__all__ = ["text"]

_WIDEST = 40
"""Characters of a column."""


def text(blocks: Iterable[Block]) -> str:
    """Return a page."""
    return "\n".join(part for part in map(_block, blocks) if part) + "\n"


def _block(block: Block) -> str:
    match block:
        case Table():
            return f"\n{_table(block)}\n"
        case Chart():
            return "\n".join(_curves(block))
        case Code():
            return f"\n{block.title}:\n\n{escape.plain(block.text).rstrip()}" if block.text else ""
        case Diff():
            lines = [escape.line(block.title), *map(_whole, block.lines[:DIFF_LINES])]
            left = len(block.lines) - DIFF_LINES
            return "\n".join(["", *lines, *([f"… {left} more lines"] if left > 0 else [])])
        case _:
            return escape.line(block.text, 1000)


def _table(table: Table) -> str:
    rows = [list(table.heads), *(list(map(_cell, row)) for row in table.rows)]
    rows = [[escape.clip(escape.line(cell, 300), _WIDEST) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(table.heads))]
    lines: list[str] = []
    for row in rows:
        cells = (
            cell.rjust(width) if at in table.right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _cell(cell: Cell) -> str:
    return (sparkline(cell.curve) if cell.curve else "") or cell.text


def _curves(block: Chart) -> Iterable[str]:
    title = escape.line(block.title, 40)
    names = [escape.line(curve.name, 40) for curve in block.curves]
    width = max(map(len, names))
    together = [value for curve in block.curves for value in curve.y]
    for name, curve in zip(names, block.curves, strict=True):
        drawn = sparkline(curve.y, 48, together)
        if drawn:
            yield f"{title}  {drawn}" if name == title else f"{title}  {name:<{width}}  {drawn}"


def _whole(line: str) -> str:
    """Return a line of code with its indent."""
    return escape.plain(line).replace("\n", " ")
