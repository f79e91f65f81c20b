"""Runs in every worker: what SIGTERM means, by which the agent ends the ranks that are left.

A rank that is failing itself must get to say so: its victim is often the first to be gone, and the
agent then stops the culprit in the middle of its ``finally``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Terminated", "Termination"]


class Terminated(SystemExit):
    """Raised in rank 0 when another rank has failed, so that its `finally` blocks run."""


class Termination:
    """Handles SIGTERM from now on.

    Rank 0 gets an exception, so that its `finally` blocks run and its results are saved. The others
    leave at once, even out of a collective that never returns. A rank that is handling an error
    already does neither: it goes on with that until the guard's deadline.

    Args:
        raises: Whether this is rank 0.
        failing: Is told the error that a rank was handling, on any thread.
    """

    def __init__(self, *, raises: bool, failing: Callable[[BaseException], None]) -> None:
        self.stopped = False
        self._raises = raises
        self._failing = failing
        self._main = threading.get_ident()
        signal.signal(signal.SIGTERM, self._on_signal)
        if not raises:
            # The C handler writes here at once; the Python one waits until a collective returns.
            woken, alarm = os.pipe()
            os.set_blocking(alarm, False)
            signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
            arguments = (woken,)
            threading.Thread(
                target=self._watch, args=arguments, daemon=True, name="ddp_magic termination"
            ).start()

    def _on_signal(self, *_: object) -> None:
        if self.stopped:
            return
        self.stopped = True
        error = sys.exc_info()[1]
        if error is not None:
            self._failing(error)
        elif self._raises:
            raise Terminated(128 + signal.SIGTERM)
        else:
            _leave()

    def _watch(self, woken: int) -> None:
        while data := os.read(woken, 64):
            if signal.SIGTERM in data and not self.stopped:
                self.stopped = True
                handled = _handled(self._main)
                if handled is None:
                    _leave()
                self._failing(handled)


def _leave() -> NoReturn:
    os._exit(128 + signal.SIGTERM)  # as the default action: neither finally nor atexit


def _handled(thread: int) -> BaseException | None:
    """Return the exception that a thread is handling, in an `except` or a `finally`."""
    found = sys._current_exceptions().get(thread)  # type: ignore[attr-defined] # noqa: SLF001
    return found[1] if isinstance(found, tuple) else found  # a triple up to Python 3.11
