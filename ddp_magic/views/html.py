"""The view as an HTML output that is redrawn: front-ends without our widget (VS Code, Colab)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic.views.asking import Asking
from ddp_magic.views.meanwhile import stop
from ddp_magic.views.picture import Picture
from ddp_magic.views.record import record

if TYPE_CHECKING:
    from ddp_magic.events import Event
    from ddp_magic.views import Controls, Display, Handle

__all__ = ["HtmlView"]

SECONDS_BETWEEN = 0.5
"""Each drawing costs as much as the whole record; a page cannot keep a selection through it."""
SECONDS_QUIET = 5.0
"""Without news only the elapsed time, the curves and what the machine does change."""


class HtmlView:
    """Draws the record itself while the run goes on; stopping is the front-end's interrupt.

    Args:
        display: Where to draw.
        controls: Whom to ask where the ranks are.
    """

    def __init__(self, display: Display, controls: Controls) -> None:
        self._display = display
        self._asking = Asking(controls)
        self.picture = Picture()
        self._stacks = ""
        self._handle: Handle | None = None
        self._drawn = (-1, -1)
        self._drawn_at = 0.0

    def handle(self, event: Event) -> None:
        """Take an event in."""
        self.picture.handle(event)

    def tick(self, now: float) -> None:
        """Draw at most twice a second, and only where something changed."""
        self.picture.settle(now)
        versions = (self.picture.version, self.picture.output_version)
        wait = SECONDS_QUIET if versions == self._drawn else SECONDS_BETWEEN
        if now - self._drawn_at >= wait:
            self._drawn, self._drawn_at = versions, now
            self._stacks = self._stacks if self.picture.stalled else ""
            hint = stop(self.picture)
            self._draw(record(self.picture, now, hint=hint, stacks=self._stacks))
            # asked once that the run hangs has been drawn, and drawn soon: it takes a while
            if answer := self._asking.look(self.picture.stalled):
                self._stacks, self._drawn = answer, (-1, -1)

    def close(self) -> None:
        """Draw the final record."""
        self._draw(record(self.picture))

    def bundle(self) -> dict[str, Any]:
        """Return the record as it is now."""
        return dict(record(self.picture))

    def _draw(self, data: dict[str, str]) -> None:
        if self._handle is None:
            self._handle = self._display.show(data)
        else:
            self._handle.update(data)
