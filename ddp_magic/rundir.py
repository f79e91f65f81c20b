"""The paths and permissions of one run's directory; imported by every process.

Standard library only: the guard imports this. `kerneldir` owns the directory that holds the runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from typing import TYPE_CHECKING, Self

from ddp_magic.errors import place_error
from ddp_magic.removal import listed, remove_tree
from ddp_magic.runpaths import RunPaths

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["KEPT", "PREFIX", "SEGMENT", "STACKS_SIGNAL", "RunDir", "remove_runs"]

PREFIX = "ddp_magic-"  # of the name of every kernel's directory

SEGMENT = 4 << 20
"""Bytes of one file of a log; every one but the last has exactly this many."""
KEPT = 4
"""How many of a log's oldest and of its newest files stay: 2 streams x 8 x 4 MiB a rank."""
STACKS_SIGNAL: int = signal.SIGRTMIN + 11 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR1
"""Has a worker write its stacks. Trainings take SIGUSR1 for their own ends: Lightning then has
Slurm queue the whole job again."""
_OF_RUN = ("main.py", "body.py", "sourcemap.json", "program.json", "values.pkl", "job.json")


class RunDir(RunPaths):
    """One run's directory; creates nothing by itself except through `create`."""

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the directory and those inside it, all 0700.

        Raises:
            PlaceError: It cannot be made (full disk, no permission).
        """
        run = cls(path)
        try:
            for folder in (path, run.blobs, run.logs, run.results, run.scratch):
                folder.mkdir(mode=0o700)
        except OSError as error:
            raise place_error(path.parent, error) from None
        return run

    @contextlib.contextmanager
    def creating(self, path: Path) -> Generator[int]:
        """Open a new private file (0600, must not exist) and yield its descriptor.

        Raises:
            PlaceError: It cannot be written (full disk); also when the body raises OSError.
        """
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        try:
            fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
            try:
                yield fd
            finally:
                os.close(fd)
        except OSError as error:
            raise place_error(self.path, error) from None

    def write(self, path: Path, data: str | bytes) -> None:
        """Write a new private file (0600, must not exist) whole.

        Raises:
            PlaceError: It cannot be written (full disk).
        """
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        with self.creating(path) as fd:
            view = memoryview(raw)
            while view:
                view = view[os.write(fd, view) :]

    def move_blobs(self, place: Path) -> bool:
        """Have the blobs, of which there is none yet, in a private directory below `place`.

        The link to it is there first, so that whoever removes this directory, in whatever process,
        finds what else there is to remove. Returns whether it could be made.
        """
        target = place / f"{self.path.parent.name}-{self.path.name}"
        try:
            self.blobs.rmdir()
            self.blobs.symlink_to(target)
            target.mkdir(mode=0o700)
        except OSError:
            self._unlink_blobs()
            return False
        return True

    def unmove_blobs(self) -> None:
        """Have the blobs here again, none of them."""
        self.remove_moved()
        self._unlink_blobs()

    def _unlink_blobs(self) -> None:
        with contextlib.suppress(OSError):
            self.blobs.unlink()
        self.blobs.mkdir(mode=0o700, exist_ok=True)

    def remove_moved(self) -> None:
        """Remove the directory that holds the blobs elsewhere, if it is ours."""
        with contextlib.suppress(OSError):
            target = self.blobs.readlink()
            info = target.lstat()
            private = stat.S_ISDIR(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o700
            if private and info.st_uid == os.getuid():
                remove_tree(target)

    def clear(self) -> None:
        """Remove what was written for a run that is not to be; what waits here waits on."""
        self.unmove_blobs()
        for path in (*map(self.path.joinpath, _OF_RUN), *listed(self.blobs)):
            remove_tree(path)

    def move(self, to: RunDir) -> None:
        """Move what was written for a run to another directory of this kernel's."""
        to.blobs.rmdir()
        for name in (*_OF_RUN, self.blobs.name):
            with contextlib.suppress(FileNotFoundError):
                (self.path / name).rename(to.path / name)

    def clean(self) -> None:
        """Remove everything but the logs and the results."""
        self.remove_moved()
        for entry in listed(self.path):
            if entry not in (self.logs, self.results):
                remove_tree(entry)

    def remove(self) -> None:
        """Remove the directory with all that is in it."""
        self.remove_moved()
        remove_tree(self.path)


def remove_runs(path: Path) -> None:
    """Remove a kernel's directory; whose it is goes last, for others to go on if we are killed."""
    for entry in listed(path):
        if entry.is_dir():
            RunDir(entry).remove()
    remove_tree(path)
