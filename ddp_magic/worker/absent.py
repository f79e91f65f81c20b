"""A result that only rank 0 has: what is None in this one, and time for rank 0; in every worker.

Many trainers give their result to rank 0 alone, and the body's next line fails in all others. That
error would end rank 0 in the middle of what it still does with it: a last validation, a save.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddp_magic.processes import cpu_time, descendants
from ddp_magic.sourcemap import CELL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["absent", "wait_for_first"]

_WORD = re.compile(r"(?<![\w.])[^\W\d]\w*")
_LOOK = 0.1
"""Seconds between two looks for rank 0's end."""
_WINDOW = 5.0
"""Seconds in which rank 0 must have computed something to be working."""
_BUSY = 0.1
"""Less of a core than this is idle."""
_UNHEARD = 60.0
"""Seconds to wait where it cannot be told whether rank 0 waits for this rank."""


def absent(error: BaseException | None) -> str | None:
    """Return the name that is None where a line of the notebook fails on None.

    Returns:
        None where it failed on something else or elsewhere; empty where no plain name is None.
    """
    if not isinstance(error, (TypeError, AttributeError)) or "NoneType" not in str(error):
        return None
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not trace.tb_frame.f_code.co_filename.startswith(CELL):
        return None
    line = linecache.getline(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
    return next((name for text in (_failing(trace, line), line) for name in _none(trace, text)), "")


def _none(trace: TracebackType, text: str) -> Iterator[str]:
    """Yield the names in a piece of the failing line that stand for None."""
    frame = trace.tb_frame
    for name in _WORD.findall(text):
        space: Any = frame.f_locals if name in frame.f_locals else frame.f_globals
        if space.get(name, name) is None:
            yield name


def _failing(trace: TracebackType, line: str) -> str:
    """Return the expression that failed, where it stands on one line."""
    positions = [*trace.tb_frame.f_code.co_positions()]
    first, last, start, end = positions[trace.tb_lasti // 2]
    if first is None or first != last or start is None or end is None:
        return ""
    return line.encode()[start:end].decode("utf-8", "replace")


def wait_for_first(over: Path) -> None:
    """Wait until rank 0 has ended, or does nothing any more: it then waits for this rank.

    Without a process group it cannot do that. NCCL waits as busily as others work: a minute then.

    Args:
        over: Is there once rank 0 has saved what comes back.
    """
    backends = _backends()
    patience = _UNHEARD if "nccl" in backends else float("inf")
    until = time.monotonic() + patience
    first = _First()
    while not over.exists() and time.monotonic() < until and (first.works() or not backends):
        time.sleep(_LOOK)


def _backends() -> str:
    """Return what this rank's process group communicates by; empty where there is no group."""
    dist: Any = sys.modules.get("torch.distributed")
    if dist is None or not dist.is_available() or not dist.is_initialized():
        return ""
    return str(dist.get_backend_config())


class _First:
    """Rank 0's processes, seen from another rank: the agent's children, and theirs."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._computed = self._cpu_times()

    def works(self) -> bool:
        """Whether they have computed in the last seconds."""
        if time.monotonic() - self._since < _WINDOW:
            return True
        before = self._computed
        self._since, self._computed = time.monotonic(), self._cpu_times()
        now = self._computed.items()  # a process that has ended takes its time with it
        return sum(spent - before.get(pid, 0.0) for pid, spent in now) > _BUSY * _WINDOW

    def _cpu_times(self) -> dict[int, float]:
        return {pid: cpu_time(pid) for pid in descendants(os.getppid()) if _is_first(pid)}


def _is_first(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"\0RANK=0\0" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    return False
