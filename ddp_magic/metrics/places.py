"""Runs in the kernel: where a line says that the run is, and where a curve's point lies."""

from __future__ import annotations

import re
from typing import NamedTuple

from ddp_magic.metrics.curves import NAMES
from ddp_magic.metrics.names import words

__all__ = ["Place", "Places", "place"]

_STEPS = words(
    """
    step global_step train_step optimizer_step num_updates update iter iteration it itr
    batch episode round timestep
    """
)
_EPOCHS = frozenset(["epoch", "ep"])
_WORD = re.compile(r"(?<![\w./-])[a-z]\w*+")
_COUNT = re.compile(
    r"(?:\(\w++\))?[\"']?\s*+[:=#|]?\s*+[\[(\"']?\s*+(\d[\d,]*+(?:\.\d++)?)"
    r"(?:\s*+(?:/|of)\s*+\d++)?+(?![\w%]|\.\d|\s*+(?:it|s)/)"
)
_BRACKET = re.compile(r"[\[|]\s*+(\d++)\s*+/\s*+\d++")
_LEADING = re.compile(r"\s*+(?:\[(?:\d++,\s*+)?(?P<n>\d++)\]\s|(?P<m>\d++):\s)")


class Place(NamedTuple):
    """Where a line says that the run is."""

    counter: str
    """What is counted: numbers of one counter can be compared."""
    n: float


def place(text: str) -> Place | None:
    """Return the finest counter that the text names: steps before epochs."""
    low = text.lower()
    epoch: Place | None = None
    at = 0
    for word in _WORD.finditer(low):
        is_step = word[0] in _STEPS
        if (is_step or (word[0] in _EPOCHS and not epoch)) and (
            found := _COUNT.match(low, word.end())
        ):
            n = float(found[1].replace(",", ""))
            if is_step:
                return Place("step", n)
            epoch, at = Place("epoch", n), found.end()
    if found := _BRACKET.search(low, at):
        return Place("batch", float(found[1]))
    if epoch is None and (found := _LEADING.match(low)):
        return Place("step", float(found["n"] or found["m"]))
    return epoch


class _Axis:
    __slots__ = ("at", "base", "counter", "n")

    def __init__(self, where: Place) -> None:
        self.counter, self.n = where
        self.at = self.n
        self.base = 0.0

    def go(self, where: Place) -> float:
        if where.counter != self.counter:
            self.base = self.at - where.n
        elif where.n < self.n:
            self.base = self.at
        self.counter, self.n = where
        self.at = self.base + where.n
        return self.at


class Places:
    """Where each metric's numbers lie: a curve must never go back.

    A bar of each epoch counts its own batches, and a program that shows a metric in a bar may
    print its mean at the end of the epoch. So a counter that falls back goes on from where the
    curve was, and so does a curve whose numbers come with another counter.
    """

    def __init__(self) -> None:
        self._axes: dict[str, _Axis] = {}

    def place(self, name: str, where: Place | None) -> float | None:
        """Return where a number of this name lies; None where nobody ever said."""
        axis = self._axes.get(name)
        if where is None:
            return axis.at if axis else None
        if axis:
            return axis.go(where)
        if len(self._axes) < 2 * NAMES:
            self._axes[name] = _Axis(where)
        return where.n
