"""Runs in every worker: what a failure was, in notebook lines, before the process ends.

Which rank failed *first by cause* cannot be told by the clock: with ``finally:
destroy_process_group()`` the victim's error is caught before the culprit's. So each worker says
what kind of error its own is, and `failure` (in the kernel) takes the lowest kind.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from enum import IntEnum
from json import dumps  # now: the user's program may put another in its place
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from ddp_magic.sourcemap import CELL
from ddp_magic.worker import lone
from ddp_magic.worker.absent import absent
from ddp_magic.worker.store import PeerFailed
from ddp_magic.worker.termination import Terminated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from ddp_magic.rundir import RunDir
    from ddp_magic.sourcemap import SourceMap

__all__ = ["Kind", "exit_code", "kind", "record"]

_OURS = str(Path(__file__).parent.parent)
_THROUGH = tuple(str(Path(__file__).parent / name) for name in ("frameworks", "training.py"))
"""Ours as well, and below the user's code in a traceback."""
_LOST_PEER = (
    "broken pipe",
    "communicator was aborted",
    "connection closed by peer",
    "connection refused",
    "connection reset",
    "connection was likely closed",
    "failed to recv",
    "remote process exited",
    "socket timeout",
    "timed out connecting",
    "timed out waiting",
)
_TORCH = f"{os.sep}torch{os.sep}"
_LIMIT = 200_000  # characters of a message or a traceback that are kept
_LINE = 1_000


class Kind(IntEnum):
    """How likely an error is the root cause; the lowest is."""

    OWN = 0
    """An error of the user's program, or an exit code that is not 0."""
    UNFINISHED = 1
    """Most likely its own: the rank was still handling it when it was stopped or lost a peer."""
    LOST_PEER = 2
    """A collective that failed, as it does when another rank is gone."""
    STOPPED = 3
    """An interrupt or a termination from outside."""


def kind(error: BaseException) -> Kind:
    """Tell what kind of error this is, by itself and by what it was raised in the handling of."""
    chain = list(_chain(error))
    first = error.__context__ if isinstance(error, SystemExit) else error  # as Lightning leaves
    if isinstance(first, KeyboardInterrupt) or any(isinstance(e, Terminated) for e in chain):
        return Kind.STOPPED
    lost = [_lost_peer(e) for e in chain]
    if lost[0]:
        # in a ``finally``, after an error of its own, or in the ``except`` of a harmless one
        return Kind.LOST_PEER if all(lost) else Kind.UNFINISHED
    return Kind.LOST_PEER if any(lost) else Kind.OWN


def _lost_peer(error: BaseException) -> bool:
    """Tell by type, text and innermost frame whether a collective failed for want of a peer."""
    if isinstance(error, PeerFailed):
        return True
    name = type(error).__name__
    text = _text(error).lower()
    if not any(told in text for told in _LOST_PEER):
        return False
    if name in ("DistBackendError", "DistNetworkError", "DistStoreError"):
        return True
    # Not only of torch.distributed: backward() fails in torch.autograd, Work.wait() in the cell.
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    in_torch = bool(frames) and _TORCH in frames[-1]
    return name == "RuntimeError" and (in_torch or "gloo" in text or "nccl" in text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error, then those that it came from."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            yield found
            todo += [found.__context__, found.__cause__]


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
    text = source_map.relabel(_formatted(error))
    told: dict[str, Any] = {
        "rank": rank,
        "attempt": attempt,
        "time": time(),
        "kind": kind,
        "type": type(error).__name__,
        "message": _text(error)[:_LIMIT],
        "traceback": text if len(text) < _LIMIT else text[: _LIMIT // 2] + text[-_LIMIT // 2 :],
        "code": exit_code(error),
        "module": type(error).__module__,
        "absent": absent(error),
        "file": _file(error),
        "source": _source(error),
        "under": _printable(lone.condition(error)),
        "meeting": lone.meeting(error),
    }
    with contextlib.suppress(OSError):
        path = run.error(rank, attempt)
        part = path.with_suffix(".part")
        part.write_text(dumps(told), encoding="utf-8")
        part.replace(path)


def _file(error: BaseException) -> str:
    """Return the file that an error of the system or of `torch.load` is about, whole, or empty."""
    name: object = getattr(error, "filename", None) if isinstance(error, OSError) else None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__") == "torch.serialization" and not name:
            name = frame.f_locals.get("f")  # of load(), whose errors do not name it
    return os.path.abspath(name) if isinstance(name, (str, Path)) else ""


def _source(error: BaseException) -> str:
    """Return the innermost line of the notebook that the error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    cells = [frame.line or "" for frame in frames if frame.filename.startswith(CELL)]
    return _printable(cells[-1])[:_LINE] if cells else ""


def _text(error: BaseException) -> str:
    try:
        return _printable(str(error))
    except Exception:  # it is the user's own __str__
        return "<exception str() failed>"


def _formatted(error: BaseException) -> str:
    for one in _chain(error):
        _cut(one)
    try:
        lines = traceback.TracebackException.from_exception(error).format()
        return _printable("".join(lines))
    except Exception:  # as above: __notes__ and attributes of the error are the user's
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"{frames}{type(error).__name__}: {_text(error)}\n"


def _printable(text: str) -> str:
    """Return the text without lone surrogates, which no front-end's JSON can hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def _cut(error: BaseException) -> None:
    """Drop the worker's own frames: above the user's, and where it looks at a library's calls."""
    user: TracebackType | None = None
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if user is None and file.startswith(_OURS):
            error.__traceback__ = trace.tb_next
        elif user is not None and file.startswith(_THROUGH):
            user.tb_next = trace.tb_next
        else:
            user = trace
        trace = trace.tb_next
