"""Runs in every worker: what a failure was, in notebook lines, before the process ends.

Which rank failed *first by cause* cannot be told by the clock: with ``finally:
destroy_process_group()`` the victim's error is caught before the culprit's. So each worker says
what kind of error its own is, and `failure` (in the kernel) takes the lowest kind.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import traceback
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from ddp_magic.rundir import RunDir
    from ddp_magic.sourcemap import SourceMap

__all__ = ["Kind", "exit_code", "kind", "record"]

_OURS = str(Path(__file__).parent.parent)
_LOST_PEER = (
    "connection closed by peer",
    "connection reset",
    "remote process exited",
    "broken pipe",
    "socket timeout",
    "connection refused",
    "connection was likely closed",
)
_LIMIT = 200_000  # characters of a traceback that are kept


class Kind(IntEnum):
    """How likely an error is the root cause; the lowest is."""

    OWN = 0
    """An error of the user's program, or an exit code that is not 0."""
    UNFINISHED = 1
    """An error that the rank was still handling when it was stopped: most likely its own."""
    LOST_PEER = 2
    """A collective that failed, as it does when another rank is gone."""
    STOPPED = 3
    """An interrupt or a termination from outside."""


def kind(error: BaseException) -> Kind:
    """Tell what kind of error this is, by its type, its innermost frame and its text."""
    if isinstance(error, KeyboardInterrupt):
        return Kind.STOPPED
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    in_torch = bool(frames) and f"torch{os.sep}distributed" in frames[-1]
    named = type(error).__name__ in (
        "DistBackendError",
        "DistNetworkError",
        "DistStoreError",
        "RuntimeError",
    )
    told = any(t in str(error).lower() for t in _LOST_PEER)
    return Kind.LOST_PEER if named and in_torch and told else Kind.OWN


def exit_code(error: BaseException) -> int:
    """Return what the interpreter would exit with after this error."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        return 1
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def record(
    run: RunDir,
    error: BaseException,
    *,
    rank: int,
    attempt: int,
    source_map: SourceMap,
    kind: Kind,
) -> None:
    """Write what the kernel needs to explain this error to `RunDir.error`."""
    _cut(error, set())
    text = "".join(traceback.TracebackException.from_exception(error).format())
    text = source_map.relabel(text)
    told: dict[str, Any] = {
        "rank": rank,
        "attempt": attempt,
        "time": time.time(),
        "kind": kind,
        "type": type(error).__name__,
        "message": str(error)[:_LIMIT],
        "traceback": text if len(text) < _LIMIT else text[: _LIMIT // 2] + text[-_LIMIT // 2 :],
        "code": exit_code(error),
        "module": type(error).__module__,
    }
    with contextlib.suppress(OSError):
        path = run.error(rank, attempt)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(told), encoding="utf-8")
        part.replace(path)


def _cut(error: BaseException, seen: set[int]) -> None:
    """Drop the worker's own frames from an error and from those that it came from."""
    if id(error) in seen:
        return
    seen.add(id(error))
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    error.__traceback__ = trace
    for other in (error.__cause__, error.__context__):
        if other is not None:
            _cut(other, seen)
