"""Runs in the kernel: which of several bars tells how far the run is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ddp_magic.metrics.bars import Bar

__all__ = ["Outermost"]

_ROWS = 50


class _Drawn(NamedTuple):
    key: str
    finished: bool


class Outermost:
    """The bars on one stream's screen.

    The topmost that has a total and is not full tells of the run: nested bars are drawn below the
    bar that they are nested in, whatever tqdm or rich is told. A bar is gone once the cursor did
    not come back to its row between two drawings of others below it.
    """

    def __init__(self) -> None:
        self._rows: dict[int, _Drawn] = {}
        self._low = 0

    def moved(self, low: int) -> None:
        """Learn how far up the cursor was."""
        self._low = min(self._low, low)

    def draw(self, row: int, bar: Bar) -> bool:
        """Take in a drawing; return whether it is of the bar that tells how far the run is."""
        self._rows = {at: old for at, old in self._rows.items() if at >= self._low}
        self._low = row
        if not bar.total:
            return False
        new = _Drawn(bar.key, bar.done >= bar.total)
        old = self._rows.get(row)
        if new.finished and old and not old.finished and old.key != new.key:
            # tqdm leaves an inner bar, once full, in the outer one's row; that one moves down
            self._rows[row + 1] = self._rows.pop(row)
            return False
        for at in [at for at, known in self._rows.items() if known.key == new.key]:
            del self._rows[at]
        self._rows[row] = new
        if len(self._rows) > _ROWS:
            del self._rows[min(self._rows)]
        open_rows = [at for at, known in self._rows.items() if not known.finished]
        return row <= min(open_rows or self._rows)
