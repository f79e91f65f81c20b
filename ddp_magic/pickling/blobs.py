"""Large buffers beside a pickle: one file each, mapped copy-on-write by every reader.

Runs in the kernel and in every worker. Small buffers are collected into one file, which a reader
copies from, so that a model of 300 little parameters is not 300 files.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from ddp_magic.rundir import RunDir

__all__ = ["LARGE", "Blob", "BlobReader", "BlobWriter", "memory_at", "write_all"]

LARGE = 1 << 18
"""Bytes from which a buffer gets a file of its own, mapped instead of copied."""

_PIECE = 16 << 20
_ALIGN = 64  # what torch and numpy align their own allocations to


class Blob(NamedTuple):
    """Where a buffer lies: a file name in the blobs' directory, a place in it, a size."""

    file: str
    offset: int
    nbytes: int


class BlobWriter:
    """Writes buffers once each, however often they are referred to.

    Args:
        run: The run whose private files these are.
        folder: Where they go.
        prefix: Tells the files of several writers apart.
    """

    def __init__(self, run: RunDir, folder: Path, prefix: str = "") -> None:
        self._run = run
        self._folder = folder
        self._prefix = prefix
        self._small = bytearray()
        self._known: dict[object, Blob] = {}
        self._kept: list[object] = []
        self._files = 0
        self.nbytes = 0

    def has(self, key: object) -> bool:
        """Whether a buffer was placed."""
        return key in self._known

    def place(self, key: object, data: memoryview, keep: object) -> Blob:
        """Return where the buffer lies, writing it the first time that `key` is seen.

        Args:
            key: Tells buffers apart, as an address does while `keep` lives.
            data: The bytes.
            keep: Owns the memory; held until this writer goes, so that no other buffer can get
                the same address meanwhile.
        """
        if key not in self._known:
            self._kept.append(keep)
            self._known[key] = self._write(data)
            self.nbytes += data.nbytes
        return self._known[key]

    def close(self) -> None:
        """Write the small buffers out."""
        if self._small:
            self._run.write(self._folder / self._pack, bytes(self._small))
            self._small.clear()

    @property
    def _pack(self) -> str:
        return f"{self._prefix}small.bin"

    def _write(self, data: memoryview) -> Blob:
        if data.nbytes >= LARGE:
            name = f"{self._prefix}{self._files}.bin"
            self._files += 1
            with self._run.creating(self._folder / name) as fd:
                write_all(fd, data)
            return Blob(name, 0, data.nbytes)
        self._small.extend(bytes(-len(self._small) % _ALIGN))
        offset = len(self._small)
        self._small.extend(data)
        return Blob(self._pack, offset, data.nbytes)


class BlobReader:
    """Gives the buffers that a `BlobWriter` wrote, writable, without changing the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storages: dict[Blob, Any] = {}
        """What was made of a blob and must be the same object for all that share it."""
        self._packs: dict[str, bytes] = {}

    def buffer(self, blob: Blob) -> bytearray | mmap.mmap:
        """Return the bytes: a private map of a large blob, a copy of a small one."""
        path = self.folder / blob.file
        if blob.nbytes >= LARGE:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            with contextlib.closing(os.fdopen(fd, "rb")):
                return mmap.mmap(fd, blob.nbytes, access=mmap.ACCESS_COPY)
        if blob.nbytes and blob.file not in self._packs:
            self._packs[blob.file] = path.read_bytes()
        pack = self._packs.get(blob.file, b"")
        return bytearray(pack[blob.offset : blob.offset + blob.nbytes])


def memory_at(address: int, nbytes: int) -> memoryview:
    """Return the bytes at an address; its owner must outlive the view."""
    return memoryview((ctypes.c_ubyte * nbytes).from_address(address)).cast("B")


def write_all(fd: int, data: memoryview) -> None:
    """Write all of it, piece by piece: a file's time of change moves once a system call only.

    By that time the guard sees that a slow disk is still being written to.
    """
    data = data.cast("B") if data.nbytes else data
    while data:
        data = data[os.write(fd, data[:_PIECE]) :]
