"""Reads the files that `blobs` has written: lends it to arrays and tensors; both sides."""

from __future__ import annotations

import contextlib
import mmap
import os
from json import loads  # now: the user's program may put another in its place
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BlobReader", "Loan"]


class Loan(NamedTuple):
    """Where a reader finds the memory that a part had."""

    blobs: BlobReader
    extent: int
    offset: int
    """Where the part's first byte is in the extent."""
    packed: bool
    devices: bool
    """Whether memory of a GPU goes to a GPU again."""


class BlobReader:
    """Gives the memory that a `BlobWriter` wrote, writable, without changing the files.

    Args:
        folder: Where the files are.
        prefix: The writer's.

    Attributes:
        arrays: What numpy made of an extent, as bytes; all arrays in it look at this one.
        storages: What torch made of an extent.
    """

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self._folder = folder
        self._prefix = f"{prefix}-" if prefix else ""
        self._index: dict[str, Any] = {}
        self._files: dict[int, Any] = {}
        self._memory: dict[int, memoryview] = {}
        self.arrays: dict[int, Any] = {}
        self.storages: dict[int, Any] = {}

    def loan(self, number: int, *, devices: bool) -> Loan:
        """Return where a part's memory is."""
        if not self._index:
            index = loads((self._folder / f"{self._prefix}index.json").read_bytes())
            index["views"] = {view[0]: view[1:] for view in index["views"]}
            self._index = index
        extent, offset, packed = self._index["views"][number]
        return Loan(self, extent, offset, packed, devices)

    def size(self, extent: int) -> int:
        """Return an extent's bytes."""
        return self._index["extents"][extent][2]

    def device(self, extent: int) -> str:
        """Return the device that an extent was on, as ``cpu`` or ``cuda:0``."""
        return self._index["extents"][extent][3]

    def mapped(self, extent: int) -> bool:
        """Whether an extent is mapped, and not copied."""
        return self._index["files"][self._index["extents"][extent][0]][1]

    def memory(self, extent: int) -> memoryview:
        """Return an extent's own memory, always the same: a part of a map, or a copy."""
        if extent not in self._memory:
            data = self.data(extent)
            self._memory[extent] = data if self.mapped(extent) else memoryview(bytearray(data))
        return self._memory[extent]

    def data(self, extent: int) -> memoryview:
        """Return an extent's bytes in the file, for a copy where the file is not mapped."""
        number, offset, nbytes, _ = self._index["extents"][extent]
        if number not in self._files:
            name, mapped = self._index["files"][number]
            path = self._folder / name
            self._files[number] = _map(path) if mapped else path.read_bytes()
        return memoryview(self._files[number])[offset : offset + nbytes]

    def forget(self) -> None:
        """Let go of all memory that nobody uses."""
        for kept in (self._files, self._memory, self.arrays, self.storages):
            kept.clear()


def _map(path: Path) -> mmap.mmap:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.closing(os.fdopen(fd, "rb")):
        return mmap.mmap(fd, 0, access=mmap.ACCESS_COPY)
