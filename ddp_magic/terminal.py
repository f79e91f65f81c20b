"""What a rank wrote, as lines: both its streams in one bounded log, bars apart; kernel only.

Final lines are append-only and have an absolute index, so that a view can ask for what is new.
Stdout and stderr are two screens: with one, a print on stdout would garble a bar on stderr.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ddp_magic.screen import Line, Screen

if TYPE_CHECKING:
    from ddp_magic.events import Stream

__all__ = ["Delta", "RankTerminal"]

KEEP = 2000
LEAP = 1 << 20
"""Of a longer chunk only the end is read: nobody could see the rest go by."""


class Delta(NamedTuple):
    """What is new of a rank: final lines from absolute index `first` on, and the live area."""

    first: int
    lines: list[Line]
    live: list[Line]


class RankTerminal:
    """Both streams of one rank: one log of final lines, bounded, and a live area below it.

    Attributes:
        total: Final lines so far; the index that the next one gets.
    """

    def __init__(self) -> None:
        self.total = 0
        self._lines: deque[Line] = deque(maxlen=KEEP)
        self._screens: dict[Stream, Screen] = {"stdout": Screen(), "stderr": Screen()}

    def feed(self, stream: Stream, data: bytes, skipped: int = 0, now: float = 0.0) -> None:
        """Take in what the rank wrote next, `skipped` bytes after what came before."""
        if skipped:
            self._end(stream)
            self._add([Line(f"… {skipped:,} bytes are not shown here, see the log …", time=now)])
        if len(data) > LEAP:
            self._end(stream)
            cut = data.find(b"\n", len(data) - LEAP // 4) + 1 or len(data) - LEAP // 4
            self._leap(data.count(b"\n", 0, cut))
            data = data[cut:]
        screen = self._screens[stream]
        screen.feed(data, now)
        self._add(screen.take())

    def settle(self) -> None:
        """Let lines become final by age; see `Screen.settle`."""
        for screen in self._screens.values():
            self._add(screen.settle())

    def finish(self) -> None:
        """Make every line final: the rank writes no more."""
        self._end("stdout")
        self._end("stderr")

    def live(self) -> list[Line]:
        """Return the lines that may still change: those of stdout, then those of stderr."""
        return [line for screen in self._screens.values() for line in screen.live()]

    def delta(self, since: int, limit: int) -> Delta:
        """Return what is new from absolute index `since` on, the newest `limit` lines of it."""
        count = min(self.total - since, limit, len(self._lines))
        return Delta(self.total - count, self._newest(count), self.live())

    def tail(self, limit: int) -> list[Line]:
        """Return the last lines, the live ones included."""
        return (self._newest(limit) + self.live())[-limit:]

    def _newest(self, count: int) -> list[Line]:
        return list(islice(reversed(self._lines), count))[::-1]

    def _end(self, stream: Stream) -> None:
        self._add(self._screens[stream].finish())
        self._screens[stream] = Screen()

    def _leap(self, count: int) -> None:
        self._lines.clear()  # kept lines are neighbours: an index is a place in the log
        self.total += count

    def _add(self, lines: list[Line]) -> None:
        self._lines.extend(lines)
        self.total += len(lines)
