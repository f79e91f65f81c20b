"""Views: what a person sees of a run, drawn from events alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ddp_magic.events import Event

__all__ = ["Blind", "Controls", "Display", "Handle", "Kind", "View", "make"]

Kind: TypeAlias = Literal["widget", "html", "plain"]


class View(Protocol):
    """One way to show a run.

    Calls come one after the other: from the running cell's thread and, once the run goes on in the
    background, from another.
    """

    def handle(self, event: Event) -> None:
        """Take an event in; cheap, draws nothing that `tick` could draw."""
        ...

    def tick(self, now: float) -> None:
        """Draw what has changed; called about 20 times a second, `now` as in `time.time`."""
        ...

    def close(self) -> None:
        """Draw the final record; called once, after `RunEnded` was handled."""
        ...

    def bundle(self) -> dict[str, Any]:
        """Return what shows the run in a further output; empty where a line of text has to do."""
        ...


class Handle(Protocol):
    """An output of the cell that can be replaced."""

    def update(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        """Replace the output by this mime bundle."""
        ...


class Display(Protocol):
    """How a view puts output below the cell; `shell.py` gives one, and so can a test."""

    def show(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Handle:
        """Add an output to the cell from a mime bundle and return it."""
        ...

    def replace(self, name: str, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Replace what the notebook displays under an id of its own."""
        ...

    def write(self, text: str, *, stderr: bool = False) -> None:
        """Write plain text as the cell's own print would."""
        ...

    def hear(self, name: str, act: Callable[[object], None]) -> Callable[[], None] | None:
        """Have a page's messages of this type reach us while a cell runs, on another thread.

        Returns:
            What ends it; None where none would come before the cell's end.
        """
        ...

    @property
    def kernel_id(self) -> str:
        """What the Jupyter server calls this kernel; empty where there is none."""
        ...

    @property
    def is_terminal(self) -> bool:
        """Whether `write` reaches a terminal that draws cursor moves itself."""
        ...


class Controls(Protocol):
    """What a person can do to a run through its view; every method may be called on any thread."""

    def stop(self) -> None:
        """Interrupt the run; a second time kills it."""
        ...

    def extend(self, seconds: float) -> None:
        """Give a run that is being stopped so much longer."""
        ...

    def background(self) -> None:
        """Let the cell that blocks at the run go on without it."""
        ...

    def stacks(self) -> str:
        """Return where every rank is; takes up to two seconds. It comes as an event as well."""
        ...


class Blind:
    """Shows nothing: what a run goes on with when its view has failed."""

    def handle(self, event: Event) -> None:
        """Do nothing."""

    def tick(self, now: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def bundle(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


def make(kind: Kind, display: Display, controls: Controls) -> View:
    """Return the view of this kind; HTML where a widget is wanted and anywidget is missing.

    Args:
        kind: What the front-end can show.
        display: Where the view draws.
        controls: What the view's buttons do.
    """
    if kind == "plain":
        from ddp_magic.views.plain import PlainView

        return PlainView(display, controls)
    if kind == "widget":
        with contextlib.suppress(ImportError):
            from ddp_magic.views.widget import WidgetView

            return WidgetView(display, controls)
    from ddp_magic.views.html import HtmlView

    return HtmlView(display, controls)
