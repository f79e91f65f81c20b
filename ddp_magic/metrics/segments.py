r"""Runs in the kernel: one stream's bytes, cut into what was written at one place of the terminal.

A segment ends with a newline, a carriage return, a backspace or a cursor move, and where the
bracket of a tqdm bar closes: nothing follows a bar until its next drawing, which may take a while.
Colours are dropped. What the segments are does not depend on how the bytes are cut into chunks, as
long as no chunk is longer than `WINDOW` or has more than `MOST` segments that may tell something.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ddp_magic.metrics.names import HINTS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["LINE", "MOST", "WINDOW", "Segment", "Segments"]

LINE = 2000
"""Bytes of a segment; what is longer is data and no line for people."""
_SHORTEST = 5
"""Bytes of ``acc=1``."""
WINDOW = 1 << 14
"""Bytes at the end of a chunk that are looked at."""
MOST = 40
"""Segments of a chunk that are read, the newest ones: what bounds the work in a flood."""

_LETTERS = bytes(c if chr(c).isascii() and chr(c).isalpha() else 32 for c in range(256)).lower()
_WORDS = frozenset(word.encode() for word in HINTS)
_ROW = re.compile(rb"\s*(?:all|\d+(?:/\d+)?)\s+[\d.]")
"""How a table's row begins, which may have no word in it."""
_DROPPED = re.compile(
    rb"\x1b(?:\[[0-?]*+[ -/]*+(?:[@IJL-eg-~]|(?=[^@-~]))"  # CSI, but for cursor moves
    rb"|\][^\x07\b\x1b\r\n]*+(?:\x07|\x1b\\|(?=[\b\r\n]|\x1b[^\\]))"  # OSC: titles, links
    rb"|[^\[\]\b\r\n])"
)
_MOVE = re.compile(rb"\x1b\[([0-?]*)[ -/]*([A-HKf])")
_CLOSED = re.compile(
    rb"\[\d+:\d\d(?::\d\d)?(?:<[^\[\],]*(?:,[^\[\]]*)?|,[^\[\]]*(?:/s|s/)[^\[\]]*)\]"
)


class Segment(NamedTuple):
    """Text without escapes and its place."""

    text: str
    row: int
    """Counted from where the stream began; a cursor move may lead back."""
    low: int
    """The topmost row where the cursor was since the segment before this one."""


class Segments:
    """Cuts one stream of one rank."""

    def __init__(self) -> None:
        self._pending = b""
        self._lost = False  # the rest of a segment whose beginning is gone
        self._row = 0
        self._low = 0

    def feed(self, data: bytes, skipped: int = 0) -> list[Segment]:
        """Take in what was written next, `skipped` bytes after what came before."""
        if skipped:
            self._pending, self._lost = b"", True
        if len(data) > WINDOW:
            cut = data.find(b"\n", len(data) - WINDOW) + 1 or len(data) - WINDOW
            self._row += data.count(b"\n", 0, cut)
            self._pending, self._lost = b"", data[cut - 1 : cut] != b"\n"
            data = data[cut:]
        data = self._pending + data
        if b"\x1b" in data:
            data = _DROPPED.sub(b"", data)
        found = [*self._cut(data), *self._bars()]
        if len(found) > MOST:
            low = min(segment.low for segment in found[:-MOST])
            found = [found[-MOST]._replace(low=low), *found[1 - MOST :]]
        if len(self._pending) > LINE:
            self._pending, self._lost = b"", True
        return found

    def _cut(self, data: bytes) -> Iterator[Segment]:
        """Yield what may tell something; what has not ended yet becomes `_pending`."""
        lines = data.replace(b"\b", b"\r").split(b"\n")
        last = len(lines) - 1
        for number, line in enumerate(lines):
            rest = line
            if b"\r" in line or b"\x1b" in line:
                rest = yield from self._pieces(line)
            if number == last:
                self._pending = rest
                return
            yield from self._told(rest)
            self._row += 1

    def _pieces(self, line: bytes) -> Generator[Segment, None, bytes]:
        """Yield a line's segments but the last, which is returned: it may not have ended yet."""
        text, *moves = _MOVE.split(line)
        *pieces, rest = text.split(b"\r")
        for piece in pieces:
            yield from self._told(piece)
        for at in range(0, len(moves), 3):
            yield from self._told(rest)
            count, final, text = moves[at : at + 3]
            self._go(int(count[:4]) if count.isdigit() else 1, final)
            *pieces, rest = text.split(b"\r")
            for piece in pieces:
                yield from self._told(piece)
        return rest

    def _go(self, rows: int, final: bytes) -> None:
        if final in b"AF":
            self._row -= rows
            self._low = min(self._low, self._row)
        elif final in b"BE":
            self._row += rows

    def _told(self, text: bytes) -> Iterator[Segment]:
        if self._lost:
            self._lost = False
        elif _SHORTEST <= len(text) <= LINE and _may_tell(text):
            while closed := _CLOSED.search(text):
                yield self._segment(text[: closed.end()])
                text = text[closed.end() :]
            if text.strip():
                yield self._segment(text)

    def _bars(self) -> Iterator[Segment]:
        """Yield the bars that are whole of what has not ended yet."""
        while not self._lost and (closed := _CLOSED.search(self._pending)):
            yield self._segment(self._pending[: closed.end()])
            self._pending = self._pending[closed.end() :]

    def _segment(self, text: bytes) -> Segment:
        low, self._low = self._low, self._row
        return Segment(text.decode(errors="replace"), self._row, min(low, self._row))


def _may_tell(text: bytes) -> bool:
    """Whether a text has a metric's word, or a bar's sign, or begins as a table's row."""
    return (
        b"%" in text
        or b"\x94\x81" in text  # of the line that rich and Keras 3 draw
        or b"[=" in text
        or b"/s" in text
        or b"s/" in text
        or not _WORDS.isdisjoint(text.translate(_LETTERS).split())
        or _ROW.match(text) is not None
    )
