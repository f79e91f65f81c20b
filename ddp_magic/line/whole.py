"""Where a %%ddp line stands in its cell; runs in the kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext

__all__ = ["below", "ddp_line", "magic_first"]


def ddp_line(context: CompletionContext) -> str:
    """Return the %%ddp line up to the cursor; empty where the cursor is not on it."""
    above = context.full_text.split("\n")[: context.cursor_line]
    lines = magic_first([*above, context.text_until_cursor])
    if not re.match(r"%%ddp\s", lines[0]) or not all(n.endswith("\\") for n in lines[:-1]):
        return ""
    return " ".join([*(line[:-1] for line in lines[:-1]), lines[-1]])


def below(context: CompletionContext) -> str:
    """Return the cell below the %%ddp line that the cursor is on."""
    lines = context.full_text.split("\n")[context.cursor_line :]
    while lines and lines[0].endswith("\\"):
        del lines[0]
    return "\n".join(lines[1:])


def magic_first(lines: list[str]) -> list[str]:
    """Drop comments and blank lines above ``%%ddp``, where IPython takes no cell magic."""
    for number, line in enumerate(lines):
        if line.startswith("%%ddp") and line[5:6] in ("", " ", "\t", "\n"):
            return lines[number:]
        if line.strip() and not line.startswith("#"):
            break
    return lines
