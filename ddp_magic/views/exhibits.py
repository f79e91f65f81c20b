"""What rank 0 displays, as outputs of the cell, below the view of whatever kind; kernel only.

`clear_output` takes these away and leaves the view, so it cannot be the notebook's own: an output
that was cleared is blanked, and is the place of the next one. A loop that clears and draws has so
one output, and the saved notebook too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic.events import Cleared, Displayed

if TYPE_CHECKING:
    from ddp_magic.views import Display, Handle

__all__ = ["Exhibits"]

_BLANK: dict[str, Any] = {"text/plain": ""}


class Exhibits:
    """The displays of one run, each an output under an id of ours.

    Args:
        display: Where the outputs go.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._shown: list[Handle] = []
        self._named: dict[str, list[Handle]] = {}
        self._own: set[str] = set()
        self._clearing = False
        self._cleared: list[Handle] = []
        self._blank: list[Handle] = []

    def handle(self, event: Displayed | Cleared) -> None:
        """Show an output, replace one, or take all away."""
        if isinstance(event, Cleared):
            self._clear(wait=event.wait)
        elif event.update:
            self._update(event)
        else:
            self._show(event)

    def settle(self) -> None:
        """Blank what was cleared and has found no successor; call it when events came to an end."""
        for output in self._cleared:
            output.update(_BLANK)
        self._blank += self._cleared
        self._cleared.clear()

    def _show(self, event: Displayed) -> None:
        if self._clearing:
            self._take_away()
        free = self._cleared or self._blank
        if event.display_id:
            # as a page does with a second display under an id
            for output in self._named.get(event.display_id, ()):
                output.update(event.data, event.metadata)
            self._own.add(event.display_id)
        if free:
            output = free.pop(0)
            output.update(event.data, event.metadata)
        else:
            output = self._display.show(event.data, event.metadata)
        self._shown.append(output)
        if event.display_id:
            self._named.setdefault(event.display_id, []).append(output)

    def _update(self, event: Displayed) -> None:
        for output in self._named.get(event.display_id, ()):
            output.update(event.data, event.metadata)
        if event.display_id not in self._own:  # of another cell of the notebook
            self._display.replace(event.display_id, event.data, event.metadata)

    def _clear(self, *, wait: bool) -> None:
        if self._display.is_terminal:  # what was printed there stays
            return
        self._clearing = wait
        if not wait:
            self._take_away()
            self.settle()

    def _take_away(self) -> None:
        self._clearing = False
        self._cleared = [*self._cleared, *self._shown]
        self._shown = []
        self._named.clear()
