"""Runs in the guard: carries every rank's output, byte for byte, from its pipe into a capped log.

The guard drains and not the kernel, so that a busy kernel or a closed browser never makes a worker
wait in write(2) (a pipe holds 64 KiB).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from functools import partial
from typing import TYPE_CHECKING

from ddp_magic.rundir import KEPT, SEGMENT

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["Log", "Pump"]

_CHUNK = 1 << 20
_F_SETPIPE_SZ = 1031  # Linux; fcntl has the name since Python 3.10, on Linux only


class Log:
    """A stream's bytes in files of `SEGMENT` bytes, of which the oldest and newest stay."""

    def __init__(self, run: RunDir, rank: int, stream: str) -> None:
        self._path = partial(run.log, rank, stream)
        self._segment = 0
        self._size = 0
        self._fd = self._open(0)

    def write(self, data: bytes) -> None:
        """Append; raises OSError where the disk is full."""
        view = memoryview(data)
        while view:
            if self._size == SEGMENT:
                self._next()
            written = os.write(self._fd, view[: SEGMENT - self._size])
            self._size += written
            view = view[written:]

    def close(self) -> None:
        """Close the current file."""
        os.close(self._fd)

    def _open(self, segment: int) -> int:
        return os.open(
            self._path(segment), os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600
        )

    def _next(self) -> None:
        fd = self._open(self._segment + 1)
        os.close(self._fd)
        self._fd, self._size = fd, 0
        self._segment += 1
        too_old = self._segment - KEPT
        if too_old >= KEPT:
            with contextlib.suppress(OSError):
                self._path(too_old).unlink()


class Pump:
    """All pipes of a worker group and their logs.

    Attributes:
        failed: Why output was lost (a full disk), or None.
        moved: Bytes that came through so far, by rank.
    """

    def __init__(self, run: RunDir, ranks: int) -> None:
        self.failed: str | None = None
        self.moved = [0] * ranks
        self._ranks: dict[int, int] = {}
        self._logs: dict[int, Log] = {}
        for rank in range(ranks):
            for stream in ("stdout", "stderr"):
                # Our own write end keeps the pipe from ever reporting end-of-file, and torch's
                # blocking open() for writing never has to wait for a reader.
                fd = os.open(run.pipe(rank, stream), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                with contextlib.suppress(OSError):
                    fcntl.fcntl(fd, _F_SETPIPE_SZ, _CHUNK)
                self._logs[fd] = Log(run, rank, stream)
                self._ranks[fd] = rank

    @property
    def fds(self) -> list[int]:
        """The pipes to wait on."""
        return list(self._logs)

    def move(self, fd: int) -> bool:
        """Move what one pipe holds now; return whether there was anything."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        self.moved[self._ranks[fd]] += len(data)
        try:
            self._logs[fd].write(data)
        except OSError as error:
            self.failed = error.strerror
        return bool(data)

    def drain(self) -> None:
        """Move all that the pipes hold; end-of-file never comes, so stop when they are empty."""
        for fd in self._logs:
            while self.move(fd):
                pass

    def close(self) -> None:
        """Close pipes and logs."""
        for fd, log in self._logs.items():
            os.close(fd)
            log.close()
        self._logs.clear()
