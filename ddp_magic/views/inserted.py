"""A line of ours in a terminal in which a worker draws bars: it stands above them, and they go on.

Bars of several rows go up by as many and draw themselves anew, so a line in between would be drawn
over, and old rows would stay. So they are taken away and drawn again below it. A bar of one row
goes on in the next.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ddp_magic.screen import Screen
from ddp_magic.sgr import ON, PLAIN, TRUE_COLOUR

if TYPE_CHECKING:
    from ddp_magic.screen import Line
    from ddp_magic.sgr import Style

__all__ = ["Raw"]

_KEPT = 16_384
"""Characters in which the newest drawing of all bars is."""


class _Terminal(Screen):
    """The rows that may still change, and where the cursor stands among them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.feed(text.encode("utf-8", "replace"))
        self.settle()
        self.settle()  # at the second look what can be final is
        self.rows = [row.line() for row in self._rows]
        self.row, self.col, self.style = self._row, self._col, self._style

    @property
    def fresh(self) -> bool:
        """Whether the cursor is at the beginning of a new last line."""
        return not self.col and self.row == len(self.rows) - 1 and not self.rows[-1].text


class Raw:
    """What went to the terminal as it is."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, text: str) -> None:
        """Note what was written."""
        self._text = (self._text + text)[-_KEPT:]

    def end(self) -> str:
        """Return what leads to a new line below all that is drawn."""
        drawn, self._text = _Terminal(self._text), ""
        return "" if drawn.fresh else "\n" * (len(drawn.rows) - drawn.row)

    def around(self) -> tuple[str, str]:
        """Return what to write before a line of ours, and what after it."""
        drawn = _Terminal(self._text)
        if drawn.fresh or len(drawn.rows) == 1:
            return self.end(), ""
        size = shutil.get_terminal_size()
        widest = max(len(line.text) for line in drawn.rows)
        if widest > size.columns or len(drawn.rows) >= size.lines:  # rows of ours are not its rows
            return self.end(), ""
        before = "\r" + (f"\x1b[{drawn.row}A" if drawn.row else "") + "\x1b[J\x1b[0m"
        below = len(drawn.rows) - 1 - drawn.row
        moves = (f"\x1b[{below}A" if below else "") + "\r"
        moves += f"\x1b[{drawn.col}C" if drawn.col else ""
        after = "\n".join(map(_coloured, drawn.rows)) + moves
        return before, after + (_sgr(drawn.style) if drawn.style != PLAIN else "")


def _coloured(line: Line) -> str:
    return "".join(
        text if style == PLAIN else f"{_sgr(style)}{text}\x1b[0m" for text, style in line.pieces()
    )


def _sgr(style: Style) -> str:
    codes = [str(code) for code, effect in ON.items() if style.effects & effect]
    for base, colour in ((38, style.fg), (48, style.bg)):
        if colour >= TRUE_COLOUR:
            red, green, blue = (colour - TRUE_COLOUR).to_bytes(3, "big")
            codes.append(f"{base};2;{red};{green};{blue}")
        elif colour >= 0:
            codes.append(f"{base};5;{colour}")
    return f"\x1b[{';'.join(codes)}m"
