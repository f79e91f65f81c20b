"""Runs in the kernel: the cell of a background run, in which its outputs land after its end too.

A message lands in the cell that its parent header names. ipykernel 7 keeps that in context
variables, so a thread needs a copy of the cell's context (7.0 raises LookupError without one, 7.4
takes the newest cell). ipykernel 6 has a single parent header for displays, that of the newest
cell; but the hooks of its publisher, which see a message before it is sent, belong to a thread. So
a thread of ours has the copied context, for streams and widgets, and a hook, for displays.
"""

from __future__ import annotations

import contextvars
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Origin"]

_BEAT = 30.0
"""Seconds between two signs of life. jupyter_server takes a kernel for idle that publishes nothing,
whatever its threads do, and may cull it; the shortest sensible limit is some minutes."""


class Origin:
    """The running cell; made while it runs, it is good for its thread as long as that lives.

    Args:
        publisher: IPython's display publisher, ipykernel's own where there is a kernel.
    """

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher
        self._header: dict[str, Any] = getattr(publisher, "parent_header", None) or {}
        self._context = contextvars.copy_context()
        self._beaten = time.monotonic()
        self._id = uuid4().hex

    @property
    def running(self) -> bool:
        """Whether this is the cell that runs now, told by its request."""
        now: dict[str, Any] = getattr(self._publisher, "parent_header", None) or {}
        return bool(now) and now.get("msg_id") == self._header.get("msg_id")

    def thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        """Return a thread, not started yet, whose outputs land in this cell."""

        def run() -> None:
            if hasattr(self._publisher, "register_hook"):
                self._publisher.register_hook(self._readdress)
            work()

        # a daemon: others are waited for before the exit hooks, one of which ends the run
        return threading.Thread(target=self._context.run, args=[run], name=name, daemon=True)

    def beat(self) -> None:
        """Give a sign of life now and then; to be called often, in the thread.

        It updates an output that was never shown, which a front-end ignores.
        """
        now = time.monotonic()
        if self._header and now - self._beaten >= _BEAT:
            self._beaten = now
            self._publisher.publish({}, transient={"display_id": self._id}, update=True)

    def _readdress(self, message: dict[str, Any]) -> dict[str, Any]:
        message["parent_header"] = self._header
        return message
