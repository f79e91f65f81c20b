"""Ranks without their imports; runs as ``python -m tests.fork_server SOCKET``.

Three imports of torch, and two of what its optimizers import, are most of the processor time of a
run. This process has imported them once, and forks an agent for each `tests.forking_agent` that
asks, which forks its ranks: real processes with a process group of their own, as fresh as new
interpreters but for `sys.modules`. What torch's launcher does is not done here; see `light_agent`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from pathlib import Path
from typing import Any, NoReturn

from ddp_magic.processes import MARK
from ddp_magic.rundir import RunDir
from tests.light_agent import environment
from tests.light_agent import launch as launch_light

__all__ = ["SOCKET", "Forks"]

SOCKET = "TESTS_FORK_SERVER"
"""The environment variable that names where the server listens."""
_ROOT = Path(__file__).parent.parent
_IMPORTED = ("torch", "torch._dynamo", "torch.distributed", "ddp_magic.worker.rank")


class Forks:
    """The server, which starts when it is first wanted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Have it listen."""
        if self._server is None:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(self._path))
            listening.listen(64)
            # one thread for BLAS and OpenMP, whose threads no fork would have
            once = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": "0"}
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server"],
                cwd=_ROOT,
                env={**os.environ, **once},
                stdin=listening,
                start_new_session=True,
            )
            listening.close()

    def close(self) -> None:
        """End it."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()


class Fork:
    """A worker, as `subprocess.Popen` has one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # which reaps the agents
    for name in _IMPORTED:
        importlib.import_module(name)
    assert threading.active_count() == len(os.listdir("/proc/self/task")) == 1
    gc.collect()
    gc.freeze()  # a look for garbage in a fork would copy every page that it sees
    listening = socket.socket(fileno=0)
    while True:
        asking, _ = listening.accept()
        data, fds, _, _ = socket.recv_fds(asking, 1 << 20, 3)
        if os.fork() == 0:
            listening.detach()
            _become_agent(asking, json.loads(data), fds)
        asking.close()
        for fd in fds:
            os.close(fd)


def _become_agent(asking: socket.socket, told: dict[str, Any], fds: list[int]) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for to, fd in enumerate(fds):
            os.dup2(fd, to)
            os.close(fd)
        os.environ.clear()
        os.environ.update(told["environ"])
        _show(MARK)
        tempfile.tempdir = None  # that of the test for which the server began
        os.chdir(told["cwd"])
        sys.path[:] = told["path"]
        sys.modules.pop("sitecustomize", None)  # which an interpreter imports as it begins
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module("sitecustomize")
        asking.sendall(b"%d\n" % os.getpid())
        threading.Thread(target=_end_with, args=(asking,), daemon=True).start()
        run = RunDir(Path(told["run"]))
        code = _launch(run, json.loads(run.spec.read_bytes()))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            asking.sendall(b"%d" % code)
        os._exit(code)


def _end_with(asking: socket.socket) -> None:
    """Die when the one that asked is gone; the ranks die when we do."""
    with contextlib.suppress(OSError):
        asking.recv(1)
    os._exit(70)


def _show(*names: str) -> None:
    """Have /proc tell these variables, as it does of a process that was started with them.

    /proc/PID/environ shows the memory that held the environment when the program began.
    """
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(stat[47]), int(stat[48])
    text = "".join(f"{name}={os.environ[name]}\0" for name in names).encode()
    text = text.ljust(end - start, b"\0")
    assert len(text) == end - start
    ctypes.memmove(start, text, len(text))


def _launch(run: RunDir, spec: dict[str, Any]) -> int:
    """Fork every worker, and be the store in which they meet."""
    from torch.distributed import TCPStore

    meeting = socket.create_server(("127.0.0.1", 0))
    port = meeting.getsockname()[1]
    held: list[TCPStore] = []
    me = os.getpid()

    def start(run: RunDir, spec: dict[str, Any], rank: int) -> Fork:
        pid = os.fork()
        if pid == 0:
            meeting.close()
            _become_rank(run, rank, me, environment(run, spec, rank, port))
        size = spec["world_size"]
        if rank == size - 1:  # its threads are no worker's
            fd = meeting.detach()
            there = {"is_master": True, "wait_for_workers": False, "master_listen_fd": fd}
            held.append(TCPStore("127.0.0.1", port, size, **there))
        return Fork(pid)

    return launch_light(run, spec, start)


def _become_rank(run: RunDir, rank: int, agent: int, told: dict[str, str]) -> NoReturn:
    """Be what `ddp_magic.worker.boot` is at its end."""
    import torch

    from ddp_magic.worker import lifeline
    from ddp_magic.worker.rank import Rank

    try:
        os.setsid()
        for fd, stream in ((1, "stdout"), (2, "stderr")):
            pipe = os.open(run.pipe(rank, stream), os.O_WRONLY)
            os.dup2(pipe, fd)
            os.close(pipe)
        os.environ.update(told)
        _show(MARK, "RANK")
        del os.environ["DDP_MAGIC_AGENT"]
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        sys.modules["__main__"] = types.ModuleType("__main__")
        Rank(run, lifeline.arm(agent)).main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
