"""Runs in the kernel: numbers and progress bars read from what a rank prints.

The rule, which rather misses an exotic metric than invents one:

- A line counts if beside one of its numbers there is a metric's name: a word such as loss, acc,
  f1 or ppl, or a name that begins with ``train_`` or ``val_`` (`metrics.names`). Then its other
  named numbers count too, as ``grad_norm`` and ``lr``. A learning rate or an error alone counts
  only where the line names a step or an epoch, since settings are printed in the same form.
- In a bar's postfix every named number counts: the program put it there to be looked at.
- Of a table the columns count if its head names metrics.
- Never: counters, clocks, memory, ranks, ports, versions and the like; a number with a unit or
  with more digits behind a dot or a slash; arguments of a call, source lines, error messages;
  settings (a line with ``seed=`` or ``batch_size:``, or with several True, False or None).

Names stay as they are written, words in front included (``val loss``). Where only case differs,
the first spelling stays. ``Val: loss 0.3`` is ``Val loss``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.events import Metrics, Progress
from ddp_magic.metrics import bars, pairs
from ddp_magic.metrics.curves import NAMES
from ddp_magic.metrics.names import PHASES
from ddp_magic.metrics.outermost import Outermost
from ddp_magic.metrics.pairs import Named
from ddp_magic.metrics.places import Place, Places, place
from ddp_magic.metrics.segments import Segments
from ddp_magic.metrics.tables import Row, Tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddp_magic.events import OutputChunk, Stream
    from ddp_magic.metrics.bars import Bar
    from ddp_magic.metrics.segments import Segment

__all__ = ["Scrape"]

_PATIENCE = 50
"""Drawings of bars on one stream, after which a bar on the other stream is thought dead."""
_BARS = 50
"""Bars of a stream whose last numbers are kept, so that drawing them again tells nothing new."""


class _Written:
    """What was seen on one stream."""

    def __init__(self) -> None:
        self.segments = Segments()
        self.bars = Outermost()
        self.tables = Tables()
        self.shown: dict[str, tuple[Place, Named]] = {}


class Scrape:
    """Reads what one rank prints, both streams.

    Args:
        rank: The rank.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._streams: dict[Stream, _Written] = {}
        self._places = Places()
        self._spelled: dict[str, str] = {}
        self._leader: Stream | None = None
        self._others = 0

    def feed(self, chunk: OutputChunk) -> Iterator[Metrics | Progress]:
        """Yield what the chunk tells, in its order."""
        stream = self._streams.setdefault(chunk.stream, _Written())
        for segment in stream.segments.feed(chunk.data, chunk.skipped):
            stream.bars.moved(segment.low)
            if bar := bars.read(segment.text):
                row = stream.tables.read(bar.label)
                yield from self._progress(chunk, stream, segment, _named(bar, row))
                yield from self._bar(chunk.time, stream, bar, row)
            else:
                yield from self._line(chunk.time, stream, segment.text)

    def _progress(
        self, chunk: OutputChunk, stream: _Written, segment: Segment, bar: Bar
    ) -> Iterator[Progress]:
        if not stream.bars.draw(segment.row, bar) or bar.total is None:
            return
        if self._leader not in (None, chunk.stream) and self._others < _PATIENCE:
            self._others += 1
            return
        self._leader = None if bar.done >= bar.total else chunk.stream
        self._others = 0
        yield Progress(
            time=chunk.time,
            rank=self._rank,
            label=bar.label,
            done=bar.done,
            total=bar.total,
            left=bar.left,
        )

    def _bar(self, time: float, stream: _Written, bar: Bar, row: Row | None) -> Iterator[Metrics]:
        said = place(bar.rest)
        if bar.explicit:
            where = said if said and said.counter == "step" else Place(bar.key, bar.done)
            rest = pairs.stated(bar.rest, bar.label)
        else:
            where = said or Place(bar.key, bar.done)
            rest = pairs.named(bar.rest, counted=True)
        label = Named(row.values) if row else pairs.named(bar.label, counted=False)
        found = Named(label.values + rest.values, rest.phase or label.phase)
        if found.values and stream.shown.get(bar.key) != (where, found):
            if len(stream.shown) >= _BARS:
                stream.shown.clear()
            stream.shown[bar.key] = where, found
            yield from self._metrics(time, where, found)

    def _line(self, time: float, stream: _Written, text: str) -> Iterator[Metrics]:
        if row := stream.tables.read(text):
            yield from self._metrics(time, row.where, Named(row.values))
            return
        where = place(text)
        found = pairs.named(text, counted=where is not None)
        if found.values:
            yield from self._metrics(time, where, found)

    def _metrics(self, time: float, where: Place | None, found: Named) -> Iterator[Metrics]:
        """Yield numbers by where they lie; those of one line nearly always lie together."""
        there: dict[float | None, list[tuple[str, float]]] = {}
        for name, value in found.values:
            own = self._spell(name, found.phase)
            there.setdefault(self._places.place(own, where), []).append((own, value))
        for step, values in there.items():
            yield Metrics(time=time, rank=self._rank, step=step, values=tuple(values), logged=False)

    def _spell(self, name: str, phase: str) -> str:
        if phase and not PHASES & set(name.lower().replace("/", "_").replace(" ", "_").split("_")):
            name = f"{phase} {name}"
        if len(self._spelled) >= 2 * NAMES:
            return self._spelled.get(name.lower(), name)
        return self._spelled.setdefault(name.lower(), name)


def _named(bar: Bar, row: Row | None) -> Bar:
    """Return the bar with a label for people, where its own is a row of a table."""
    return bar._replace(label=f"Epoch {bar.label.split()[0]}") if row and row.where else bar
