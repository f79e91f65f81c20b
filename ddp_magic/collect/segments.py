"""Values in `values.pkl`, one pickle after the other with one memo; runs in the kernel.

One memo, because what is one object in the notebook must be one object in the worker, though
lines of the module stand between the two places that load it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.sizes import Size, no_room, told
from ddp_magic.errors import DdpError
from ddp_magic.pickling import BlobWriter, Draft, NoRoom, Pickler, write_all
from ddp_magic.pickling.deep import deeply
from ddp_magic.rundir import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.pickling import Parts, Sender
    from ddp_magic.rundir import RunDir

__all__ = ["Segment", "Segments", "WriteError"]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A pickled value.

    Attributes:
        value: The value.
        pickler: What wrote it, after all segments before it.
        draft: Its bytes.
        end: An object of its own behind the value, by which its end in the memo is found.
        parts: The memory that it refers to.
        nbytes: What it takes in files.
    """

    value: Any
    pickler: _Segmenting
    draft: Draft
    end: list[object]
    parts: Parts
    nbytes: int


class _Segmenting(Pickler):
    """Writes values one after the other, each into a draft of its own."""

    def __init__(self, sender: Sender) -> None:
        self._sink = _Sink()
        super().__init__(self._sink, sender)

    def write(self, value: object) -> tuple[Draft, list[object]]:
        """Pickle ``(value, end)``; return the draft and that end."""
        draft = self._sink.draft = Draft()
        end: list[object] = []
        self.begin()
        self.dump((value, end))
        return draft, end


class _Sink(Draft):
    """The file of a pickler, whose write method it keeps: another draft for each value."""

    draft: Draft

    def write(self, data: bytes | bytearray | memoryview) -> int:
        return self.draft.write(data)


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
    """Collects pickles in the order in which the module loads them.

    One pickler writes one after the other, so that a segment costs what is new in it. Only where a
    draft fails, or another is needed while it is being made, the memo is copied.
    """

    def __init__(self, run: RunDir, sender: Callable[[BlobWriter], Sender]) -> None:
        self._run = run
        self._blobs = BlobWriter(run, run.blobs)
        self._sender = sender(self._blobs)
        self._pickler = _Segmenting(self._sender)
        self._last: Segment | None = None
        self._clean = True
        self._drafts: list[Draft] = []
        self._sizes: list[Size] = []
        self.names: list[str] = []
        """What each segment holds, in order."""

    def draft(self, value: Any) -> Segment:
        """Pickle a value without adding it yet.

        Pickling finds the definitions that a value refers to, and these must be in the module
        before it; if one of them is new and needs values, these are drafted and added meanwhile,
        and this draft is void.

        Raises:
            WriteError: It cannot be pickled.
            PlaceError: The disk is full.
        """
        pickler = self._pickler

        def write() -> tuple[Draft, list[object]]:
            nonlocal pickler
            pickler = self._pickler if self._clean else self._restored()
            self._clean = False
            return pickler.write(value)

        try:
            draft, end = deeply(write)
        except DdpError:
            raise
        except Exception as error:
            raise WriteError(error, getattr(error, "culprit", pickler.last)) from error
        parts = pickler.parts
        nbytes = draft.nbytes + self._blobs.new(parts)
        return Segment(
            value=value, pickler=pickler, draft=draft, end=end, parts=parts, nbytes=nbytes
        )

    def add(self, name: str, segment: Segment) -> None:
        """Make a draft the next segment; none may have been added since it was begun."""
        self._pickler, self._clean = segment.pickler, True
        self._last = segment
        self._drafts.append(segment.draft)
        parts = self._blobs.keep(segment.parts)
        self._sizes.append(Size(name=name, value=segment.value, nbytes=segment.nbytes, parts=parts))
        self.names.append(name)

    def _restored(self) -> _Segmenting:
        """Return a pickler that knows what the segments hold, and nothing of a draft."""
        made = _Segmenting(self._sender)
        if self._last is not None:
            known = self._pickler.memo.copy()
            size = known[id(self._last.end)][0] + 2  # the tuple around it follows
            made.memo = {key: entry for key, entry in known.items() if entry[0] < size}
        return made

    def close(self, *, dry: bool = False) -> list[str]:
        """Write the files; return what the user should know of large values.

        Args:
            dry: Write nothing, but refuse what would be refused.

        Raises:
            CollectError: They would fill the disk or the machine; nothing was written.
            PlaceError: The disk is full.
        """
        began = time.monotonic()
        nbytes = sum(draft.nbytes for draft in self._drafts)
        swept = self._run.path.parent.name.startswith(PREFIX)
        try:
            if dry:
                self._blobs.check(nbytes, movable=swept)
                return told(self._sizes, 0, 0)
            nbytes += self._blobs.close(nbytes, movable=swept)
        except NoRoom as error:
            raise no_room(self._sizes, error) from None
        with self._run.creating(self._run.values) as fd:
            for draft in self._drafts:
                for chunk in draft.chunks:
                    write_all(fd, memoryview(chunk))
        return told(self._sizes, nbytes, time.monotonic() - began)
