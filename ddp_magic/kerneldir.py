"""Runs in the kernel: the private directory of one kernel's runs, and sweeping dead kernels' ones.

``<tmp>/ddp_magic-<random>`` (0700). Its `owner.json` says whose it is; a guard holds an flock on
its `lock` while it watches over it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ddp_magic.documents import decoded, encoded
from ddp_magic.errors import place_error
from ddp_magic.processes import boot_id, kill_marked, start_time
from ddp_magic.rundir import PREFIX, RunDir, remove_runs

__all__ = ["KernelDir", "sweep"]


@dataclass(frozen=True)
class KernelDir:
    """The private directory of one kernel; holds its runs.

    Attributes:
        path: As ``/tmp/ddp_magic-x8f2k1``, 0700, made by `tempfile.mkdtemp`, so that a planted
            directory or link can never be taken for it.
    """

    path: Path

    @classmethod
    def create(cls) -> Self:
        """Make the directory below ``$TMPDIR``.

        Raises:
            PlaceError: It cannot be made or written.
        """
        try:
            path = Path(tempfile.mkdtemp(prefix=PREFIX))
        except OSError as error:
            raise place_error(Path(os.environ.get("TMPDIR") or "/tmp"), error) from None  # noqa: S108
        owner = {"pid": os.getpid(), "start": start_time(os.getpid()), "boot": boot_id()}
        RunDir(path).write(path / "owner.json", encoded(owner))
        RunDir(path).write(path / "lock", "")
        return cls(path)

    def new_run(self, number: int) -> RunDir:
        """Make the directory of run `number`.

        Raises:
            PlaceError: It cannot be made.
        """
        return RunDir.create(self.path / f"run-{number}")

    def runs(self) -> list[Path]:
        """Return the directories of the runs that left something."""
        return list(self.path.glob("run-*"))

    def remove(self) -> None:
        """Remove the directory with all runs."""
        remove_runs(self.path)


def sweep() -> list[Path]:
    """Remove what dead kernels of this user left, killing their workers; return what went.

    A directory goes only if it is ours (uid, 0700, no link), nobody holds its lock, and the kernel
    that it names is gone: another boot, or no such process with that start time.
    """
    gone: list[Path] = []
    for path in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            info = path.lstat()
            private = stat.S_ISDIR(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o700
            if not private or info.st_uid != os.getuid():
                continue
            owner = decoded((path / "owner.json").read_bytes())
            same_boot = owner["boot"] == boot_id()
            if same_boot and start_time(owner["pid"]) == owner["start"]:
                continue
            with open(path / "lock", "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if same_boot:
                    kill_marked(path)
                remove_runs(path)
                gone.append(path)
    return gone
