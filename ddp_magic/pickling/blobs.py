"""The files beside a pickle that hold the memory it refers to; runs in the kernel and in workers.

Written when all is known, once each byte, straight from where it lies. Large extents are mapped
copy-on-write by every reader, so that all ranks have one copy; small ones are copied by each, so
that a model of 300 little parameters is neither 300 files nor 300 maps.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from json import JSONEncoder, loads  # now: the user's program may put others in their place
from typing import TYPE_CHECKING, Any, NamedTuple

from ddp_magic.errors import PlaceError
from ddp_magic.pickling import room
from ddp_magic.pickling.extents import Extent, View, plan
from ddp_magic.pickling.parts import PIECE, Part, Parts, content

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from ddp_magic.rundir import RunDir

__all__ = ["LARGE", "BlobReader", "BlobWriter", "Loan", "NoRoom", "write_all"]

LARGE = 1 << 18
"""Bytes from which an extent is mapped instead of copied."""
_HUGE = 1 << 26
"""Bytes from which it has a file of its own, and from which even small ones are mapped."""
_ALIGN = 64  # what torch and numpy align their own allocations to


class NoRoom(PlaceError):
    """All that is to be written would fill the disk or the machine; nothing was written.

    Attributes:
        needed: Bytes.
        left: How many of them there is room for.
        place: Where.
    """

    def __init__(self, needed: int, left: int, place: Path) -> None:
        super().__init__(
            f"It takes {room.text(needed)}, and {place} has room for {room.text(left)}. "
            "Set TMPDIR to a directory with more room and restart the kernel."
        )
        self.needed = needed
        self.left = left
        self.place = place


class BlobWriter:
    """Knows what memory drafts refer to, and writes that of those which are kept.

    Args:
        run: The run whose private files these are.
        folder: Where they go.
        prefix: Tells the files of several writers apart.
    """

    def __init__(self, run: RunDir, folder: Path, prefix: str = "") -> None:
        self._run = run
        self._folder = folder
        self._prefix = f"{prefix}-" if prefix else ""
        self._numbers: dict[View, int] = {}
        self.parts: dict[int, Part] = {}
        """What is kept, by number."""

    def draft(self) -> Parts:
        """Return what notes the memory that a draft refers to."""
        return Parts(lambda view: self._numbers.setdefault(view, len(self._numbers)))

    def keep(self, parts: Parts) -> None:
        """Have the memory of a draft written in the end."""
        self.parts.update({n: part for n, part in parts.found.items() if n not in self.parts})

    def new(self, parts: Parts) -> int:
        """Return how many bytes a draft refers to that none which is kept does."""
        return sum(part.view.needed for n, part in parts.found.items() if n not in self.parts)

    def nbytes(self, parts: Parts | None = None) -> int:
        """Return how many bytes the files will have, with a further draft."""
        found = {**self.parts, **(parts.found if parts else {})}
        return sum(extent.nbytes for extent in self._plan(found))

    def close(self, also: int = 0) -> int:
        """Write the files; return how many bytes they have.

        Args:
            also: Bytes that the caller is about to write.

        Raises:
            NoRoom: They would fill the disk or the machine; nothing was written.
            PlaceError: They cannot be written; nothing is left of them.
        """
        extents = self._plan(self.parts)
        total = sum(extent.nbytes for extent in extents)
        left = room.free(self._folder)
        if total + also > left:
            raise NoRoom(total + also, left, self._folder)
        if extents:
            with self._undone_on_failure() as made:
                self._write(extents, made)
        return total

    def _plan(self, parts: Mapping[int, Part]) -> list[Extent]:
        return plan({number: part.view for number, part in parts.items()})

    def _write(self, extents: list[Extent], made: list[Path]) -> None:
        files = _files(extents)
        index: dict[str, Any] = {"files": [], "extents": [], "views": []}
        for number, (mapped, members) in enumerate(files):
            name = f"{self._prefix}{number}.bin"
            index["files"].append([name, mapped])
            offset = 0
            for extent in members:
                offset += -offset % _ALIGN
                device = next(self.parts[n].device for n in extent.views)
                at = len(index["extents"])
                index["extents"].append([number, offset, extent.nbytes, device])
                packed = extent.packed is not None
                index["views"] += [[n, at, begin, packed] for n, begin in extent.views.items()]
                offset += extent.nbytes
            self._write_file(made, name, self._content(members))
        name = f"{self._prefix}index.json"
        self._write_file(made, name, iter([memoryview(JSONEncoder().encode(index).encode())]))

    def _content(self, extents: list[Extent]) -> Iterator[memoryview]:
        offset = 0
        for extent in extents:
            yield memoryview(bytes(-offset % _ALIGN))
            offset += -offset % _ALIGN + extent.nbytes
            yield from content(extent, self.parts[next(iter(extent.views))].storage)

    def _write_file(self, made: list[Path], name: str, pieces: Iterator[memoryview]) -> None:
        waiting = bytearray()
        path = self._folder / name
        with self._run.creating(path) as fd:
            made.append(path)
            for piece in pieces:
                if piece.nbytes >= LARGE or len(waiting) > PIECE:
                    write_all(fd, memoryview(bytes(waiting)))
                    waiting.clear()
                if piece.nbytes >= LARGE:
                    write_all(fd, piece)
                else:
                    waiting += piece
            write_all(fd, memoryview(bytes(waiting)))

    @contextlib.contextmanager
    def _undone_on_failure(self) -> Generator[list[Path]]:
        made: list[Path] = []
        try:
            yield made
        except BaseException:
            for path in made:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise


def _files(extents: list[Extent]) -> list[tuple[bool, list[Extent]]]:
    """Return which extents make a file, and whether it is mapped."""
    huge = [extent for extent in extents if extent.nbytes >= _HUGE]
    large = [extent for extent in extents if LARGE <= extent.nbytes < _HUGE]
    small = [extent for extent in extents if extent.nbytes < LARGE]
    many = sum(extent.nbytes for extent in small) >= _HUGE
    files = [(True, [extent]) for extent in huge] + [(True, large), (many, small)]
    return [(mapped, members) for mapped, members in files if members]


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


def write_all(fd: int, data: memoryview) -> None:
    """Write all of it, piece by piece: a file's time of change moves once a system call only.

    By that time the guard sees that a slow disk is still being written to.
    """
    data = data.cast("B") if data.nbytes else data
    while data:
        data = data[os.write(fd, data[:PIECE]) :]
