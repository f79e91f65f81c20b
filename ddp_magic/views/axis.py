"""One axis of a chart: where a value stands, and its few ticks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Axis"]

_SPAN = 100
"""Where the largest value is so many times the smallest, the logarithm helps."""
_SPIKE = 5
"""The same where most values lie in the lowest tenth: a loss that begins far above them."""


class Axis:
    """Maps values to pixels.

    Attributes:
        log: Whether by their logarithm.
        ticks: Values with their labels, few and round; always at least one.
    """

    def __init__(
        self, values: Sequence[float], *, ticks: int, log: bool | None, tight: bool = False
    ) -> None:
        low, high = min(values), max(values)
        positive = low > 0
        self.log = positive and (_bent(values) if log is None else log)
        if self.log:
            low, high = math.log10(low), math.log10(high)
        if high - low <= 1e-9 * max(abs(low), abs(high)) or high - low < 1e-290:
            pad = abs(high) / 2 or 0.5
            low, high = low - pad, high + pad
            self._low, self._high = low, high
        else:
            pad = 0.0 if tight else (high - low) * 0.04
            self._low, self._high = low - pad, high + pad
        self.ticks = self._decades(low, high, ticks) if self.log else self._round(low, high, ticks)

    def at(self, value: float, start: float, end: float) -> float:
        """Return where a value stands between two pixels."""
        value = math.log10(value) if self.log else value
        return start + (value - self._low) / (self._high - self._low) * (end - start)

    def _round(self, low: float, high: float, count: int) -> list[tuple[float, str]]:
        """Return multiples of 1, 2 or 5 times a power of ten."""
        power = 10.0 ** math.floor(math.log10((high - low) / count))
        for step in (power * 10, power * 5, power * 2, power):
            first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
            if last - first >= count // 2:
                break
        decimals = max(0, -math.floor(math.log10(step)))
        return [(n * step, _label(n * step, decimals)) for n in range(first, last + 1)]

    def _decades(self, low: float, high: float, count: int) -> list[tuple[float, str]]:
        first, last = math.ceil(low), math.floor(high)
        if last <= first:
            marks = [n * 10.0**power for power in range(first - 1, last + 1) for n in (1, 2, 5)]
            within = [v for v in marks if low - 1e-9 <= math.log10(v) <= high + 1e-9]
            return [(v, f"{v:.3g}") for v in within or [10**low]]
        every = max(1, math.ceil((last - first + 1) / (count + 1)))
        return [(10.0**n, f"{10.0**n:g}") for n in range(first, last + 1, every)]


def _bent(values: Sequence[float]) -> bool:
    """Whether the logarithm helps; none of the values is zero or less."""
    low, high = min(values), max(values)
    middle = sorted(values)[len(values) // 2]
    span = high / low
    return span > _SPAN or (span > _SPIKE and (middle - low) / (high - low) < 0.1)


def _label(value: float, decimals: int) -> str:
    """Return a tick's label: no digit more than tells it from the next."""
    if abs(value) >= 1e6 or decimals > 5:
        return f"{value:.10g}" if len(f"{value:.10g}") <= 7 else f"{value:.4g}"
    return f"{value:.{decimals}f}"
