r"""One output stream as a terminal would show it: bytes -> lines that are final, and live ones.

Training output rewrites itself: ``\r``, cursor-up of nested bars, erasing. What can no longer
change leaves a `Screen` as final lines, the few rows that can are its live area. Colours are kept
as runs, all other escapes are dropped. A combining character is one column wide here and none in a
terminal, which only matters to cursor moves. Kernel only.
"""

from __future__ import annotations

import codecs
import re

from ddp_magic.row import Line, Row, Run, columns
from ddp_magic.sgr import AFTER_ESCAPE, AFTER_SGR, INCOMPLETE, PLAIN, SGR, restyle

__all__ = ["Line", "Screen"]

LIVE_ROWS = 40
"""Rows that stay changeable at most; no bar of tqdm or rich reaches further up."""
COLUMNS = 4000

# begins with one set of characters, by which `re` finds the next one fast
_TOKEN = re.compile(rf"([\x00-\x1f\x7f-\x9f])(?!(?<=\x1b){AFTER_SGR})(?:(?<=\x1b){AFTER_ESCAPE})?")
"""A control or an escape, but one that colours."""


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
        self._now = 0.0
        self._rows = [Row(0.0)]
        self._final: list[Line] = []
        self._row = self._col = 0
        self._style = PLAIN
        self._depth = 0  # how far above the last row the cursor ever went
        self._aged = 0  # leading rows that could have been final at the last settle

    def feed(self, data: bytes, now: float = 0.0) -> None:
        """Take in what the rank wrote next."""
        self._now = now
        text = self._pending + self._decoder.decode(data)
        escape = text.rfind("\x1b")
        whole = escape < 0 or not INCOMPLETE.fullmatch(text, escape)
        text, self._pending = (text, "") if whole else (text[:escape], text[escape:])
        first, *rest = text.split("\n")  # no escape goes on in the next line
        self._line(first)
        for line in rest:
            self._newline()
            self._line(line)

    def settle(self) -> list[Line]:
        """Return the lines that became final; call it about three times a second.

        A line leaves at the second call that finds it above the cursor and above everything that
        cursor moves ever reached, if none reached it in between: the newline and the cursor-up of
        a bar's first drawing arrive in two writes, and a bar of rich goes up only with its next
        drawing, 0.1 s later.
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

    def _line(self, text: str) -> None:
        if text.isprintable():
            self._write(text)
            return
        pieces = iter(_TOKEN.split(text))
        self._write(next(pieces))
        for control, params, final, words in zip(pieces, pieces, pieces, pieces, strict=True):
            if control == "\x1b":
                self._escape(params, final)
            elif control in "\r\b":
                self.still = False
                self._col = 0 if control == "\r" else max(0, self._col - 1)
            elif control == "\t":
                self._col = min(self._col + 8 - self._col % 8, self._columns)
            self._write(words)

    def _write(self, text: str) -> None:
        """Write text with its colours; no control is in it."""
        if not text.isascii():
            text = columns(text)
        runs: list[Run] = []
        if self._style is not PLAIN or "\x1b" in text:
            text = self._coloured(text, runs)
        if not text:
            return
        col, end = self._col, self._col + len(text)
        row = self._rows[self._row]
        if not col:
            row.time = self._now
        if end > self._columns:
            end = self._columns
            row.write(col, text[: end - col], [(a, min(b, end), s) for a, b, s in runs if a < end])
            row.write(end - 1, "…", [])
        else:
            row.write(col, text, runs)
        self._col = end

    def _coloured(self, text: str, runs: list[Run]) -> str:
        """Return text without its colours, which go into `runs`."""
        pieces = SGR.split(text)
        words, style = iter(pieces), self._style
        at = self._col + len(next(words))
        if style is not PLAIN and at > self._col:
            runs.append((self._col, at, style))
        for params, each in zip(words, words, strict=True):
            style = restyle(style, params)
            if each:
                end = at + len(each)
                if style is not PLAIN:
                    runs.append((at, end, style))
                at = end
        self._style = style
        return "".join(pieces[::2])

    def _newline(self) -> None:
        self._col = 0
        self._row += 1
        if self._row == len(self._rows):
            self._rows.append(Row(self._now))
        if len(self._rows) > LIVE_ROWS:
            self._retire(1)

    def _retire(self, count: int) -> None:
        self._final += [row.line() for row in self._rows[:count]]
        del self._rows[:count]
        self._row = max(0, self._row - count)
        self._aged = max(0, self._aged - count)

    def _escape(self, params: str | None, final: str | None) -> None:
        self.still = False
        if params and params[0] in "<=>?":
            return  # a private one: cursor visibility, keyboard modes
        if final == "J":
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
        self._aged = min(self._aged, self._row)
        while self._row >= len(self._rows):
            self._rows.append(Row(self._now))

    def _erase_below(self, params: str) -> None:
        if params == "0":
            self._rows[self._row].cut(self._col)
            del self._rows[self._row + 1 :]
        elif params in ("2", "3"):
            self._rows = [Row(self._now) for _ in range(self._row + 1)]

    def _erase_line(self, params: str) -> None:
        row = self._rows[self._row]
        if params == "0":
            row.cut(self._col)
        elif params == "1":
            row.write(0, " " * min(self._col + 1, self._columns), [])
        elif params == "2":
            row.cut(0)


def _number(text: str) -> int:
    """Read a CSI parameter: 1 where it is missing or 0, and never absurdly large."""
    return min(int(text), COLUMNS) or 1 if text.isdecimal() else 1
