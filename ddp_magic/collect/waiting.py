"""Code that workers may run, and the names that it reads; runs in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.collect import code as codes

if TYPE_CHECKING:
    from types import CodeType

__all__ = ["Waiting"]


class Waiting:
    """A queue of code that is to be followed.

    Code of definitions may also run before the body does: unpickling calls ``__setstate__``, what
    ``__reduce__`` names, ``__hash__`` and ``__eq__`` of keys. So whoever adds a value takes the
    names of all code that there is first, followed or not.
    """

    def __init__(self) -> None:
        self._codes: list[CodeType] = []
        self._followed = 0
        self._read = 0
        self._names: set[str] = set()

    def __bool__(self) -> bool:
        return self._followed < len(self._codes)

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, *more: CodeType) -> None:
        """Put code into the queue."""
        self._codes.extend(more)

    def pop(self) -> CodeType:
        """Take the next code out of the queue."""
        self._followed += 1
        return self._codes[self._followed - 1]

    def next_name(self) -> str | None:
        """Take a name that some code reads; None if all were taken."""
        for code in self._codes[self._read :]:
            self._names |= codes.reads(code)
        self._read = len(self._codes)
        if not self._names:
            return None
        name = min(self._names)
        self._names.discard(name)
        return name

    def drop(self, mark: int) -> None:
        """Forget code that was added when the queue had this length."""
        del self._codes[mark:]
        self._followed, self._read = min(self._followed, mark), min(self._read, mark)
