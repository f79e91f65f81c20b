"""--show as HTML that needs no script and reads well without its styles; runs in the kernel.

The styles are JupyterLab's variables with middle tones behind them for pages that have none (VS
Code, Colab); a notebook that is not trusted, or GitHub, drops them and shows bare tables. What is
not ours stands in code elements, where no page typesets a ``$``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.showing.colours import code_html, rules
from ddp_magic.views import escape

if TYPE_CHECKING:
    from ddp_magic.showing.inventory import Inventory, Row
    from ddp_magic.showing.sections import Section
    from ddp_magic.showing.surroundings import Entry

__all__ = ["page"]

_LINES_SHOWN = 30
"""A module of so many lines is not folded."""
_ENTRIES_SHOWN = 12
_COLUMNS = {
    "name": "name",
    "how": "how",
    "size": "size",
    "origin": "from",
    "what": "what",
    "why": "why not by source",
}
_STYLE = (
    """<style>
.ddp-show.ddp-show{font-size:var(--jp-ui-font-size1,13px);line-height:1.5}
.ddp-show.ddp-show code,.ddp-show.ddp-show pre{font-family:var(--jp-code-font-family,monospace);
  font-size:12px;border:0;color:inherit;overflow-wrap:anywhere}
.ddp-show.ddp-show code{white-space:pre-wrap}
.ddp-show.ddp-show .t{max-height:60em;overflow:auto;margin:6px 0}
.ddp-show.ddp-show table{border-collapse:collapse;border:0;margin:0;font-size:12px}
.ddp-show.ddp-show thead{border:0}
.ddp-show.ddp-show th,.ddp-show.ddp-show td{vertical-align:top;padding:2px 18px 2px 0;border:0;
  max-width:36em;white-space:normal}
.ddp-show.ddp-show th{font-weight:normal;opacity:.7}
.ddp-show.ddp-show tbody tr:nth-child(n){background:none;
  border-top:1px solid var(--jp-border-color2,#8b949e40)}
.ddp-show.ddp-show .w,.ddp-show.ddp-show .w code{white-space:nowrap}
.ddp-show.ddp-show summary{cursor:pointer}
.ddp-show.ddp-show ul{margin:2px 0 6px;padding-left:22px}
.ddp-show.ddp-show pre{max-height:32em;overflow:auto;margin:4px 0;padding:2px 0 2px 10px;
  line-height:1.4;white-space:pre;border-left:2px solid var(--jp-border-color2,#8b949e66)}
"""
    + rules(".ddp-show")
    + "</style>"
)
"""The class stands twice to come before JupyterLab's own rules for tables and code."""
_WIDE = {"name", "how", "size", "origin"}  # not broken
_BARE = "background:none;padding:0"  # inline: a page's own rules for code are strong
_LONGEST = {"name": 48, "origin": 48}


def page(inventory: Inventory) -> str:
    """Return the HTML: summary, table, lists, the module in a fold."""
    return "\n".join(
        [
            f'<div class="ddp-show">{_STYLE}',
            f"<div><b>%%ddp --show</b> {_prose(inventory.title)}</div>",
            f"<div>{_prose(inventory.summary)}</div>",
            _table(inventory.rows),
            *map(_section, inventory.sections),
            _module(inventory.code),
            "</div>",
        ]
    )


def _table(rows: tuple[Row, ...]) -> str:
    columns = [column for column in _COLUMNS if any(getattr(row, column) for row in rows)]
    if not columns:
        return ""
    head = "".join(f"<th{_css(column)}>{_COLUMNS[column]}</th>" for column in columns)
    body = [f"<tr>{''.join(_cell(row, column) for column in columns)}</tr>" for row in rows]
    return (
        f'<div class="t"><table><thead><tr>{head}</tr></thead>\n<tbody>'
        + "\n".join(body)
        + "</tbody></table></div>"
    )


def _cell(row: Row, column: str) -> str:
    text = escape.line(getattr(row, column), _LONGEST.get(column, 300))
    is_code = column == "name" or (column == "what" and row.is_code)
    shown = _code(text) if is_code else _prose(text)
    return f"<td{_css(column)}>{shown}</td>"


def _css(column: str) -> str:
    kept = ' class="w"' if column in _WIDE else ""
    return f'{kept} style="text-align:{"right" if column == "size" else "left"}"'


def _section(section: Section) -> str:
    count = len(section.entries)
    opened = " open" if count <= _ENTRIES_SHOWN else ""
    entries = "\n".join(f"<li>{_entry(entry)}</li>" for entry in section.entries)
    return (
        f"<details{opened}><summary>{_prose(section.title)}</summary><ul>{entries}</ul></details>"
    )


def _entry(entry: Entry) -> str:
    lead = _code(escape.line(entry.lead)) if entry.lead else ""
    text = _prose(escape.line(entry.text, 1000)) if entry.text else ""
    return f"{lead} {text}".strip()


def _module(code: str) -> str:
    lines = code.rstrip("\n").count("\n") + 1
    opened = " open" if lines <= _LINES_SHOWN else ""
    return (
        f"<details{opened}><summary>The module ({lines:,} lines)</summary>"
        f"<pre>{code_html(code)}</pre></details>"
    )


def _code(text: str) -> str:
    return f'<code style="{_BARE}">{escape.html(text)}</code>'


def _prose(text: str) -> str:
    """Return text in the page's font; as code only where a page might typeset it."""
    shown = escape.html(text)
    return (
        f'<code class="p" style="{_BARE};font:inherit">{shown}</code>'
        if set(text) & {"$", "\\"}
        else shown
    )
