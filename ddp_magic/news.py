"""One line from agent or worker to the guard; standard library only, runs in both."""

from __future__ import annotations

import os
from json import dumps  # now: a worker's program may put another in its place
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["tell"]

_PIPE_BUF = 4096


def tell(run: RunDir, **news: Any) -> None:
    """Write one JSON line to the news pipe; atomic, because it is shorter than PIPE_BUF.

    A guard that is gone must not fail us: without a reader the open fails at once (ENXIO).
    """
    line = dumps(news).encode() + b"\n"
    assert len(line) <= _PIPE_BUF
    try:
        pipe = os.open(run.news, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.set_blocking(pipe, True)
        os.write(pipe, line)
    finally:
        os.close(pipe)
