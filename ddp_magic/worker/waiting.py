"""A worker of a standby: imports ahead, waits for its job, and becomes as if just started.

What it may not do ahead is what a fresh process would do differently: run an op, open CUDA, read
the notebook's directory. What imports leave behind is taken back where the job would not have had
it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import tempfile
import threading
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ddp_magic.news import tell
from ddp_magic.processes import WAITING, descendants, named
from ddp_magic.scheduling import behind_others

if TYPE_CHECKING:
    from collections.abc import Generator

    from ddp_magic.rundir import RunDir

__all__ = ["Waiting"]


class Waiting:
    """The time before the job.

    Args:
        run: The run that will be.
        rank: This worker's rank.
    """

    def __init__(self, run: RunDir, rank: int) -> None:
        self._run = run
        self._rank = rank
        self._filters = [*warnings.filters]
        self._printed = b""
        self._unfit: dict[str, str] = {}
        self._lazy: list[str] = []
        self._whole = False

    def main(self) -> None:
        """Wait; return when there is a job, which has then the process it would have found."""
        spec = json.loads(self._run.spec.read_bytes())
        pipe = os.open(self._run.hand_over(self._rank), os.O_RDWR | os.O_CLOEXEC)
        before = {*sys.modules}
        with named(WAITING):
            with behind_others(), self._captured():
                for name in spec["preload"]:
                    self._preload(name)
                if not spec["hesitation"]:
                    self._go_on(spec["lazy"], pipe)
            self._tell(before, "ahead")
            if spec["hesitation"] and spec["lazy"] and not _asked(pipe, spec["hesitation"]):
                tell(self._run, ev="importing", rank=self._rank)
                with behind_others(), self._captured():
                    self._go_on(spec["lazy"], pipe)
                self._tell(before, "later")
            while os.read(pipe, 1) == b"?":
                tell(self._run, ev="here", rank=self._rank)
        os.close(pipe)
        os.unlink(self._run.hand_over(self._rank))  # the last moment at which nothing has begun
        self._become(json.loads(self._run.job.read_bytes()), spec["preload"])

    def _go_on(self, names: list[str], pipe: int) -> None:
        """Import more until a run comes; its program finds only `sys.modules` changed by it."""
        environ, filters = dict(os.environ), [*warnings.filters]
        folder = tempfile.tempdir
        for name in names:
            if _asked(pipe, 0):
                break
            if name not in sys.modules:
                self._lazy.append(name)
                self._preload(name)
        else:
            self._whole = True
        for name in {*environ, *os.environ}:
            _set(name, environ.get(name))
        _put_back(filters)
        tempfile.tempdir = folder

    def _preload(self, name: str) -> None:
        threads = threading.active_count()
        with contextlib.suppress(BaseException):  # the job will say so, if it imports that at all
            import_module(name)
        if threading.active_count() > threads:
            self._unfit[name] = "its import starts threads"
        elif descendants(os.getpid()):
            self._unfit[name] = "its import starts processes"
        elif _holds_gpu():
            self._unfit[name] = "its import opens a GPU"

    @contextlib.contextmanager
    def _captured(self) -> Generator[None]:
        """Keep what imports print: it belongs into the job's output, if it imports them."""
        held = os.memfd_create("imports") if hasattr(os, "memfd_create") else -1
        if held < 0:
            yield
            return
        streams = {fd: os.dup(fd) for fd in (1, 2)}
        for fd in streams:
            os.dup2(held, fd)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for fd, real in streams.items():
                os.dup2(real, fd)
                os.close(real)
            self._printed += os.pread(held, os.fstat(held).st_size, 0)
            os.close(held)

    def _tell(self, before: set[str], when: str) -> None:
        """Say that we wait, and with what."""
        if self._rank == 0:
            new = {name.partition(".")[0] for name in sys.modules.keys() - before}
            told = {
                "names": {name: _origin(name) for name in sorted(new)},
                "path": [os.path.abspath(entry) for entry in sys.path],
                "unfit": self._unfit,
                "lazy": self._lazy,
                "whole": self._whole,
            }
            self._run.write(self._run.imported(when), json.dumps(told))
        tell(self._run, ev="waiting", rank=self._rank, fit=not self._unfit)

    def _become(self, job: dict[str, Any], preloaded: list[str]) -> None:
        """Take over what was decided since, and take back what the job would not have."""
        for name, value in job["late"].items():
            _set(name, value)
        os.chdir(job["cwd"])
        needed = {name.partition(".")[0] for name in preloaded} & {*job["packages"]}
        if needed and self._printed:
            os.write(2, self._printed)
        if not needed:
            _put_back(self._filters)


def _asked(pipe: int, seconds: float) -> bool:
    """Whether a run asks for us, or does so within some seconds."""
    return bool(select.select([pipe], [], [], seconds)[0])


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    elif os.environ.get(name) != value:
        os.environ[name] = value


def _put_back(filters: list[Any]) -> None:
    if warnings.filters != filters:
        warnings.resetwarnings()  # has what was decided by the old ones forgotten
        warnings.filters.extend(filters)  # type: ignore[attr-defined]


def _origin(name: str) -> tuple[str, int] | None:
    """Return an installed module's file and when that was changed; None for the interpreter's."""
    origin = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None)
    if name in sys.stdlib_module_names or not isinstance(origin, str):
        return None
    with contextlib.suppress(OSError):
        return origin, os.stat(origin).st_mtime_ns
    return None


def _holds_gpu() -> bool:
    for fd in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}").startswith("/dev/nvidia"):
                return True
    return False
