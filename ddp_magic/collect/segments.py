"""Values in `values.pkl`, one pickle after the other with one memo; runs in the kernel.

One memo, because what is one object in the notebook must be one object in the worker, though
lines of the module stand between the two places that load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic.errors import DdpError
from ddp_magic.pickling import BlobWriter, Draft, Pickler, write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.pickling import Sender
    from ddp_magic.rundir import RunDir

__all__ = ["Segments", "WriteError"]


class WriteError(Exception):
    """A value cannot be pickled.

    Attributes:
        cause: What pickling raised.
        culprit: The object inside the value that it was about, as far as is known.
    """

    def __init__(self, cause: Exception, culprit: object) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.culprit = culprit


class Segments:
    """Collects pickles in the order in which the module loads them."""

    def __init__(self, run: RunDir, sender: Callable[[BlobWriter], Sender]) -> None:
        self._run = run
        self._blobs = BlobWriter(run, run.blobs)
        self._sender = sender(self._blobs)
        self._memo: dict[int, tuple[int, Any]] = {}
        self._drafts: list[Draft] = []
        self.names: list[str] = []
        """What each segment holds, in order."""

    def draft(self, value: Any) -> tuple[Draft, Pickler, int]:
        """Pickle a value without adding it yet; returns what `add` takes.

        Pickling finds the definitions that a value refers to, and these must be in the module
        before it; if one of them is new and itself needs values, this draft is void.

        Raises:
            WriteError: It cannot be pickled.
            PlaceError: The disk is full.
        """
        draft, before = Draft(), self._blobs.nbytes
        pickler = Pickler(draft, self._sender)
        pickler.memo = self._memo
        try:
            pickler.dump(value)
        except DdpError:
            raise
        except Exception as error:
            culprit = getattr(error, "culprit", pickler.last)
            raise WriteError(error, culprit) from error
        return draft, pickler, draft.nbytes + self._blobs.nbytes - before

    def add(self, name: str, draft: Draft, pickler: Pickler) -> None:
        """Make a draft the next segment; nothing may have been added since it was made."""
        self._memo = pickler.memo.copy()
        self._drafts.append(draft)
        self.names.append(name)

    def close(self) -> None:
        """Write the file.

        Raises:
            PlaceError: The disk is full.
        """
        self._blobs.close()
        with self._run.creating(self._run.values) as fd:
            for draft in self._drafts:
                for chunk in draft.chunks:
                    write_all(fd, memoryview(chunk))
