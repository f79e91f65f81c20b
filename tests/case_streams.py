"""Standard streams and ends of the processes that cases run in."""
# ruff: noqa: SIM115 - the streams stay open for as long as their process lives

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

__all__ = ["end_of", "into", "renew"]


def into(out: Path, err: Path) -> None:
    """Have the process write to these files from now on."""
    for fd, path in ((1, out), (2, err)):
        new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(new, fd)
        os.close(new)


def renew() -> None:
    """Make the streams anew, as a fresh interpreter has them; there is nothing to read."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = open(0, closefd=False)
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False, buffering=1)
    sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", closefd=False, buffering=1)


def end_of(pid: int, seconds: float) -> int:
    """Return the exit code of a child that leads a session; kill the session if it takes long."""
    last = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > last:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.002)
