"""Runs in the kernel: what a rank reports by `ddp_magic.log`, from its file."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ddp_magic.documents import decoded
from ddp_magic.events import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddp_magic.rundir import RunDir

__all__ = ["Reported"]

_BATCH = 1 << 20
"""Bytes that one look takes: ten thousand lines, and a moment."""


class Reported:
    """Follows the file of one rank.

    Args:
        run: The run.
        rank: The rank.
    """

    def __init__(self, run: RunDir, rank: int) -> None:
        self._path = run.metrics(rank)
        self._rank = rank
        self._at = 0

    def read(self, *, whole: bool = False) -> Iterator[Metrics]:
        """Return what was added, at most a batch where it is not to be the whole."""
        with contextlib.suppress(FileNotFoundError), open(self._path, "rb") as file:
            file.seek(self._at)
            for line in file.read(-1 if whole else _BATCH).splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                self._at += len(line)
                with contextlib.suppress(ValueError, TypeError, AttributeError):
                    yield self._event(line)

    def _event(self, line: bytes) -> Metrics:
        """Return a line's event; a program may have written anything into the file."""
        at, step, values = decoded(line)
        return Metrics(
            time=float(at),
            rank=self._rank,
            step=None if step is None else float(step),
            values=tuple((str(name), float(value)) for name, value in values.items()),
        )
