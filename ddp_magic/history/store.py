"""Runs in the kernel: the files of the run history, one for each run.

Kernels on several machines may share the home directory through NFS, where SQLite's locks are not
to be trusted and its write-ahead log does not work at all. So there is no database and no lock: a
number is taken by creating its file, which exactly one process can do, and the content comes by a
rename. A broken file costs one run and not the history, and an unknown one is left alone.

A file is two gzip members that make one document: who looks for runs reads the first of each, which
is short, and there is no index that could tell of other runs than are there.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import re
import secrets
import stat
import time
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ddp_magic.history.records import RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Store", "place"]

RUNS = 1000
"""Older ones go."""
BYTES = 32 << 20
"""Likewise, by what all files take."""
LOOKS = 16
"""How often that is looked at, in runs: each of a thousand files has to be asked."""
_LARGEST = 16 << 20
"""What one record may be at most when it is unpacked."""
_FIRST = 1 << 14
"""Bytes of a file that are read for a glance."""
_GZIP = 16 + zlib.MAX_WBITS
_BROKEN = (OSError, ValueError, EOFError, zlib.error)
_NAME = re.compile(r"([1-9][0-9]{0,8})\.json\.gz")
_FORGOTTEN = 3600.0
"""Seconds after which an unfinished file is one of a kernel that died."""


def place(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of this user's history, after the XDG base directory specification.

    Raises:
        OSError: The user has no home.
    """
    state = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # a relative one is to be ignored
        home = os.path.expanduser("~")
        if not os.path.isabs(home):
            raise FileNotFoundError(2, "there is no home directory")
        state = os.path.join(home, ".local", "state")
    return Path(state, "ddp_magic", "runs")


class Store:
    """The history in one directory; an empty file is a number that is taken.

    Args:
        folder: The directory; made, 0700, when something is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, record: RunRecord) -> int:
        """Keep a record and return its number; the oldest ones make room.

        Raises:
            OSError: It cannot be written.
        """
        self._make()
        new = self.folder / f".{secrets.token_hex(8)}.new"
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            with open(os.open(new, flags, 0o600), "wb") as file:
                file.writelines(gzip.compress(part, 6) for part in record.written())
            number = self._claim(flags)
            new.replace(self._path(number))
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        self._trim(number)
        return number

    def numbers(self) -> list[int]:
        """Return the numbers of what is there, the oldest first.

        Raises:
            OSError: The directory cannot be read.
        """
        return [number for number in sorted(self._taken()) if self._size(number)]

    def read(self, number: int) -> RunRecord | None:
        """Return a record; None where there is none, or none that can be read."""
        with contextlib.suppress(*_BROKEN), self._opened(number) as raw, gzip.open(raw) as file:
            return RunRecord.read(number, file.read(_LARGEST))
        return None

    def glance(self, number: int) -> RunRecord | None:
        """Return a record without code and points, which takes a twentieth of the time."""
        with contextlib.suppress(*_BROKEN), self._opened(number) as raw:
            part = zlib.decompressobj(_GZIP)
            data = part.decompress(raw.read(_FIRST) or b"", _LARGEST)
            if part.eof:
                return RunRecord.read(number, data)
        return self.read(number)  # of an older version, or its first part is large

    def _opened(self, number: int) -> IO[bytes]:
        # a FIFO or a device of that name must not keep us waiting
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        return open(os.open(self._path(number), flags), "rb", buffering=0)

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove records; their numbers are not given again.

        Raises:
            OSError: The directory cannot be written.
        """
        newest = max(self._taken(), default=0)
        for number in numbers:
            if number == newest:
                os.truncate(self._path(number), 0)
            else:
                self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.json.gz"

    def _taken(self) -> list[int]:
        """Return all numbers in use."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return [int(match[1]) for name in names if (match := _NAME.fullmatch(name))]

    def _size(self, number: int) -> int:
        """Return the bytes of a file; 0 where another kernel has removed it, or it is no file."""
        with contextlib.suppress(FileNotFoundError):
            info = self._path(number).lstat()
            return info.st_size if stat.S_ISREG(info.st_mode) else 0
        return 0

    def _make(self) -> None:
        os.makedirs(self.folder.parent, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)
        info = self.folder.stat()
        if not stat.S_ISDIR(info.st_mode):
            raise NotADirectoryError(20, "it is no directory")
        if info.st_uid != os.geteuid():
            raise PermissionError(1, "it belongs to another user")
        if stat.S_IMODE(info.st_mode) & 0o077:
            self.folder.chmod(0o700)

    def _claim(self, flags: int) -> int:
        for number in itertools.count(max(self._taken(), default=0) + 1):
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path(number), flags, 0o600))
                return number
        raise AssertionError  # itertools.count does not end

    def _trim(self, newest: int) -> None:
        taken = sorted(self._taken())
        for number in taken[:-RUNS]:
            self._path(number).unlink(missing_ok=True)
        if newest % LOOKS:
            return
        total = 0
        for number in reversed(taken[-RUNS:]):
            total += self._size(number)
            if total > BYTES and number != newest:
                self._path(number).unlink(missing_ok=True)
        for left in self.folder.glob(".*.new"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _FORGOTTEN:
                    left.unlink()
