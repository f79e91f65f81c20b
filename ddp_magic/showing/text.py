"""--show as plain text, for terminals, logs and `text/plain`; runs in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.views import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.showing.inventory import Inventory, Row
    from ddp_magic.showing.sections import Section

__all__ = ["text"]

_HEADS = ("name", "how", "size", "from", "what", "why not by source")
_WIDEST = 44
"""Characters of a column but the last."""


def text(inventory: Inventory, colour: Callable[[str], str] = escape.plain) -> str:
    """Return the text: summary, table, lists, the module.

    Args:
        inventory: What is shown.
        colour: What is done to the module's text.
    """
    module = colour(inventory.code).rstrip("\n")
    parts = [
        f"%%ddp --show {inventory.title}\n{inventory.summary}",
        _table(inventory.rows),
        *map(_section, inventory.sections),
    ]
    shown = [escape.plain(part) for part in parts if part]
    return "\n\n".join([*shown, f"The module:\n\n{module}"]) + "\n"


def _table(rows: tuple[Row, ...]) -> str:
    cells = [(r.name, r.how, r.size, r.origin, r.what, r.why) for r in rows]
    if not cells:
        return ""
    table = [_HEADS, *([escape.line(text, 300) for text in row] for row in cells)]
    used = [at for at in range(len(_HEADS)) if any(row[at] for row in table[1:])]
    widths = {at: min(max(len(row[at]) for row in table), _WIDEST) for at in used[:-1]}
    lines: list[str] = []
    for row in table:
        shown = [_padded(row[at], widths[at], right=at == 2) for at in used[:-1]]
        lines.append("  ".join([*shown, row[used[-1]]]).rstrip())
    return "\n".join(lines)


def _padded(cell: str, width: int, *, right: bool) -> str:
    cell = escape.clip(cell, width)
    return cell.rjust(width) if right else cell.ljust(width)


def _section(section: Section) -> str:
    entries = [f"{e.lead}{': ' if e.lead and e.text else ''}{e.text}" for e in section.entries]
    return "\n".join([f"{section.title}:", *(f"  {escape.line(e, 1000)}" for e in entries)])
