"""The text of a %%ddp_setup cell: where its magic line stands; runs in the kernel."""

from __future__ import annotations

import linecache
import re
from typing import TYPE_CHECKING

from ddp_magic.collect import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["below", "commented", "filename", "listed", "opening", "rest", "said_somewhere", "seeds"]

_LINE = re.compile(r"[ \t]*%%ddp_setup(?=\s|$)(.*)")
_COMMENTED = "#%%ddp_setup"
_SEED = re.compile(r"seed\w*\s*\(")


def opening(lines: Sequence[str]) -> int | None:
    """Return where the magic line stands: first, or below comments."""
    for number, line in enumerate(lines):
        if _LINE.match(line):
            return number
        if line.strip() and not line.lstrip().startswith("#"):
            return None
    return None


def rest(line: str) -> str:
    """Return what stands behind ``%%ddp_setup``."""
    found = _LINE.match(line)
    return found[1].strip() if found else ""


def commented(lines: Sequence[str], at: int) -> list[str]:
    """Return the cell with the magic line as a comment."""
    return [*lines[:at], "#" + lines[at].lstrip(), *lines[at + 1 :]]


def below(text: str) -> tuple[str, int] | None:
    """Return what stands below the magic line that is a comment, and the line that this begins at.

    None where the cell has no such line: it was refused.
    """
    lines = text.splitlines(keepends=True)
    at = next((n for n, line in enumerate(lines) if line.startswith(_COMMENTED)), None)
    return None if at is None else ("".join(lines[at + 1 :]), at + 2)


def said_somewhere(text: str) -> bool:
    """Whether any line is the magic line."""
    return any(map(_LINE.match, text.splitlines()))


def seeds(text: str, transform: Callable[[str], str]) -> bool:
    """Whether a cell calls what seeds random generators."""
    said = statements.read(transform(text)) if _SEED.search(text) else None
    return said is not None and any(statements.seeds(call.function) for call in said.calls)


def filename(text: str, label: Callable[[str], str | None]) -> str:
    """Return the name under which IPython has just compiled a cell's text."""
    text = "".join(line + "\n" for line in text.splitlines())
    for name, entry in reversed(list(linecache.cache.items())):
        if len(entry) == 4 and "".join(entry[2]) == text and label(name):
            return name
    return "<%%ddp_setup>"


def listed(labels: Sequence[str]) -> str:
    """Return ``Cell In[3], Cell In[4] and Cell In[9]``."""
    return " and ".join(filter(None, [", ".join(labels[:-1]), *labels[-1:]]))
