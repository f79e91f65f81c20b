"""Runs in agent and workers: die when the process above dies.

Two ways at once, because each has a hole: PR_SET_PDEATHSIG needs no GIL but exists on Linux only;
end-of-file on the inherited stdin works everywhere but needs the GIL for a moment.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from typing import TYPE_CHECKING

from ddp_magic.processes import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["arm", "free_stdin", "is_cut", "watch"]


def arm(parent: int) -> int:
    """Die with `parent` from now on; return a descriptor of the lifeline for `watch`."""
    die_with_parent(parent)
    return os.dup(0)


def free_stdin() -> None:
    """Put /dev/null in the lifeline's place as standard input."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def is_cut(lifeline: int) -> bool:
    """Whether the guard is gone: nothing is ever written, so readable means end-of-file."""
    return bool(select.select([lifeline], [], [], 0)[0])


def watch(lifeline: int, before: Callable[[], None] | None = None) -> None:
    """Kill our own session, DataLoader workers included, when the guard is gone.

    `before` runs first, in the watching thread.
    """

    def wait() -> None:
        while os.read(lifeline, 1):
            pass
        if before is not None:
            before()
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(70)

    threading.Thread(target=wait, daemon=True, name="ddp_magic lifeline").start()
