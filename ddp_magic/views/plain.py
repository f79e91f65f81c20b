"""The view as text: nbclient, papermill, `jupyter execute`, plain kernels, terminals."""

from __future__ import annotations

import codecs
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddp_magic.events import (
    Notice,
    OutputChunk,
    RunEnded,
    RunStarted,
    RunState,
    Stalled,
    StateChanged,
    WorkerExited,
    WorkerStarted,
)
from ddp_magic.screen import Screen
from ddp_magic.views import escape
from ddp_magic.views.asking import Asking, parted
from ddp_magic.views.inserted import Raw
from ddp_magic.views.picture import SETTLE, Picture, duration, workers

if TYPE_CHECKING:
    from ddp_magic.events import Event, Stream
    from ddp_magic.views import Controls, Display

__all__ = ["PlainView"]

COLUMNS = 100_000
"""A long line is data that somebody may read back from stdout: clipped late."""
LINES_PER_SECOND = 100
BURST = 2000
LINE_WEIGHT = 500
"""Characters that count as one line."""
LAST = 40
"""Lines that are shown at the end of what was held back."""


@dataclass
class _Source:
    """One stream of one rank, on its way to the cell's own."""

    stream: Stream
    label: str
    log: Path
    screen: Screen = field(default_factory=lambda: Screen(columns=COLUMNS))
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    held: int = 0
    lost: int = 0
    last: deque[str] = field(default_factory=lambda: deque[str](maxlen=LAST))


class PlainView:
    """Writes the shown ranks' output as the cell's own: stdout to stdout, stderr to stderr.

    What is ours (a line at the start, at the end, notices, when it hangs) goes to stderr, so that
    stdout holds the workers' output alone. In a terminal the bytes of a single shown rank go
    through as they are, so that its bars live; elsewhere only final lines do, a hundred a second
    after the first two thousand.

    Args:
        display: Where to write.
        controls: Whom to ask where the ranks are.
        rank_prefix: Whether lines begin with ``[rank1]``; None: where several ranks are shown.
    """

    def __init__(
        self, display: Display, controls: Controls, *, rank_prefix: bool | None = None
    ) -> None:
        self.picture = Picture()
        self._display = display
        self._asking = Asking(controls)
        self._stalled = ("", 0.0)
        self._prefix = rank_prefix
        self._started: RunStarted | None = None
        self._ended: RunEnded | None = None
        self._sources: dict[tuple[int, Stream], _Source] = {}
        self._alive: set[int] | None = None
        self._raw: Raw | None = None
        self._credit = float(BURST)
        self._now = self._settled = 0.0

    def handle(self, event: Event) -> None:
        """Take an event in; what is said rarely is written at once."""
        if not isinstance(event, OutputChunk):
            self.picture.handle(event)
        match event:
            case RunStarted():
                self._start(event)
            case OutputChunk():
                self._output(event)
            case WorkerStarted():
                self._alive = (self._alive or set()) | {event.rank}
            case WorkerExited():
                self._alive = (self._alive or set()) - {event.rank}
            case StateChanged(state=RunState.STOPPING):
                self._say("stopping" + (f": {event.reason}" if event.reason else ""))
            case Notice():
                self._say(("warning: " if event.warning else "note: ") + event.text)
            case Stalled():
                self._stall(event)
            case RunEnded():
                self._ended = event
            case _:
                pass

    def tick(self, now: float) -> None:
        """Write the lines that have become final."""
        self._credit = min(BURST, self._credit + LINES_PER_SECOND * max(0.0, now - self._now))
        self._now = now
        due = now - self._settled >= SETTLE
        self._settled = now if due else self._settled
        for source in self._sources.values():
            if due or source.screen.still:
                self._write(source, [line.text for line in source.screen.settle()])

    def close(self) -> None:
        """Write what is left, and how the run ended."""
        self._flush()
        if self._ended is not None:
            self._say_end(self._ended)

    def bundle(self) -> dict[str, Any]:
        """Return nothing: the run's own line says enough."""
        return {}

    def _flush(self) -> None:
        """Write what was waited with: nobody changes it any more."""
        for source in self._sources.values():
            if self._raw is not None:
                self._write_raw(self._raw, source, source.decoder.decode(b"", final=True))
            self._write(source, [line.text for line in source.screen.finish()])
            source.screen = Screen(columns=COLUMNS)
            self._release(source)
        if self._raw is not None:
            self._display.write(self._raw.end())

    def _start(self, event: RunStarted) -> None:
        self._started = event
        several = len(event.shown) > 1
        prefix = several if self._prefix is None else self._prefix
        self._raw = Raw() if self._display.is_terminal and not prefix else None
        streams: tuple[Stream, Stream] = ("stdout", "stderr")
        for rank in event.shown:
            for stream in streams:
                log = Path(event.log_dir) / f"rank{rank}.{stream}.log"
                label = f"[rank{rank}] " if prefix else ""
                self._sources[rank, stream] = _Source(stream, label, log)
        parts = [workers(event.devices), *event.overrides, *filter(None, [event.note])]
        self._say("· " + " · ".join(escape.line(part, 200) for part in parts))

    def _output(self, event: OutputChunk) -> None:
        source = self._sources.get((event.rank, event.stream))
        if source is None:
            return
        source.lost += event.skipped
        if self._raw is not None:
            self._write_raw(self._raw, source, source.decoder.decode(event.data))
            return
        source.screen.feed(event.data)
        self._write(source, [line.text for line in source.screen.take()])

    def _write_raw(self, raw: Raw, source: _Source, text: str) -> None:
        if text:
            self._display.write(text, stderr=source.stream == "stderr")
            raw.add(text)

    def _write(self, source: _Source, lines: list[str]) -> None:
        out: list[str] = []
        for text in lines:
            weight = max(1.0, len(text) / LINE_WEIGHT)
            line = f"{source.label}{escape.neutral(text)}\n"
            if self._credit < weight:
                source.held += 1
                source.last.append(line)
                continue
            self._credit -= weight
            if source.held or source.lost:
                out.append(self._gap(source, source.held))
                source.held = source.lost = 0
                source.last.clear()
            out.append(line)
        if out:
            self._display.write("".join(out), stderr=source.stream == "stderr")

    def _release(self, source: _Source) -> None:
        """Write the end of what was held back: it is what tells how the run went."""
        missing = source.held - len(source.last)
        lines = [self._gap(source, missing)] if missing or source.lost else []
        if lines or source.last:
            text = "".join([*lines, *source.last])
            self._display.write(text, stderr=source.stream == "stderr")
            source.held = source.lost = 0
            source.last.clear()

    def _gap(self, source: _Source, count: int) -> str:
        lines = [f"{count:,} line{'' if count == 1 else 's'}"] if count else []
        parts = [*lines, *([f"{source.lost:,} bytes"] if source.lost else [])]
        return f"{source.label}… {' and '.join(parts)}, see {escape.line(str(source.log))}\n"

    def _say(self, text: str) -> None:
        if self._alive == set():
            self._flush()
        run_id = self._started.run_id if self._started else ""
        text = f"%%ddp {run_id} {text}" if run_id else f"%%ddp {text}"
        before, after = self._raw.around() if self._raw is not None else ("", "")
        self._display.write(before)
        self._display.write(escape.line(text, 1000) + "\n", stderr=True)
        self._display.write(after)

    def _stall(self, event: Stalled) -> None:
        """Say once that the run seems to hang and where its ranks are, and that it goes on."""
        why, since = self._stalled
        where, _ = parted(self._asking.look(event.why))
        if event.why and not why:
            self._say(f"seems to hang: {event.why} {where}")
        elif why and not event.why:
            self._say(f"goes on, {duration(event.time - since)} after that")
        self._stalled = event.why, since if why else event.time

    def _say_end(self, event: RunEnded) -> None:
        """Say how it ended; why, and what is missing, stands in the error that the cell raises."""
        text = f"{event.state} in {duration(event.duration)}"
        if event.outputs:
            text += " · in the notebook: " + ", ".join(event.outputs)
        self._say(text)
        if event.state is RunState.SUCCEEDED:
            for missing in event.missing:
                self._say(f"did not bring back {missing}")
