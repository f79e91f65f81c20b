"""Runs in the kernel: rank 0's file of displays -> events, no more of them than a page can take.

A loop may update one output a thousand times a second, or clear and show it anew: of what was
written since the last look only what would be seen is published. What nobody sees is said once.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddp_magic.displays.bundle import bundle
from ddp_magic.documents import decoded
from ddp_magic.events import Cleared, Displayed, Notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ddp_magic.rundir import RunDir

__all__ = ["FollowedDisplays"]

_PERIOD = 0.1
"""Seconds between two looks."""
_RATE = 1 << 20
"""Bytes a second on average: the server keeps for a closed page whatever we send."""
_SETTLED = 0.03
"""Seconds by which the text that was printed before a display comes later."""
_BATCH = 17 << 20
"""Bytes that one look takes; a file has hardly more."""
_AT_ONCE = 50
"""Outputs that one look publishes: the server drops everything past 1000 messages a second."""
_OUTPUTS = 500
"""Outputs that a run may have at a time; a page shows 50 and offers the rest."""
_BYTES = 64 << 20
"""What they may take; the notebook's file holds them all."""


@dataclass(frozen=True)
class _Line:
    """One line of the file, of which only the beginning was read."""

    time: float
    kind: str
    name: str
    cut: int
    lost: int
    body: bytes


class FollowedDisplays:
    """Follows what rank 0 displays.

    Args:
        run: The run.
    """

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._segment = 0
        self._at = 0
        self._next = 0.0
        self._pending: list[_Line] = []
        self._own: set[str] = set()
        self._sizes: list[int] = []
        self._named: dict[str, int] = {}
        self._said: set[str] = set()

    def read(self, *, whole: bool = False) -> Iterator[Displayed | Cleared | Notice]:
        """Return what is to be published now; all that there is where it is to be the whole."""
        now = time.monotonic()
        if now < self._next and not whole:
            return
        more = whole or sum(len(line.body) for line in self._pending) < _BATCH
        while more:
            more = self._take(whole=whole) and whole
            self._pending = self._visible(self._pending)
        due, self._pending = self._pending, []
        count = size = 0
        for number, line in enumerate(due):
            if not whole and (count == _AT_ONCE or size > _BATCH):
                self._pending = due[number:]
                break
            for event in self._events(line):
                count += not isinstance(event, Notice)
                yield event
            size += len(line.body)
        self._next = now + max(_PERIOD, size / _RATE)

    # -- the files ------------------------------------------------------------------------------

    def _take(self, *, whole: bool) -> bool:
        """Take in what was added; whether there may be more."""
        closed = self._run.displays(self._segment + 1).exists()
        path = self._run.displays(self._segment)
        try:
            with open(path, "rb") as file:
                file.seek(self._at)
                data = file.read(_BATCH)
        except FileNotFoundError:
            return False
        taken = data.rfind(b"\n") + 1
        for text in data[:taken].split(b"\n")[:-1]:
            line = _parsed(text)
            if line is not None and not whole and line.time > time.time() - _SETTLED:
                return False
            self._at += len(text) + 1
            if line is not None:
                self._pending.append(line)
        if closed and len(data) < _BATCH:
            path.unlink(missing_ok=True)
            self._segment, self._at = self._segment + 1, 0
            return True
        return len(data) == _BATCH and taken > 0

    def _visible(self, lines: Sequence[_Line]) -> list[_Line]:
        """Leave out what would be replaced or taken away at once."""
        self._own.update(line.name for line in lines if line.kind == "display")
        kept: list[_Line] = []
        replaced: set[str] = set()
        cleared = False
        for line in reversed(lines):
            if line.kind == "clear":
                if not cleared:
                    kept.append(line)
                cleared = True
                continue
            own = line.kind == "display" or line.name in self._own
            if (cleared and own) or (line.kind == "update" and line.name in replaced):
                continue
            if line.kind == "update":
                replaced.add(line.name)
            kept.append(line)
        return kept[::-1]

    # -- what becomes of a line -----------------------------------------------------------------

    def _events(self, line: _Line) -> Iterator[Displayed | Cleared | Notice]:
        if line.lost:
            yield from self._say(
                line, "Rank 0 displays faster than it can be shown: some outputs are missing."
            )
        if line.kind == "clear":
            self._sizes.clear()
            self._named.clear()
            yield Cleared(time=line.time, wait=line.name == "wait")
            return
        if line.cut:
            yield from self._say(
                line,
                f"Rank 0 displayed an output of {line.cut >> 20} MB; of those above 8 MB only the "
                "text is shown. Save it to a file instead.",
            )
        if not self._fits(line):
            yield from self._say(
                line,
                f"Rank 0 displayed more than {_OUTPUTS} outputs or {_BYTES >> 20} MB; those that "
                "came after are not shown. clear_output() makes room.",
            )
            return
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            data, metadata = decoded(line.body)
            found = bundle(data, metadata)
            if found.widget:
                yield from self._say(
                    line,
                    "Rank 0 displayed a widget, of which a page shows nothing: its program is in "
                    "a worker. Print, draw a figure or update a display instead.",
                )
            yield Displayed(
                time=line.time,
                data=found.data,
                metadata=found.metadata,
                display_id=line.name,
                update=line.kind == "update",
            )

    def _fits(self, line: _Line) -> bool:
        """Count an output in, and tell whether there is room for it."""
        size, known = len(line.body), self._named.get(line.name)
        if known is not None and line.kind == "update":
            room = sum(self._sizes) - self._sizes[known] + size <= _BYTES
            self._sizes[known] = size if room else self._sizes[known]
            return room
        if line.kind == "update":
            return size <= _BYTES  # of an output that is gone, or not ours
        if len(self._sizes) >= _OUTPUTS or sum(self._sizes) + size > _BYTES:
            return False
        if line.name:
            self._named[line.name] = len(self._sizes)
        self._sizes.append(size)
        return True

    def _say(self, line: _Line, text: str) -> Iterator[Notice]:
        kind = text[:40]
        if kind not in self._said:
            self._said.add(kind)
            yield Notice(time=line.time, text=text, warning=True)


def _parsed(text: bytes) -> _Line | None:
    """Return a line; None for what a program may have written into the file itself."""
    head, _, body = text.partition(b"\t")
    try:
        at, kind, name, cut, lost = decoded(head)
        return _Line(float(at), str(kind), str(name), int(cut), int(lost), body)
    except (ValueError, TypeError, RecursionError):
        return None
