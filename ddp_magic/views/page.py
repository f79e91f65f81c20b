"""The panel's code for the page: its files as one module, without what only readers need."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["revive", "script", "style"]

_PANEL = Path(__file__).parent / "panel"
_SCRIPTS = ("page", "store", "lines", "output", "charts", "devices", "stop", "header", "panel")
_STYLES = ("panel", "parts")


def script() -> str:
    """Return the anywidget module.

    It goes to the page with every run, so the lines lose their indent and whole-line comments.
    """
    return "\n".join(_bare(f"{name}.js") for name in _SCRIPTS)


def revive() -> str:
    """Return the function that shows a run again on a reloaded page."""
    return _bare("revive.js")


def style() -> str:
    """Return the style sheet, without the spaces that no rule needs."""
    sheet = "".join(_bare(f"{name}.css") for name in _STYLES)
    return re.sub(r"(?<=[:,]) |\s*(?=[{}])|(?<=[{};])\s+", "", sheet)


def _bare(name: str) -> str:
    lines = (_PANEL / name).read_text(encoding="utf-8").splitlines()
    bare = (line.strip() for line in lines)
    return "\n".join(line for line in bare if line and not line.startswith(("//", "/*")))
