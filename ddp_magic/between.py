"""Runs in the kernel: what a background run brings back is bound between cells.

A cell may use a name in many statements, so a thread must not change it in the middle of one: it
would train with one model and save another. Results that come while a cell runs are held back
until no cell does, or until the notebook asks for them (`RunHandle.wait`, `result`, ``await``).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Between"]


class Between:
    """Knows whether a cell runs, and binds names when none does.

    Cells may run within cells (``%run other.ipynb``) and beside each other (subshells).

    Args:
        bind: Sets names of the notebook.
    """

    def __init__(self, bind: Callable[[Mapping[str, Any]], None]) -> None:
        self._bind = bind
        self._lock = threading.RLock()
        self._cells: list[object] = []
        self._held: list[Mapping[str, Any]] = []

    def cell_begins(self, cell: object) -> None:
        """Note that a cell begins; waits while names are being bound."""
        with self._lock:
            self._cells.append(cell)

    def cell_ended(self, cell: object | None) -> None:
        """Note a cell's end, and bind what was held back if it was the only one.

        IPython tells the end of an empty cell whose beginning it did not tell; and the end of an
        interrupted ``await`` without saying of which cell (None): then it is the newest.
        """
        with self._lock:
            if cell is None:
                del self._cells[-1:]
            self._cells = [other for other in self._cells if other is not cell]
            if not self._cells:
                self.flush()

    def bind(self, values: Mapping[str, Any]) -> bool:
        """Bind names now if no cell runs, else hold them back; return whether they are bound."""
        with self._lock:
            self._held.append(values)
            if not self._cells:
                self.flush()
            return not self._cells

    def release(self, values: Mapping[str, Any]) -> None:
        """Bind these now if they are held back: the running cell asks for them."""
        with self._lock:
            if any(held is values for held in self._held):
                self._held = [held for held in self._held if held is not values]
                self._bind(values)

    def flush(self) -> None:
        """Bind all that is held back, in the order in which it came."""
        with self._lock:
            held, self._held = self._held, []
            for values in held:
                self._bind(values)
