r"""One output stream as a terminal would show it: bytes -> lines that are final, and live ones.

Training output rewrites itself: ``\r``, cursor-up of nested bars, erasing. What can no longer
change leaves a `Screen` as final lines, the few rows that can are its live area. Colours are kept
as runs, all other escapes are dropped. A character is one column wide; a terminal gives some of
them two, which only matters to cursor moves. Kernel only.
"""

from __future__ import annotations

import codecs
import re
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ddp_magic.sgr import ESCAPE, INCOMPLETE, PLAIN, Style, restyle

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "Screen"]

LIVE_ROWS = 40
"""Rows that stay changeable at most; no bar of tqdm or rich reaches further up."""
COLUMNS = 4000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_Run: TypeAlias = tuple[int, int, Style]


class Line(NamedTuple):
    """A line without its newline, and where it is coloured (sorted, apart, never empty)."""

    text: str
    runs: tuple[_Run, ...] = ()

    def pieces(self) -> Iterator[tuple[str, Style]]:
        """Yield the line in pieces of one style each."""
        at = 0
        for start, end, style in self.runs:
            if at < start:
                yield self.text[at:start], PLAIN
            yield self.text[start:end], style
            at = end
        if at < len(self.text):
            yield self.text[at:], PLAIN


class _Row:
    """A line that may still change; each character has its style once one of them is coloured."""

    __slots__ = ("styles", "text")

    def __init__(self) -> None:
        self.text = ""
        self.styles: list[Style] | None = None

    def write(self, start: int, text: str, style: Style) -> None:
        end = start + len(text)
        if self.styles is None and style != PLAIN:
            self.styles = [PLAIN] * len(self.text)
        if self.styles is not None:
            self.styles += [PLAIN] * (start - len(self.text))
            self.styles[start:end] = [style] * len(text)
        if start == len(self.text):
            self.text += text
        else:
            self.text = self.text[:start].ljust(start) + text + self.text[end:]

    def cut(self, end: int) -> None:
        self.text = self.text[:end]
        if self.styles is not None:
            del self.styles[end:]

    def line(self) -> Line:
        if self.styles is None:
            return Line(self.text)
        runs: list[_Run] = []
        at = 0
        for style, same in groupby(self.styles):
            end = at + sum(1 for _ in same)
            if style != PLAIN:
                runs.append((at, end, style))
            at = end
        return Line(self.text, tuple(runs))


class Screen:
    """One stream of one rank; the result does not depend on how its bytes are cut into chunks.

    Attributes:
        still: Whether nothing has ever moved the cursor back: what is above it is final then.

    Args:
        columns: Longer lines are clipped, with an ellipsis as their last character.
    """

    def __init__(self, *, columns: int = COLUMNS) -> None:
        self.still, self._columns = True, columns
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._rows = [_Row()]
        self._final: list[Line] = []
        self._row = self._col = 0
        self._style = PLAIN
        self._depth = 0  # how far above the last row the cursor ever went
        self._aged = 0  # leading rows that could have been final at the last settle

    def feed(self, data: bytes) -> None:
        """Take in what the rank wrote next."""
        text = self._pending + self._decoder.decode(data)
        self._pending = ""
        at = 0
        while found := _CONTROL.search(text, at):
            self._write(text[at : found.start()])
            at = found.start()
            if text[at] != "\x1b":
                self._control(text[at])
                at += 1
            elif INCOMPLETE.fullmatch(text, at):
                self._pending = text[at:]
                return
            elif escape := ESCAPE.match(text, at):
                self._escape(escape[1], escape[2])
                at = escape.end()
        self._write(text[at:])

    def settle(self) -> list[Line]:
        """Return the lines that became final; call it about three times a second.

        A line leaves at the second call that finds it above the cursor and above everything that
        cursor moves ever reached: the newline and the cursor-up of a bar's first drawing arrive
        in two writes, and a bar of rich goes up only with its next drawing, 0.1 s later.
        """
        ready = self._ready()
        self._retire(ready if self.still else min(ready, self._aged))
        self._aged = self._ready()
        return self.take()

    def take(self) -> list[Line]:
        """Return the lines that are final already, without making any final."""
        final, self._final = self._final, []
        return final

    def finish(self) -> list[Line]:
        """Return all lines that are left; the stream has ended, and so has this screen."""
        self._write(self._decoder.decode(b"", final=True))
        return self.take() + self.live()

    def live(self) -> list[Line]:
        """Return the lines that may still change, without blank ones at the end."""
        lines = [row.line() for row in self._rows]
        while lines and not lines[-1].text.strip():
            lines.pop()
        return lines

    def _ready(self) -> int:
        return max(0, min(self._row, len(self._rows) - 1 - self._depth))

    def _write(self, text: str) -> None:
        if not text:
            return
        room = self._columns - self._col
        row = self._rows[self._row]
        if len(text) > room:
            row.write(self._col, text[:room], self._style)
            row.write(self._columns - 1, "…", PLAIN)
            self._col = self._columns
        else:
            row.write(self._col, text, self._style)
            self._col += len(text)

    def _control(self, char: str) -> None:
        if char == "\n":
            self._newline()
        elif char in "\r\b":
            self.still = False
            self._col = 0 if char == "\r" else max(0, self._col - 1)
        elif char == "\t":
            self._write(" " * (8 - self._col % 8))

    def _newline(self) -> None:
        self._col = 0
        self._row += 1
        if self._row == len(self._rows):
            self._rows.append(_Row())
        if len(self._rows) > LIVE_ROWS:
            self._retire(1)

    def _retire(self, count: int) -> None:
        self._final += [row.line() for row in self._rows[:count]]
        del self._rows[:count]
        self._row = max(0, self._row - count)
        self._aged = max(0, self._aged - count)

    def _escape(self, params: str | None, final: str | None) -> None:
        self.still = self.still and final == "m"
        if params and params[0] in "<=>?":
            return  # a private one: cursor visibility, keyboard modes
        if final == "m":
            self._style = restyle(self._style, params or "")
        elif final == "J":
            self._erase_below(params or "0")
        elif final == "K":
            self._erase_line(params or "0")
        elif final is not None and final in "ABCDEFGHdf":
            first, _, second = (params or "").partition(";")
            self._move(final, _number(first), _number(second))

    def _move(self, final: str, count: int, second: int) -> None:
        if final in "AF":
            self._go(self._row - count)
        elif final in "BE":
            self._go(self._row + count)
        elif final in "Hdf":
            self._go(count - 1)
        if final in "EF":
            self._col = 0
        elif final in "CDGHf":
            to = {"C": self._col + count, "D": self._col - count, "G": count - 1}
            self._col = max(0, min(to.get(final, second - 1), self._columns))

    def _go(self, row: int) -> None:
        # by the row that was meant, also where it is final already: the next drawing will reach it
        self._depth = min(LIVE_ROWS - 1, max(self._depth, len(self._rows) - 1 - row))
        self._row = max(0, min(row, LIVE_ROWS - 1))
        while self._row >= len(self._rows):
            self._rows.append(_Row())

    def _erase_below(self, params: str) -> None:
        if params == "0":
            self._rows[self._row].cut(self._col)
            del self._rows[self._row + 1 :]
        elif params in ("2", "3"):
            self._rows = [_Row() for _ in range(self._row + 1)]

    def _erase_line(self, params: str) -> None:
        row = self._rows[self._row]
        if params == "0":
            row.cut(self._col)
        elif params == "1":
            row.write(0, " " * min(self._col + 1, self._columns), PLAIN)
        elif params == "2":
            row.cut(0)


def _number(text: str) -> int:
    """Read a CSI parameter: 1 where it is missing or 0, and never absurdly large."""
    return min(int(text), COLUMNS) or 1 if text.isdecimal() else 1
