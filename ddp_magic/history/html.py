"""Runs in the kernel: pages of the history as HTML that needs no script and no style.

As in --show: JupyterLab's variables with middle tones behind them; where a notebook is not trusted
the styles go, and tables, bold text and images stay. What is not ours and has a ``$`` stands in
code elements, where no page typesets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.history.blocks import DIFF_LINES, Cell, Chart, Code, Diff, Table
from ddp_magic.showing.colours import code_html, rules
from ddp_magic.views import escape
from ddp_magic.views.chart import chart, image, spark
from ddp_magic.views.colour import STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ddp_magic.history.blocks import Block, Words

__all__ = ["html"]

_LONGEST = 70
"""Characters of a cell of a table."""
_SHORT = 24
"""Characters that are not broken into lines."""
_STYLE = (
    """<style>
.ddp-runs.ddp-runs{font-size:var(--jp-ui-font-size1,13px);line-height:1.5}
.ddp-runs.ddp-runs code,.ddp-runs.ddp-runs pre{font-family:var(--jp-code-font-family,monospace);
  font-size:12px;border:0;color:inherit;overflow-wrap:anywhere}
.ddp-runs.ddp-runs .t{max-height:60em;overflow:auto;margin:6px 0}
.ddp-runs.ddp-runs table{border-collapse:collapse;border:0;margin:0;font-size:12px}
.ddp-runs.ddp-runs caption{text-align:left;font-weight:bold;padding:2px 0;color:inherit}
.ddp-runs.ddp-runs thead{border:0}
.ddp-runs.ddp-runs th,.ddp-runs.ddp-runs td{vertical-align:top;padding:2px 14px 2px 0;border:0;
  max-width:26em;white-space:normal;font-weight:normal;font-variant-numeric:tabular-nums}
.ddp-runs.ddp-runs thead th{opacity:.7;white-space:nowrap}
.ddp-runs.ddp-runs tbody tr:nth-child(n){background:none;
  border-top:1px solid var(--jp-border-color2,#8b949e40)}
.ddp-runs.ddp-runs img{max-width:100%;height:auto;margin:0;vertical-align:middle}
.ddp-runs.ddp-runs .w,.ddp-runs.ddp-runs .w code{white-space:nowrap}
.ddp-runs.ddp-runs .i img{margin:4px 16px 4px 0}
.ddp-runs.ddp-runs summary{cursor:pointer}
.ddp-runs.ddp-runs pre{max-height:32em;overflow:auto;margin:4px 0 8px;padding:2px 0 2px 10px;
  line-height:1.4;white-space:pre;border-left:2px solid var(--jp-border-color2,#8b949e66)}
"""
    + rules(".ddp-runs")
    + "</style>"
)
_BARE = "background:none;padding:0"
_SIGNS = {"+": "#1f883d", "-": "#e0323c", "@": "#7a7f87"}
_FAINT = "opacity:.7"


def html(blocks: Iterable[Block]) -> str:
    """Return a page."""
    return "\n".join([f'<div class="ddp-runs">{_STYLE}', *map(_block, blocks), "</div>"])


def _block(block: Block) -> str:
    match block:
        case Table():
            return _table(block)
        case Chart():
            return _chart(block)
        case Code():
            return _code_block(block)
        case Diff():
            return _diff(block)
        case _:
            return _words(block)


def _words(words: Words) -> str:
    text = escape.line(words.text, 1000)
    if words.style == "title":
        return f"<div><b>{_prose(text)}</b></div>"
    shown = _code(text) if words.style == "code" else _prose(text)
    return (
        f'<div style="{_FAINT}">{shown}</div>' if words.style == "faint" else f"<div>{shown}</div>"
    )


def _table(table: Table) -> str:
    heads = enumerate(map(escape.html, (escape.line(head, 40) for head in table.heads)))
    head = "".join(f'<th scope="col"{_side(at, table)}>{_typed(text)}</th>' for at, text in heads)
    body = "\n".join(_row(row, table) for row in table.rows)
    caption = f"<caption>{escape.html(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="t"><table>{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(row: Sequence[Cell], table: Table) -> str:
    first, *rest = row
    cells = [f'<th scope="row"{_side(0, table, first)}>{_cell(first)}</th>']
    cells += [f"<td{_side(at, table, cell)}>{_cell(cell)}</td>" for at, cell in enumerate(rest, 1)]
    return f"<tr>{''.join(cells)}</tr>"


def _side(at: int, table: Table, cell: Cell | None = None) -> str:
    kept = ' class="w"' if cell and len(cell.text) <= _SHORT else ""
    return f'{kept} style="text-align:{"right" if at in table.right else "left"}"'


def _cell(cell: Cell) -> str:
    text = escape.line(cell.text, _LONGEST)
    if cell.curve and (drawn := spark(cell.curve)):
        return image(drawn, text)
    match cell.style:
        case "code":
            return _code(text) if text else ""
        case "strong":
            return f"<b>{_prose(text)}</b>"
        case "faint":
            return f'<span style="{_FAINT}">{_prose(text)}</span>'
        case _ if cell.style in STATES:
            return f'<b style="color:{STATES[cell.style]}">{_prose(text)}</b>'
        case _:
            return _prose(text)


def _chart(block: Chart) -> str:
    title = escape.line(block.title, 40)
    names = ", ".join(escape.line(curve.name, 40) for curve in block.curves)
    drawn = chart(block.curves, title=title, width=470, height=190)
    alt = f"{title}: {names}" if names != title else f"the curve of {title}"
    return f'<span class="i">{image(drawn, alt)}</span>' if drawn else ""


def _code_block(block: Code) -> str:
    if not block.text.strip():
        return ""
    opened = " open" if block.opened else ""
    return (
        f"<details{opened}><summary>{_prose(block.title)}</summary>"
        f"<pre>{code_html(block.text)}</pre></details>"
    )


def _diff(block: Diff) -> str:
    lines = [_diff_line(line) for line in block.lines[:DIFF_LINES]]
    if len(block.lines) > DIFF_LINES:
        lines.append(f"… {len(block.lines) - DIFF_LINES} more lines")
    return (
        f"<details open><summary>{_prose(escape.line(block.title))}</summary>"
        f"<pre>{chr(10).join(lines)}</pre></details>"
    )


def _diff_line(line: str) -> str:
    shown = escape.html(escape.clip(line, 400).replace("\n", " "))
    colour = _SIGNS.get(line[:1])
    return f'<span style="color:{colour}">{shown}</span>' if colour else shown


def _code(text: str) -> str:
    return f'<code style="{_BARE}">{escape.html(text)}</code>'


def _prose(text: str) -> str:
    """Return text in the page's font; as code only where a page might typeset it."""
    return _typed(escape.html(text))


def _typed(shown: str) -> str:
    return f'<code style="{_BARE};font:inherit">{shown}</code>' if {"$", "\\"} & {*shown} else shown
