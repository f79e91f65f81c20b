"""Runs in the kernel: the files of the run history, one for each run.

Kernels on several machines may share the home directory through NFS, where SQLite's locks are not
to be trusted and its write-ahead log does not work at all. So there is no database and no lock: a
number is taken by creating its file, which exactly one process can do, and the content comes by a
rename. A broken file costs one run and not the history, and an unknown one is left alone.
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
from typing import TYPE_CHECKING

from ddp_magic.history.records import RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Store", "place"]

RUNS = 1000
"""Older ones go."""
BYTES = 32 << 20
"""Likewise, by what all files take."""
_LARGEST = 16 << 20
"""What one record may be at most when it is unpacked."""
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
                file.write(gzip.compress(record.written(), 6))
            number = self._claim(flags)
            new.replace(self._path(number))
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        self._trim()
        return number

    def numbers(self) -> list[int]:
        """Return the numbers of what is there, the oldest first.

        Raises:
            OSError: The directory cannot be read.
        """
        return sorted(number for number, size in self._sizes().items() if size)

    def read(self, number: int) -> RunRecord | None:
        """Return a record; None where there is none, or none that can be read."""
        with contextlib.suppress(OSError, ValueError, EOFError, zlib.error):
            # a FIFO or a device of that name must not keep us waiting
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            with (
                open(os.open(self._path(number), flags), "rb") as raw,
                gzip.open(raw) as file,
            ):
                data = file.read(_LARGEST)
            return RunRecord.read(number, data)
        return None

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove records; their numbers are not given again.

        Raises:
            OSError: The directory cannot be written.
        """
        newest = max(self._sizes(), default=0)
        for number in numbers:
            if number == newest:
                os.truncate(self._path(number), 0)
            else:
                self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.json.gz"

    def _sizes(self) -> dict[int, int]:
        found: dict[int, int] = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if match := _NAME.fullmatch(entry.name):
                    with contextlib.suppress(FileNotFoundError):  # another kernel has trimmed
                        info = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(info.st_mode):
                            found[int(match[1])] = info.st_size
        return found

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
        for number in itertools.count(max(self._sizes(), default=0) + 1):
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path(number), flags, 0o600))
                return number
        raise AssertionError  # itertools.count does not end

    def _trim(self) -> None:
        sizes = sorted(self._sizes().items())
        total = sum(size for _, size in sizes)
        many = len(sizes) - RUNS
        for at, (number, size) in enumerate(sizes[:-1]):
            if at >= many and total <= BYTES:
                break
            self._path(number).unlink(missing_ok=True)
            total -= size
        for left in self.folder.glob(".*.new"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _FORGOTTEN:
                    left.unlink()
