"""Runs in every worker: standard streams, stacks on demand, and leaving the process."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from ddp_magic.rundir import STACKS_SIGNAL

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["leave", "open_streams", "prefer_for_oom", "stacks_on_signal"]


def open_streams() -> None:
    """Make stdout and stderr line-buffered UTF-8 that never fails on a character.

    Buffered by the line, a print() is one write: under -u it would be several, and other writers'
    text would tear it.
    """
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = os.fdopen(
            fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def stacks_on_signal(run: RunDir, rank: int) -> None:
    """Write every thread's stack to the run directory on demand, even while the GIL is held."""
    fd = os.open(run.stacks(rank), os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    # what a library finds that puts all signals back: the default would be to die
    signal.signal(STACKS_SIGNAL, signal.SIG_IGN)
    faulthandler.register(STACKS_SIGNAL, file=fd, all_threads=True, chain=False)
    faulthandler.enable(file=2)


def prefer_for_oom() -> None:
    """Let the system's out-of-memory killer take a worker before it takes the kernel."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")


def leave(code: int) -> NoReturn:
    """End the process as the interpreter would, but without tearing torch down.

    Non-daemon threads are joined by `threading._shutdown`, the one function that also tells idle
    `concurrent.futures` pools to end; C streams have buffers of their own.
    """
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()  # type: ignore[attr-defined] # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    with contextlib.suppress(BaseException):
        ctypes.CDLL(None).fflush(None)
    os._exit(code)
