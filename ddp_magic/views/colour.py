"""Coloured lines as HTML with inline styles: what survives in a notebook file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.sgr import PLAIN, TRUE_COLOUR, Effect
from ddp_magic.views import escape

if TYPE_CHECKING:
    from ddp_magic.screen import Line
    from ddp_magic.sgr import Style

__all__ = ["STATES", "line_html"]

# Middle tones, of contrast 4 and more: a saved notebook is read on white and on black.
_PALETTE = (
    *("#6e7681", "#e0323c", "#1f883d", "#a06d00", "#1f7ae0", "#9a63e8", "#21868f", "#8b949e"),
    *("#7d8590", "#f0555f", "#36b356", "#c28a00", "#4b96f3", "#b083f0", "#35a3ad", "#9aa4ae"),
)
STATES = {"succeeded": _PALETTE[2], "failed": _PALETTE[1], "stopped": _PALETTE[3]}
"""The colour of a run's state, by its name, for text that lies in a saved notebook."""
_ENDS = {0: "#000000", 7: "#ffffff", 15: "#ffffff"}  # on a ground of their own
_EFFECTS = {
    Effect.BOLD: "font-weight:bold",
    Effect.DIM: "opacity:.7",
    Effect.ITALIC: "font-style:italic",
    Effect.UNDERLINE: "text-decoration:underline",
    Effect.STRIKE: "text-decoration:line-through",
}


def line_html(line: Line) -> str:
    """Return a line as HTML text with a span for every coloured piece."""
    return "".join(_piece(text, style) for text, style in line.pieces())


def _piece(text: str, style: Style) -> str:
    shown = escape.html(text)
    css = _css(style)
    return f'<span style="{css}">{shown}</span>' if css else shown


def _css(style: Style) -> str:
    if style == PLAIN:
        return ""
    fg, bg = _colour(style.fg), _colour(style.bg)
    if style.effects & Effect.INVERSE:
        fg, bg = bg or "#ffffff", fg or "#6e7681"
    elif bg and style.fg in _ENDS:
        fg = _ENDS[style.fg]
    rules = [f"color:{fg}"] if fg else []
    if bg:
        rules.append(f"background-color:{bg}")
    if bg and not fg:
        rules.append(f"color:{_readable_on(bg)}")
    rules += [rule for effect, rule in _EFFECTS.items() if style.effects & effect]
    return ";".join(rules)


def _colour(colour: int) -> str:
    if colour < 0:
        return ""
    if colour < len(_PALETTE):
        return _PALETTE[colour]
    if colour >= TRUE_COLOUR:
        return f"#{colour - TRUE_COLOUR:06x}"
    if colour >= 232:  # the palette's 24 greys
        return "#" + f"{8 + 10 * (colour - 232):02x}" * 3
    cube = colour - 16  # its cube of 6 x 6 x 6
    return "#" + "".join(f"{55 + 40 * n if n else 0:02x}" for n in _digits(cube))


def _digits(cube: int) -> tuple[int, int, int]:
    return cube // 36, cube // 6 % 6, cube % 6


def _readable_on(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#000000" if 299 * red + 587 * green + 114 * blue > 128_000 else "#ffffff"
