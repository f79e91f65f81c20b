"""Terminal escapes, and the one kind of them that is kept: SGR, which colours text; kernel only."""

from __future__ import annotations

import re
from enum import IntFlag
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "AFTER_ESCAPE",
    "ESCAPE",
    "INCOMPLETE",
    "ON",
    "PLAIN",
    "TRUE_COLOUR",
    "Effect",
    "Style",
    "restyle",
]

_STRING = r"[\]PX^_][^\x07\x18\x1a\x1b\n\x9c]{0,4096}"  # OSC, DCS, SOS, PM, APC
AFTER_ESCAPE = (
    r"(?:\[([0-?]{0,64})[ -/]{0,8}([@-~])"  # CSI: parameters, final byte
    rf"|{_STRING}(?:\x07|\x9c|\x1b\\)?"
    r"|[ -/]{0,8}[0-~])"
)
"""The pattern of what follows ESC; the groups are a CSI's parameters and its final byte."""
ESCAPE = re.compile(rf"\x1b{AFTER_ESCAPE}?")
"""One escape, however broken."""
AFTER_SGR = r"\[[0-9;:]{0,64}m"
SGR = re.compile(r"\x1b\[([0-9;:]{0,64})m")
"""An escape that colours; the group is its parameters."""
INCOMPLETE = re.compile(rf"\x1b(?:\[[0-?]{{0,64}}[ -/]{{0,8}}|{_STRING}\x1b?|[ -/]{{0,8}})")
"""What may become a longer escape with the next bytes."""

TRUE_COLOUR = 256
"""Colours from here on are this plus 0xRRGGBB, those below are of the palette of 256."""


class Effect(IntFlag):
    """What SGR does to text besides colour; the numbers are part of the panel's protocol."""

    BOLD = 1
    DIM = 2
    ITALIC = 4
    UNDERLINE = 8
    INVERSE = 16
    STRIKE = 32


class Style(NamedTuple):
    """How a piece of text looks: integers only, so that no text can hide in it."""

    fg: int = -1
    """A colour, or -1 for the theme's own."""
    bg: int = -1
    effects: int = 0
    """Of `Effect`."""


PLAIN = Style()
"""The only one of its kind: `is` finds it."""
ON = {1: Effect.BOLD, 2: Effect.DIM, 3: Effect.ITALIC, 4: Effect.UNDERLINE, 7: Effect.INVERSE,
      9: Effect.STRIKE}  # fmt: skip
"""What turns each effect on, by its code."""
_OFF = {22: Effect.BOLD | Effect.DIM, 23: Effect.ITALIC, 24: Effect.UNDERLINE, 27: Effect.INVERSE,
        29: Effect.STRIKE}  # fmt: skip


@lru_cache(maxsize=1024)  # programs use few styles, a million times each
def restyle(style: Style, params: str) -> Style:
    """Return the style after an SGR escape with these parameters; blink and conceal change none."""
    codes = iter([int(p) if p.isdecimal() else 0 for p in params.replace(":", ";").split(";")])
    for code in codes:
        if code == 0:
            style = PLAIN
        elif code in ON:
            style = style._replace(effects=style.effects | int(ON[code]))
        elif code in _OFF:
            style = style._replace(effects=style.effects & ~int(_OFF[code]))
        elif code == 38:
            style = style._replace(fg=_extended(codes))
        elif code == 48:
            style = style._replace(bg=_extended(codes))
        else:
            style = _simple(style, code)
    return PLAIN if style == PLAIN else style


def _simple(style: Style, code: int) -> Style:
    kind, colour = divmod(code, 10)
    if kind in (3, 9) and colour < 8:
        return style._replace(fg=colour + (8 if kind == 9 else 0))
    if kind in (4, 10) and colour < 8:
        return style._replace(bg=colour + (8 if kind == 10 else 0))
    if code == 39:
        return style._replace(fg=-1)
    return style._replace(bg=-1) if code == 49 else style


def _extended(codes: Iterator[int]) -> int:
    """Read what follows 38 or 48: ``5;n`` or ``2;r;g;b``; -1 where it is broken."""
    kind = next(codes, 0)
    if kind == 5:
        return min(next(codes, 0), 255)
    if kind == 2:
        red, green, blue = (min(next(codes, 0), 255) for _ in range(3))
        return TRUE_COLOUR + (red << 16 | green << 8 | blue)
    return -1
