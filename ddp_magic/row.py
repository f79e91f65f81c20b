"""A line of a terminal: while it may change, by columns, and then as text; kernel only."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from unicodedata import east_asian_width

from ddp_magic.sgr import PLAIN, Style

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "Row", "Run", "columns"]

_SECOND = "\0"
"""Stands in a row for the second column of a wide character; no row has it as text."""
_MAYBE_WIDE = re.compile(
    "[\u1100-\u115f\u231a-\u24ff\u25fd-\u27bf\u2b1b-\u303e\u3041-\uffe6\U00016fe0-\U0003fffd]"
)
"""All wide characters, and not the boxes and blocks of which bars are made."""

Run: TypeAlias = tuple[int, int, Style]
"""From a column to another, and what it looks like there."""
_START, _END = itemgetter(0), itemgetter(1)


class Line(NamedTuple):
    """A line without its newline, and where it is coloured (sorted, apart, never empty)."""

    text: str
    runs: tuple[Run, ...] = ()
    time: float = 0.0
    """When what it shows was begun, as told to `Screen.feed`."""

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


class Row:
    """A line that may still change.

    Attributes:
        time: When what it shows was begun.
    """

    __slots__ = ("_runs", "_text", "time")

    def __init__(self, now: float) -> None:
        self._text = ""
        self._runs: list[Run] = []
        self.time = now

    def write(self, start: int, text: str, runs: list[Run]) -> None:
        """Write text, as `columns` gives it, and its colours over what is there."""
        if start == len(self._text):
            self._text += text
            self._runs += runs
            return
        end = start + len(text)
        place = self._bare(start, end)
        self._runs[place:place] = runs
        self._text = self._before(start) + text + self._after(end)

    def cut(self, end: int) -> None:
        """Erase everything from a column on."""
        if end < len(self._text):
            self._bare(end, len(self._text))
            self._text = self._before(end)

    def line(self) -> Line:
        """Return the line as it is now."""
        text = self._text.replace(_SECOND, "")
        if not self._runs:
            return Line(text, (), self.time)
        runs = self._runs[:1]
        for run in self._runs[1:]:
            before = runs[-1]
            if before[1] == run[0] and before[2] == run[2]:
                runs[-1] = (before[0], run[1], run[2])
            else:
                runs.append(run)
        self._runs = runs
        if len(text) < len(self._text):
            runs = [(self._place(start), self._place(end), style) for start, end, style in runs]
        return Line(text, tuple(runs), self.time)

    def _bare(self, start: int, end: int) -> int:
        """Take the colour from columns; return where in `_runs` they lie."""
        first = bisect_right(self._runs, start, key=_END)
        last = bisect_left(self._runs, end, first, key=_START)
        touched = self._runs[first:last]
        left = [(a, start, style) for a, _, style in touched[:1] if a < start]
        right = [(end, b, style) for _, b, style in touched[-1:] if b > end]
        self._runs[first:last] = left + right
        return first + len(left)

    # half of a wide character is a blank

    def _before(self, end: int) -> str:
        kept = self._text[:end].ljust(end)
        return f"{kept[:-1]} " if self._text[end : end + 1] == _SECOND else kept

    def _after(self, start: int) -> str:
        kept = self._text[start:]
        return f" {kept[1:]}" if kept[:1] == _SECOND else kept

    def _place(self, column: int) -> int:
        return column - self._text.count(_SECOND, 0, column)


class _Columns(dict[int, str]):
    """What characters are by columns, for `str.translate`."""

    def __missing__(self, code: int) -> str:
        if len(self) >= 10_000:  # more than people write in
            self.clear()
        char = chr(code)
        # what is assigned to no character is wide for Python 3.11
        wide = _MAYBE_WIDE.match(char) and east_asian_width(char) in "WF"
        self[code] = char + _SECOND if wide else char
        return self[code]


_COLUMNS = _Columns()


def columns(text: str) -> str:
    """Return text by columns: a wide character takes two."""
    return text.translate(_COLUMNS) if _MAYBE_WIDE.search(text) else text
