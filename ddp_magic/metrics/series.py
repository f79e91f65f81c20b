"""Runs in the kernel: one metric's curve, thinned as it comes."""

from __future__ import annotations

import math
from statistics import fmean

__all__ = ["LIMIT", "Series"]

LIMIT = 400
"""Where there are as many points, which is even, every two become one."""


class Series:
    """A curve of `LIMIT` / 2 to `LIMIT` points, however many values came.

    Each point is the mean of equally many values that followed each other, at the last one's place.

    Attributes:
        x: Where the points are: steps, or the values' numbers.
        y: Their values, all finite.
        thinned: How often every two points became one: what was drawn before is then no beginning
            of what there is.
        last: The newest value, which may be no finite one; None before the first.
        count: Values that came.
        strange: Values that were NaN or infinite.
    """

    def __init__(self) -> None:
        self.x: list[float] = []
        self.y: list[float] = []
        self.thinned = 0
        self.last: float | None = None
        self.count = 0
        self.strange = 0
        self._each = 1
        self._pending: list[float] = []

    @property
    def shown(self) -> str:
        """The newest value for people, in four digits; empty before the first."""
        return "" if self.last is None else f"{self.last:.4g}"

    def add(self, step: float | None, value: float) -> None:
        """Take in a value; without a step it is drawn over its number."""
        self.last = value
        at = self.count if step is None or not math.isfinite(step) else step
        self.count += 1
        if not math.isfinite(value):
            self.strange += 1
            return
        self._pending.append(value)
        if len(self._pending) < self._each:
            return
        self.x.append(at)
        self.y.append(sum(self._pending) / len(self._pending))
        self._pending.clear()
        if len(self.x) == LIMIT:
            self._thin()

    def few(self, most: int) -> tuple[list[float], list[float]]:
        """Return at most so many points, each the mean of neighbours at the last one's place."""
        each = -(-len(self.x) // most) or 1
        ends = range(len(self.x), 0, -each)  # from the end, which people look at
        means = [fmean(self.y[max(0, end - each) : end]) for end in ends]
        return [self.x[end - 1] for end in ends][::-1], means[::-1]

    def _thin(self) -> None:
        self._each *= 2
        self.thinned += 1
        self.x = self.x[1::2]
        self.y = [(a + b) / 2 for a, b in zip(self.y[::2], self.y[1::2], strict=True)]
