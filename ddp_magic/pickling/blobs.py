"""Writes the files beside a pickle that hold the memory it refers to; in the kernel and workers.

Written when all is known, once each byte, straight from where it lies. Large extents are mapped
copy-on-write by every reader, so that all ranks have one copy; small ones are copied by each, so
that a model of 300 little parameters is neither 300 files nor 300 maps. `loans` reads them.
"""

from __future__ import annotations

import contextlib
import os
from json import JSONEncoder  # now: the user's program may put another in its place
from typing import TYPE_CHECKING, Any

from ddp_magic.errors import PlaceError
from ddp_magic.pickling import room
from ddp_magic.pickling.extents import Extent, View, plan
from ddp_magic.pickling.parts import PIECE, Part, Parts, content

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from ddp_magic.rundir import RunDir

__all__ = ["LARGE", "BlobWriter", "write_all"]

LARGE = 1 << 18
"""Bytes from which an extent is mapped instead of copied."""
_HUGE = 1 << 26
"""Bytes from which it has a file of its own, and from which even small ones are mapped."""
_ALIGN = 64  # what torch and numpy align their own allocations to


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

    def keep(self, parts: Parts) -> list[Part]:
        """Have the memory of a draft written in the end; return what none before needed."""
        new = {n: part for n, part in parts.found.items() if n not in self.parts}
        self.parts.update(new)
        return list(new.values())

    def new(self, parts: Parts) -> int:
        """Return how many bytes a draft refers to that none which is kept does."""
        return sum(part.view.needed for n, part in parts.found.items() if n not in self.parts)

    def nbytes(self, parts: Parts | None = None) -> int:
        """Return how many bytes the files will have, with a further draft."""
        found = {**self.parts, **(parts.found if parts else {})}
        return sum(extent.nbytes for extent in self._plan(found))

    def check(self, also: int = 0, *, movable: bool = False) -> Path:
        """Return where the files are to go.

        Args:
            also: Bytes that the caller is about to write into the run's directory.
            movable: Whether they may lie elsewhere, with a link to them in their place.

        Raises:
            NoRoom: They would fill the disk or the machine.
            PlaceError: What the user has chosen is no place for them.
        """
        return self._check(self.nbytes(), also, movable=movable)

    def _check(self, total: int, also: int, *, movable: bool) -> Path:
        place = room.chosen(self._folder, total) if movable and self.parts else self._folder
        if place == self._folder:
            also += total
        else:
            _check(place, total)
        _check(self._folder, also)
        return place

    def close(self, also: int = 0, *, movable: bool = False) -> int:
        """Write the files; return how many bytes they have.

        Args:
            also: As for `check`, which is done first.
            movable: Likewise.

        Raises:
            NoRoom: They would fill the disk or the machine; nothing was written.
            PlaceError: They cannot be written; nothing is left of them.
        """
        extents = self._plan(self.parts)
        total = sum(extent.nbytes for extent in extents)
        place = self._check(total, also, movable=movable)
        if place == self._folder or not self._write_at(place, extents):
            _check(self._folder, total + also)
            with self._undone_on_failure() as made:
                self._write(extents, made)
        return total

    def _write_at(self, place: Path, extents: list[Extent]) -> bool:
        """Write below another place; return whether that went well."""
        if not self._run.move_blobs(place):
            return False
        try:
            self._write(extents, [])
        except PlaceError:  # it has filled up meanwhile
            self._run.unmove_blobs()
            return False
        except BaseException:
            self._run.unmove_blobs()
            raise
        return True

    def _plan(self, parts: Mapping[int, Part]) -> list[Extent]:
        return plan({number: part.view for number, part in parts.items()})

    def _write(self, extents: list[Extent], made: list[Path]) -> None:
        if not extents:
            return
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


def _check(place: Path, nbytes: int) -> None:
    left = room.free(place, nbytes)
    if nbytes > left:
        raise room.NoRoom(nbytes, left, place)


def _files(extents: list[Extent]) -> list[tuple[bool, list[Extent]]]:
    """Return which extents make a file, and whether it is mapped."""
    huge = [extent for extent in extents if extent.nbytes >= _HUGE]
    large = [extent for extent in extents if LARGE <= extent.nbytes < _HUGE]
    small = [extent for extent in extents if extent.nbytes < LARGE]
    many = sum(extent.nbytes for extent in small) >= _HUGE
    files = [(True, [extent]) for extent in huge] + [(True, large), (many, small)]
    return [(mapped, members) for mapped, members in files if members]


def write_all(fd: int, data: memoryview) -> None:
    """Write all of it, piece by piece: a file's time of change moves once a system call only.

    By that time the guard sees that a slow disk is still being written to.
    """
    data = data.cast("B") if data.nbytes else data
    while data:
        data = data[os.write(fd, data[:PIECE]) :]
