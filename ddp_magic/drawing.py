"""Runs in the kernel: the view of a run, kept from doing harm to it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from ddp_magic.events import (
    Cleared,
    Displayed,
    Notice,
    OutputChunk,
    RunEnded,
    RunStarted,
    RunState,
    StateChanged,
)
from ddp_magic.views import Blind, make
from ddp_magic.views.exhibits import Exhibits

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.events import Event
    from ddp_magic.shell import Shell
    from ddp_magic.views import Controls, Kind, View

__all__ = ["Drawing"]

_LAG = 1 << 20


class Drawing:
    """Hands events to the run's view; a view that fails must not take the training with it.

    One thread at a time draws: that of the cell, and the one that follows a background run.

    Attributes:
        state: The run's state, as the events told it.
        colour: Whether the view draws colours.
        lag: Bytes of a stream that the view may be behind: all in a terminal, which shows every
            byte, less elsewhere, where a view shows the newest lines and should not take a core.
        quiet: Whether the workers' output is not drawn: in a terminal it would run through the
            line that somebody types while a run goes on in the background.
        picture: What is known of the run; of its output only what the view draws.
    """

    def __init__(self, kind: Kind, shell: Shell, controls: Controls) -> None:
        self.state = RunState.STARTING
        self.colour = kind != "plain" or shell.is_terminal
        self.lag = None if kind == "plain" and shell.is_terminal else _LAG
        self.quiet = False
        self._lock = threading.RLock()
        self._shell = shell
        self._log_dir = ""
        self._view: View = make(kind, shell, controls)
        self.picture = self._view.picture
        self._exhibits = Exhibits(shell)

    def show(self, event: Event) -> None:
        """Draw an event; a run that is being stopped does not go on running."""
        if isinstance(event, StateChanged):
            if self.state == RunState.STOPPING and event.state != RunState.STOPPING:
                return
            self.state = event.state
        elif isinstance(event, RunEnded):
            self.state = event.state
        elif isinstance(event, RunStarted):
            self._log_dir = event.log_dir
        elif isinstance(event, Displayed | Cleared):
            if not self.quiet:
                self._exhibit(event)
            return
        if self.quiet and isinstance(event, OutputChunk):
            return
        self._safely(lambda: self._view.handle(event))

    def notice(self, text: str, *, warning: bool = False) -> None:
        """Draw one sentence of ours."""
        self.show(Notice(time=time.time(), text=text, warning=warning))

    def tick(self) -> None:
        """Let the view draw what has changed."""
        self._safely(lambda: self._view.tick(time.time()))
        self._safely(self._exhibits.settle)

    def close(self) -> None:
        """Let the view draw the record."""
        self._safely(self._view.close)
        self._safely(self._exhibits.settle)

    def _exhibit(self, event: Displayed | Cleared) -> None:
        try:
            self._exhibits.handle(event)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            self.notice(f"An output of rank 0 could not be shown ({why}).", warning=True)

    def bundle(self) -> dict[str, Any]:
        """Return what shows the run once more, in another cell's output; from any thread."""
        found: dict[str, Any] = {}
        self._safely(lambda: found.update(self._view.bundle()))
        return found

    def _safely(self, draw: Callable[[], None]) -> None:
        try:
            with self._lock:
                draw()
        except Exception as error:
            self._view = Blind(self.picture)
            self._shell.write(
                f"%%ddp: the view stopped ({type(error).__name__}: {error}); "
                f"the logs go on in {self._log_dir}\n",
                stderr=True,
            )
