"""The panel's code for the page: its files as one module, without what only readers need."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["revive", "script", "style"]

_PANEL = Path(__file__).parent / "panel"
_SCRIPTS = (
    "page", "ask", "store", "lines", "output", "charts", "devices", "stop", "header", "record",
    "panel",
)  # fmt: skip
_STYLES = ("panel", "parts")
_STRING = re.compile(r'("[^"]*"|`[^`]*`)')
_SIGNS = re.compile(r" ?([=<>!&|?:,;{}()*]+) ?")
"""What needs no space beside it; a sum does (``a - -b``)."""


def script() -> str:
    """Return the anywidget module.

    It goes to the page with every run, so the lines lose their indent, comments, and the spaces
    beside signs.
    """
    return "\n".join(map(_tight, _bare(_SCRIPTS, ".js")))


def revive() -> str:
    """Return the function that shows a run again on a reloaded page."""
    return "\n".join(_bare(("revive",), ".js"))


def style() -> str:
    """Return the style sheet, without the spaces that no rule needs."""
    sheet = "\n".join(_bare(_STYLES, ".css"))
    return re.sub(r"(?<=[:,]) |\s*(?=[{}])|(?<=[{};,])\s+|;\s*(?=})", "", sheet)


def _bare(names: tuple[str, ...], suffix: str) -> list[str]:
    """Return the lines of files that have code; no line is within a string, so it can go bare."""
    texts = ((_PANEL / f"{name}{suffix}").read_text(encoding="utf-8") for name in names)
    lines = (
        re.sub(r"\s+// [^\"'`]*$", "", line).strip() for text in texts for line in text.split("\n")
    )
    return [line for line in lines if line and not line.startswith(("//", "/*"))]


def _tight(line: str) -> str:
    """Leave out spaces between strings; lines with what may be a pattern stay as they are."""
    if re.search("['/]", line) or line.count("`") > 2:
        return line
    parts = _STRING.split(line)
    return "".join(_SIGNS.sub(r"\1", p) if at % 2 == 0 else p for at, p in enumerate(parts))
