"""Where memory is written, and how much fits there without filling disk or machine; both sides.

In /dev/shm, and where /tmp is a tmpfs, files are memory: the machine's, and that of our cgroup.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ddp_magic.errors import PlaceError
from ddp_magic.memory import NO_LIMIT, memory
from ddp_magic.wording import volume

__all__ = ["NoRoom", "chosen", "free"]

SHM = Path("/dev/shm")  # noqa: S108 - what is made there has a private directory
_CHOICE = "DDP_MAGIC_BLOBS"
"""Environment variable: the directory for what the workers map."""
_LITTLE = 1 << 20
_MUCH = 1 << 26
"""Bytes from which files on a disk are slower than in memory: it begins to write them out."""
_RESERVE = 64 << 20
"""Bytes that are left over at most, for logs and for the processes that do the work."""


class NoRoom(PlaceError):
    """All that is to be written would fill the disk or the machine; nothing was written.

    Attributes:
        needed: Bytes.
        left: How many of them there is room for.
        place: Where.
    """

    def __init__(self, needed: int, left: int, place: Path) -> None:
        super().__init__(
            f"It takes {volume(needed)}, and {place} has room for {volume(left)}. "
            "Set TMPDIR to a directory with more room and restart the kernel."
        )
        self.needed = needed
        self.left = left
        self.place = place


def chosen(folder: Path, nbytes: int) -> Path:
    """Return where to write what workers map: the user's choice, memory, or `folder`.

    Memory only where half of it stays free.

    Raises:
        PlaceError: What the user has chosen is no directory that can be written.
    """
    choice = os.environ.get(_CHOICE)
    if choice:
        if not os.path.isdir(choice) or not os.access(choice, os.W_OK | os.X_OK):
            raise PlaceError(
                f"{_CHOICE} is {choice}, which is no directory that can be written. "
                "Set it to one, or unset it."
            )
        return Path(choice).absolute()
    if nbytes < _MUCH or not os.access(SHM, os.W_OK | os.X_OK):
        return folder
    return SHM if 2 * nbytes <= free(SHM) else folder


def free(place: Path, needed: int = NO_LIMIT) -> int:
    """Return how many bytes can be written below a directory.

    Args:
        place: The directory.
        needed: Where no more than a little is needed, the system's memory is not looked at.
    """
    found = os.statvfs(place)
    room = found.f_bavail * found.f_frsize
    if needed > _LITTLE and _is_memory(place):
        room = min(room, memory())
    return room - min(_RESERVE, room // 10)


def _is_memory(place: Path) -> bool:
    """Whether files there are memory, by what is mounted (proc_pid_mountinfo(5))."""
    device = os.stat(place).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            fields, _, kind = line.partition(" - ")
            if fields.split()[2] == number:
                return kind.split()[0] in ("tmpfs", "ramfs")
    return False
