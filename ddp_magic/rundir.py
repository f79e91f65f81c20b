"""The only owner of paths, permissions, sweeping and removal; imported by every process.

One private directory per kernel, ``<tmp>/ddp_magic-<random>`` (0700), holds one per run.
Its `owner.json` says whose it is; a guard holds an flock on its `lock` while it watches over it.
Standard library only: the guard imports this.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ddp_magic.errors import PlaceError
from ddp_magic.processes import boot_id, kill_all, marked, start_time

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["KEPT", "SEGMENT", "KernelDir", "RunDir", "sweep"]

PREFIX = "ddp_magic-"

SEGMENT = 4 << 20
"""Bytes of one file of a log; every one but the last has exactly this many."""
KEPT = 4
"""How many of a log's oldest and of its newest files stay: 2 streams x 8 x 4 MiB a rank."""


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
    def values(self) -> Path:
        """Values of the notebook, pickled."""
        return self.path / "values.pkl"

    @property
    def blobs(self) -> Path:
        """Directory of large buffers that belong to `values`, mapped by every worker."""
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
            raise _place_error(path.parent, error) from None
        return run

    @contextlib.contextmanager
    def creating(self, path: Path, mode: str = "wb") -> Generator[int]:
        """Open a new private file (0600, must not exist) and yield its descriptor.

        Raises:
            PlaceError: It cannot be written (full disk); also when the body raises OSError.
        """
        flags = os.O_CREAT | os.O_EXCL | (os.O_RDWR if "+" in mode else os.O_WRONLY)
        try:
            fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
            try:
                yield fd
            finally:
                os.close(fd)
        except OSError as error:
            raise _place_error(self.path, error) from None

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

    def clean(self) -> None:
        """Remove everything but the logs and the results."""
        for entry in _listed(self.path):
            if entry not in (self.logs, self.results):
                _remove(entry)

    def remove(self) -> None:
        """Remove the directory with all that is in it."""
        _remove(self.path)


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
            raise _place_error(Path(os.environ.get("TMPDIR") or "/tmp"), error) from None  # noqa: S108
        owner = {"pid": os.getpid(), "start": start_time(os.getpid()), "boot": boot_id()}
        RunDir(path).write(path / "owner.json", json.dumps(owner))
        RunDir(path).write(path / "lock", "")
        return cls(path)

    def new_run(self, number: int) -> RunDir:
        """Make the directory of run `number`.

        Raises:
            PlaceError: It cannot be made.
        """
        return RunDir.create(self.path / f"run-{number}")

    def remove(self) -> None:
        """Remove the directory with all runs."""
        _remove(self.path)


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
            owner = json.loads((path / "owner.json").read_bytes())
            same_boot = owner["boot"] == boot_id()
            if same_boot and start_time(owner["pid"]) == owner["start"]:
                continue
            with open(path / "lock", "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if same_boot:
                    kill_all(marked(path))
                _remove(path)
                gone.append(path)
    return gone


def _listed(path: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(path.iterdir())
    return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _place_error(path: Path, error: OSError) -> PlaceError:
    return PlaceError(
        f"The run's private files cannot be written below {path}: {error.strerror or error}. "
        "Free some space there, or set TMPDIR to a directory that you can write and restart "
        "the kernel."
    )
