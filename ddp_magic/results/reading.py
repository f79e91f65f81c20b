"""Runs in the kernel: reads segments that share a memo, so that one failure costs one name."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from ddp_magic.pickling import Unpickler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.pickling import Receiver

__all__ = ["Segment", "Segments"]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One name's part of a file.

    Attributes:
        name: The variable.
        size: Its bytes in the file.
        mark: How many objects the memo holds behind it.
    """

    name: str
    size: int
    mark: int


class _Lost:
    """Stands in the memo for every object of a segment that could not be read."""


@dataclass(kw_only=True)
class Segments:
    """Reads a file's segments one after the other: later ones refer to earlier ones.

    Attributes:
        file: The file, at its beginning.
        receiver: How this process reads it.
        kind: The unpickler.
        values: What was read, by name.
        errors: Why what could not be read could not, by name.
    """

    file: BinaryIO
    receiver: Receiver
    kind: type[Unpickler] = Unpickler
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    errors: dict[str, str] = field(default_factory=dict[str, str])

    def read(self, segments: Sequence[Segment]) -> None:
        """Read them all."""
        unpickler = self.kind(self.file, self.receiver)
        lost = _Lost()
        behind = mark = 0
        for segment in segments:
            behind += segment.size
            value = None  # which may hold what is counted next
            known = sys.getrefcount(lost)
            try:
                value = unpickler.load()
            except Exception as error:
                told = f"{type(error).__name__} while it was read here: {error}"
                self.errors[segment.name] = told
                unpickler = self._after(unpickler, lost, range(mark, segment.mark), behind)
            else:
                if sys.getrefcount(lost) > known:
                    why = f"it shares objects with {', '.join(self.errors)}"
                    self.errors[segment.name] = f"{why}, which could not be read"
                    unpickler = self._after(unpickler, lost, range(mark, segment.mark), behind)
                else:
                    self.values[segment.name] = value
            mark = segment.mark

    def _after(self, failed: Unpickler, lost: _Lost, bad: range, behind: int) -> Unpickler:
        """Return an unpickler for what is behind a segment, with the memo that this counts on."""
        self.file.seek(behind)
        memo = {**failed.memo.copy(), **dict.fromkeys(bad, lost)}
        return _Recalling(self.file.read(), self.receiver, [memo[i] for i in range(bad.stop)])


class _Recalling(Unpickler):
    """Begins with a memo; to set the attribute does not do (CPython forgets its length)."""

    def __init__(self, rest: bytes, receiver: Receiver, memo: list[Any]) -> None:
        recall = b"".join(
            b"J%bQ\x940" % i.to_bytes(4, "little")  # BININT i, BINPERSID, MEMOIZE, POP
            for i in range(len(memo))
        )
        super().__init__(io.BytesIO(b"\x80\x05" + recall + b"N." + rest), receiver)
        self._recalled = memo
        self.load()

    def persistent_load(self, pid: Any) -> Any:
        if type(pid) is int:
            return self._recalled[pid]
        return super().persistent_load(pid)
