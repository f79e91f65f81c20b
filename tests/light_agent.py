"""The agent without torch's launcher, whose import takes longer than most of what tests run.

``python light_agent.py RUN_DIR GUARD_PID``, as the guard starts `ddp_magic.agent`, and it is that
one but for what starts the workers. There is no store that they could meet at.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.path.append(str(Path(__file__).parent.parent))

from ddp_magic import agent
from ddp_magic.news import tell
from ddp_magic.rundir import RunDir

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["environment", "launch"]


def launch(run: RunDir, spec: dict[str, Any], start: Callable[..., Any] | None = None) -> int:
    """Start the workers as torch does; once one fails or we get a signal, stop them all."""
    workers: list[Any] = []
    stopped = False

    def stop(number: int, _: object = None) -> None:
        nonlocal stopped
        stopped = True
        for worker in workers:
            if worker.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    ends: dict[int, int] = {}
    for rank in range(spec["world_size"]):
        workers.append((start or _start)(run, spec, rank))
        ends[os.pidfd_open(workers[rank].pid)] = rank
    while ends:
        ready, _, _ = select.select([*ends], [], [])
        codes = {rank: workers[rank].wait() for rank in map(ends.pop, ready)}
        failed = {rank: code for rank, code in codes.items() if code}
        if failed and not stopped:
            for rank, code in failed.items():
                tell(run, ev="failed", rank=rank, code=code, pid=workers[rank].pid)
            stop(signal.SIGTERM)
    return int(stopped)


def environment(run: RunDir, spec: dict[str, Any], rank: int, port: int = 0) -> dict[str, str]:
    """Return what a worker finds of the launcher's variables."""
    size, me = str(spec["world_size"]), str(rank)
    return {
        "RANK": me, "LOCAL_RANK": me, "ROLE_RANK": me, "GROUP_RANK": "0", "ROLE_NAME": "default",
        "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "ROLE_WORLD_SIZE": size,
        "GROUP_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "TORCHELASTIC_RESTART_COUNT": "0", "TORCHELASTIC_MAX_RESTARTS": "0",
        "TORCHELASTIC_RUN_ID": run.run_id, "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
    }  # fmt: skip


def _start(run: RunDir, spec: dict[str, Any], rank: int) -> subprocess.Popen[bytes]:
    streams = {s: os.open(run.pipe(rank, s), os.O_WRONLY) for s in ("stdout", "stderr")}
    try:
        return subprocess.Popen(
            [sys.executable, *spec["flags"], *spec["worker"], str(run.path)],
            env={**os.environ, **environment(run, spec, rank)},
            start_new_session=True,
            **streams,
        )
    finally:
        for fd in streams.values():
            os.close(fd)


if __name__ == "__main__":
    agent._launch = launch
    sys.exit(agent.main(RunDir(Path(sys.argv[1])), int(sys.argv[2])))
