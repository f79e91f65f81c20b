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

__all__ = ["Terminated", "Termination", "die_of", "ignore"]

_PATIENCE = 3.0
"""Seconds that rank 0 gets for an error that it is handling; the guard kills it after 5."""


class Terminated(SystemExit):
    """Raised in rank 0 when another rank has failed, so that its `finally` blocks run."""


class Termination:
    """Handles SIGTERM from now on, unless the user's program sets a handler of its own.

    Rank 0 gets an exception, so that its `finally` blocks run and its results are saved. The others
    leave at once, even out of a collective that never returns. A rank that is handling an error
    does neither: it goes on with that, rank 0 for a moment, the others until the guard's deadline.

    Args:
        raises: Whether this is rank 0.
        failing: Is told the error that a rank was handling, on any thread.
    """

    def __init__(self, *, raises: bool, failing: Callable[[BaseException], None]) -> None:
        self.stopped = False
        self._raises = raises
        self._failing = failing
        self._main = threading.get_ident()
        self._alarm = -1
        signal.signal(signal.SIGTERM, self._on_signal)
        self._held = threading.local()
        os.register_at_fork(
            before=self._hold, after_in_parent=self._release, after_in_child=self._forget
        )
        if not raises:
            # The C handler writes here at once; the Python one waits until a collective returns.
            woken, self._alarm = os.pipe()
            os.set_blocking(self._alarm, False)
            signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
            self._start(self._watch, woken)

    @property
    def _ours(self) -> bool:
        return signal.getsignal(signal.SIGTERM) == self._on_signal

    def _on_signal(self, *_: object) -> None:
        error = sys.exc_info()[1]
        if self._raises and (self.stopped or error is None):
            self.stopped = True
            raise Terminated(128 + signal.SIGTERM)
        if self.stopped:
            return
        self.stopped = True
        if error is None:
            _leave()
        self._failing(error)
        if self._raises:
            self._start(self._insist)

    def _insist(self) -> None:
        """Raise after all: the error may be a harmless one that all of the training is within."""
        threading.Event().wait(_PATIENCE)
        if self._ours:
            signal.pthread_kill(self._main, signal.SIGTERM)

    def _watch(self, woken: int) -> None:
        while data := os.read(woken, 64):
            if signal.SIGTERM in data and self._ours and not self.stopped:
                self.stopped = True
                handled = _handled(self._main)
                if handled is None:
                    _leave()
                self._failing(handled)

    def _hold(self) -> None:
        """Block SIGTERM while forking: who forks may terminate the child before it is its own."""
        self._held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._held.mask)

    def _forget(self) -> None:
        """Let a forked child (of a DataLoader, of a Pool) die of SIGTERM, and alone."""
        found = signal.set_wakeup_fd(-1)
        if found not in (-1, self._alarm):
            signal.set_wakeup_fd(found)
        if self._ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._release()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        name = "ddp_magic termination"
        threading.Thread(target=target, args=arguments, daemon=True, name=name).start()


def ignore() -> None:
    """Let no signal disturb what follows the user's program: saving its results."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def die_of(number: signal.Signals, code: int) -> None:
    """Leave with that code at once when the signal comes."""

    def leave(*_: object) -> None:
        os._exit(code)

    signal.signal(number, leave)


def _leave() -> NoReturn:
    os._exit(128 + signal.SIGTERM)  # as the default action: neither finally nor atexit


def _handled(thread: int) -> BaseException | None:
    """Return the exception that a thread is handling, in an `except` or a `finally`."""
    found = sys._current_exceptions().get(thread)  # type: ignore[attr-defined] # noqa: SLF001
    return found[1] if isinstance(found, tuple) else found  # a triple up to Python 3.11
