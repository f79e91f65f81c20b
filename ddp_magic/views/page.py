"""The panel's code for the page: its files as one module, without what only readers need."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

__all__ = ["module", "revive", "script", "style"]

_PANEL = Path(__file__).parent / "panel"
_SCRIPTS = (
    "page", "ask", "store", "lines", "output", "charts", "devices", "stop", "header", "record",
    "panel",
)  # fmt: skip
_STYLES = ("panel", "parts")
_UNPACK = """
const packed = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
const text = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
const code = new Blob([await new Response(text).text()], { type: "text/javascript" });
const address = URL.createObjectURL(code);
export default (await import(address)).default;
URL.revokeObjectURL(address);
"""
_STRING = re.compile(r'("[^"]*"|`[^`]*`)')
_SIGNS = re.compile(r" ?([=<>!&|?:,;{}()*]+) ?")
"""What needs no space beside it; a sum does (``a - -b``)."""


def module() -> str:
    """Return the anywidget module as a page gets it: `script`, packed, and what unpacks it.

    It goes there with every run, and as long as that lasts it is in the saved notebook too. Every
    browser that JupyterLab 4 supports can unpack it.
    """
    packed = gzip.compress(script().encode(), mtime=0)
    return _UNPACK % base64.b64encode(packed).decode()


def script() -> str:
    """Return the panel's code; its lines lose their indent, comments, and spaces beside signs."""
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
