"""The one escape: everything that a view or a record shows passes one of these functions.

What workers, users and libraries wrote is not trusted: it must neither be markup nor a script,
nor move a terminal's cursor, nor change the order in which other text is read.
"""

from __future__ import annotations

import html as _html
import re
from json import JSONEncoder
from typing import Any

from ddp_magic.sgr import ESCAPE

__all__ = ["clip", "html", "json_for_script", "line", "neutral", "plain"]

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 controls but newline and tab
    "\u061c\u200e\u200f\u202a-\u202e\u2060-\u206f"  # bidirectional controls, invisible operators
    "\u2028\u2029"  # separators that end a line for some readers and not for others
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"  # no characters; cannot be written to a file
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"  # invisible annotations and tags
)
_RESET = "\x1b[0m"


def neutral(text: str) -> str:
    """Replace every character that is neither printable, newline nor tab, one for one."""
    return _UNPRINTABLE.sub("\ufffd", text)


def plain(text: str, *, sgr: bool = False) -> str:
    """Return text that a terminal or a plain viewer shows as it stands.

    Args:
        text: What to show.
        sgr: Keep colours, and end them.
    """
    text = text.replace("\r\n", "\n")
    parts: list[str] = []
    at, coloured = 0, False
    for escape in ESCAPE.finditer(text):
        parts.append(neutral(text[at : escape.start()]))
        at = escape.end()
        if sgr and escape[2] == "m" and re.fullmatch(r"[0-9;:]*", escape[1]):
            parts.append(f"\x1b[{escape[1]}m")
            coloured = True
    parts.append(neutral(text[at:]))
    return "".join(parts) + (_RESET if coloured else "")


def line(text: str, limit: int = 400) -> str:
    """Return text as one line of `limit` characters at most."""
    return clip(" ".join(plain(text[: 8 * limit]).split()), limit)


def clip(text: str, limit: int) -> str:
    """Cut text to `limit` characters, the last of them an ellipsis where something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def html(text: str) -> str:
    """Return text as HTML that is text and nothing else, in an element or a quoted attribute."""
    return _html.escape(plain(text), quote=True)


def json_for_script(value: Any) -> str:
    """Return a value as JSON that can stand in a script element and cannot end it."""
    text = JSONEncoder().encode(value)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
