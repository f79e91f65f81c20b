"""Output with bars as tqdm and rich really write it, step by step, on a clock of its own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from unittest import mock

from rich.console import Console
from rich.progress import Progress
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Step", "with_rich", "with_tqdm"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a program does next; what needs a bar is passed over where none is open.

    `say` goes through the library, which moves its bars out of the way; `print` does not.
    """

    kind: Literal["open", "advance", "rename", "say", "print", "close"]
    bar: int = 0
    text: str = ""
    amount: int = 3
    leave: bool = True


class _Stream:
    """Keeps what is written, each write by itself."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._writes: list[bytes] = []

    def write(self, text: str) -> int:
        self._writes.append(text.encode())
        return len(text)

    def flush(self) -> None:
        """There is nothing to flush."""

    def isatty(self) -> bool:
        return True

    def take(self) -> list[bytes]:
        writes, self._writes = self._writes, []
        return writes


def with_tqdm(steps: Iterable[Step]) -> Iterator[list[bytes]]:
    """Yield what tqdm writes for each step, and then for closing what is open."""
    out = _Stream()
    bars: list[tqdm] = []
    ticks = itertools.count()
    with (
        mock.patch("tqdm.std.time", side_effect=lambda: next(ticks) / 10),
        mock.patch.object(tqdm, "monitor_interval", 0),
    ):
        try:
            for step in steps:
                _do_with_tqdm(step, bars, out)
                yield out.take()
        finally:
            for bar in reversed(bars):
                bar.close()
        yield out.take()


def _do_with_tqdm(step: Step, bars: list[tqdm], out: _Stream) -> None:
    bar = bars[step.bar % len(bars)] if bars else None
    match step.kind:
        case "open":
            colour = "green" if step.amount % 2 else None
            bars.append(
                tqdm(total=step.amount, desc=step.text, leave=step.leave, colour=colour,
                     file=out, ncols=70, mininterval=0, miniters=1)
            )  # fmt: skip
        case "advance" if bar is not None:
            bar.update(step.amount)
        case "rename" if bar is not None:
            bar.set_description(step.text)
        case "close" if bar is not None:
            bars.remove(bar)
            bar.close()
        case "say":
            tqdm.write(step.text, file=out)
        case "print":
            out.write(f"{step.text}\n")


def with_rich(steps: Iterable[Step]) -> Iterator[list[bytes]]:
    """Yield what rich writes to begin, for each step, and to end."""
    out = _Stream()
    ticks = itertools.count()
    console = Console(
        file=out, force_terminal=True, width=80, color_system="truecolor", _environ={}
    )
    progress = Progress(console=console, auto_refresh=False, get_time=lambda: next(ticks) / 10,
                        redirect_stdout=False, redirect_stderr=False)  # fmt: skip
    progress.start()
    yield out.take()
    for step in steps:
        _do_with_rich(step, progress, console, out)
        yield out.take()
    progress.stop()
    yield out.take()


def _do_with_rich(step: Step, progress: Progress, console: Console, out: _Stream) -> None:
    ids = progress.task_ids
    bar = ids[step.bar % len(ids)] if ids else None
    match step.kind:
        case "open":
            progress.add_task(step.text, total=step.amount)
        case "advance" if bar is not None:
            progress.advance(bar, step.amount)
        case "rename" if bar is not None:
            progress.update(bar, description=step.text)
        case "close" if bar is not None:
            progress.remove_task(bar)
        case "say":
            console.print(step.text, style="bold magenta" if step.amount % 2 else "")
        case "print":
            out.write(f"{step.text}\n")
    progress.refresh()
