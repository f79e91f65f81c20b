"""Runs in the kernel: a run that ends leaves its record, and waits for no disk.

The home directory may be full, read-only, or on a server that does not answer. The run goes on in
each case, and its cell ends in time; the user is told once.
"""

from __future__ import annotations

import contextvars
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["History"]

_PATIENCE = 0.01
"""Seconds that a cell waits, in which a disk that is well has long written the record."""
_WAITING = 8
"""Records that may wait for a slow disk."""


class History:
    """Writes records, one after the other, in threads of their own.

    Attributes:
        trouble: Why the last record could not be written; empty if it could.
    """

    def __init__(self) -> None:
        self.trouble = ""
        self._told = False
        self._one_by_one = threading.Lock()
        self._threads: list[threading.Thread] = []

    def begin(self, write: Callable[[], object]) -> str:
        """Call this in a thread; return what the user is to be told by now, or nothing."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) >= _WAITING:
            self.trouble = "the disk does not answer"
        else:
            context = contextvars.copy_context()
            thread = threading.Thread(
                target=context.run,
                args=(self._try, write),
                name="ddp_magic history",
                daemon=True,  # a server that never answers must not keep the kernel from exiting
            )
            self._threads.append(thread)
            thread.start()
            thread.join(_PATIENCE)
        return self._news()

    def finish(self, seconds: float = 2.0) -> None:
        """Wait for what is being written."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _try(self, write: Callable[[], object]) -> None:
        try:
            with self._one_by_one:
                write()
        except OSError as error:
            self.trouble = error.strerror or str(error)
        except Exception as error:
            self.trouble = f"{type(error).__name__}: {error}"
        else:
            self.trouble = ""

    def _news(self) -> str:
        """Return the one sentence, the first time that there is something to say."""
        if not self.trouble or self._told:
            return ""
        self._told = True
        from ddp_magic.history.store import place

        try:
            where = f" in {place()}"
        except OSError:
            where = ""
        return (
            f"The run history{where} cannot be written: {self.trouble}. The run itself is complete;"
            " set XDG_STATE_HOME to another directory, or write %ddp_config history=off."
        )
