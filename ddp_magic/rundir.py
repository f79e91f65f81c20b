"""The paths and permissions of one run's directory; imported by every process.

Standard library only: the guard imports this. `kerneldir` owns the directory that holds the runs.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  (dataclass fields are public annotations)
from typing import TYPE_CHECKING, Self

from ddp_magic.errors import place_error
from ddp_magic.removal import listed, remove_tree

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["KEPT", "PREFIX", "SEGMENT", "RunDir", "remove_runs"]

PREFIX = "ddp_magic-"  # of the name of every kernel's directory

SEGMENT = 4 << 20
"""Bytes of one file of a log; every one but the last has exactly this many."""
KEPT = 4
"""How many of a log's oldest and of its newest files stay: 2 streams x 8 x 4 MiB a rank."""
_OF_RUN = ("main.py", "body.py", "sourcemap.json", "program.json", "values.pkl", "job.json")


@dataclass(frozen=True)
class RunDir:
    """The paths of one run; creates nothing by itself except through `create`.

    Attributes:
        path: The run's directory, 0700.
    """

    path: Path

    @property
    def run_id(self) -> str:
        """The run's name within its kernel, as ``run-3``."""
        return self.path.name

    @property
    def main(self) -> Path:
        """The generated DDP module."""
        return self.path / "main.py"

    @property
    def body(self) -> Path:
        """The cell's body, as it stands in the cell."""
        return self.path / "body.py"

    @property
    def source_map(self) -> Path:
        """`SourceMap` as JSON."""
        return self.path / "sourcemap.json"

    @property
    def program(self) -> Path:
        """What a worker sets up around the module (JSON, written by `script`)."""
        return self.path / "program.json"

    @property
    def values(self) -> Path:
        """Values of the notebook, pickled."""
        return self.path / "values.pkl"

    @property
    def blobs(self) -> Path:
        """Directory of memory that `values` refer to; a link where that lies elsewhere."""
        return self.path / "blobs"

    @property
    def job(self) -> Path:
        """What a worker does besides running the module (JSON, written by `launch`)."""
        return self.path / "job.json"

    @property
    def spec(self) -> Path:
        """What the guard starts (JSON, written by `launch`)."""
        return self.path / "spec.json"

    @property
    def news(self) -> Path:
        """FIFO on which agent and workers tell the guard, one JSON line (< 4096 bytes) a write."""
        return self.path / "news"

    @property
    def events(self) -> Path:
        """The guard's account of the run, JSON lines."""
        return self.path / "events.jsonl"

    @property
    def logs(self) -> Path:
        """Directory of the ranks' capped logs; outlives the run."""
        return self.path / "logs"

    @property
    def results(self) -> Path:
        """Directory of what rank 0 brings back."""
        return self.path / "results"

    @property
    def scratch(self) -> Path:
        """Directory for torch's own log directory and error files."""
        return self.path / "elastic"

    def pipe(self, rank: int, stream: str) -> Path:
        """FIFO that a worker writes its stdout or stderr to."""
        return self.path / f"rank{rank}.{stream}"

    def log(self, rank: int, stream: str, segment: int = 0) -> Path:
        """One segment of a rank's log; 0 is the first and in most runs the only one."""
        part = f".{segment}" if segment else ""
        return self.logs / f"rank{rank}.{stream}{part}.log"

    def hand_over(self, rank: int) -> Path:
        """FIFO on which the kernel speaks to a rank of a standby."""
        return self.path / f"job.{rank}"

    def imported(self, when: str) -> Path:
        """What rank 0 imported (JSON): ``ahead`` of its job, ``later``, ``late`` in its body."""
        return self.path / f"imported_{when}.json"

    def error(self, rank: int, attempt: int) -> Path:
        """What a failing worker tells (JSON)."""
        return self.path / f"error.{attempt}.{rank}.json"

    def stacks(self, rank: int) -> Path:
        """Where faulthandler writes the stacks of a rank on SIGUSR1."""
        return self.path / f"stacks.{rank}.txt"

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
