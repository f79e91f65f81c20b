"""Runs in the kernel: whether a rank stands still while others go on, from the steps they log."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddp_magic.wording import ranks

if TYPE_CHECKING:
    from ddp_magic.events import Metrics

__all__ = ["Drift"]

_STILL = 30.0
"""Seconds without a step before a rank stands still."""
_GAPS = 10
"""And so many times the time that it took from one step to the next."""
_AHEAD = 5
"""So many steps, as they are logged, another rank must have come further meanwhile."""
_NAMES = 60
"""Metrics that are watched at most."""


@dataclass
class _Mark:
    """Where a rank has come to.

    Attributes:
        step: The last step that it logged.
        time: When.
        gap: Seconds from one step to the next, lately.
        stride: What the step rises by, lately.
    """

    step: float
    time: float
    gap: float = 0.0
    stride: float = 0.0

    def move(self, step: float, time: float) -> None:
        """Log a further step."""
        if step > self.step:
            weight = 0.3 if self.stride else 1.0
            self.gap += weight * (time - self.time - self.gap)
            self.stride += weight * (step - self.step - self.stride)
        self.step, self.time = step, time


class Drift:
    """Compares the steps at which ranks log the same metric.

    Ranks of a model that exchanges gradients cannot drift apart by more than a step or two. Where
    only one rank logs, or none says its step, nothing is known.
    """

    def __init__(self) -> None:
        self._marks: dict[str, dict[int, _Mark]] = {}

    def see(self, event: Metrics) -> None:
        """Take in what a rank logged."""
        if not event.logged or event.step is None or not math.isfinite(event.step):
            return
        for name, _ in event.values:
            if name not in self._marks and len(self._marks) >= _NAMES:
                continue
            marks = self._marks.setdefault(name, {})
            if event.rank in marks:
                marks[event.rank].move(event.step, event.time)
            else:
                marks[event.rank] = _Mark(step=event.step, time=event.time)

    def gone(self, rank: int) -> None:
        """Forget a rank that has ended: it stands for good."""
        for marks in self._marks.values():
            marks.pop(rank, None)

    def look(self, now: float) -> str:
        """Return who stands still, in a sentence; empty where nobody does."""
        for marks in self._marks.values():
            if len(marks) > 1 and (said := _apart(marks, now)):
                return said
        return ""


def _apart(marks: dict[int, _Mark], now: float) -> str:
    first = max(marks, key=lambda rank: marks[rank].step)
    lead = marks[first]
    behind = [
        rank
        for rank, mark in sorted(marks.items())
        if now - mark.time >= max(_STILL, _GAPS * mark.gap)
        and lead.time > mark.time
        and lead.step - mark.step > _AHEAD * max(lead.stride, 1e-9)
    ]
    if not behind:
        return ""
    least = min(marks[rank].step for rank in behind)
    who, stand = ranks(behind).capitalize(), "stands" if len(behind) == 1 else "stand"
    at = "at" if all(marks[rank].step == least for rank in behind) else "no further than"
    return f"{who} {stand} {at} step {least:g} while rank {first} is at {lead.step:g}."
