"""The agent: torch.distributed.run's own parser and `elastic_launch`, started by the guard.

``python agent.py RUN_DIR GUARD_PID``. What differs from ``torchrun`` on a command line: the
rendezvous (loopback only), and what `elastic` says.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["main"]

_TOGETHER = 2.0
"""Seconds within which guard and kernel count as killed together."""


def main(run: RunDir, guard: int) -> int:
    """Launch the worker group and return when it has ended: 0, or 1 where a worker failed."""
    from ddp_magic.news import tell
    from ddp_magic.worker import lifeline

    # No PR_SET_PDEATHSIG here: should kernel and guard be killed together, we are the one that
    # still removes what the workers started.
    if os.getppid() != guard:
        return 70
    above = os.dup(0)
    lifeline.watch(above, before=lambda: _clean_up(run))
    os.environ["DDP_MAGIC_AGENT"] = str(os.getpid())
    spec = json.loads(run.spec.read_bytes())
    tell(run, ev="agent", pid=os.getpid())
    try:
        return _launch(run, spec)
    finally:
        # The workers have lifelines of their own. When these are what ended them, the thread that
        # cleans up is at work, and leaving now would stop it; it ends us when it is done.
        while lifeline.is_cut(above):
            time.sleep(1)


def _launch(run: RunDir, spec: dict[str, Any]) -> int:
    from ddp_magic.scheduling import behind_others

    gc.disable()  # imports make next to no garbage, and looking for it is a tenth of their time
    with behind_others() if spec["standby"] else contextlib.nullcontext():
        from torch.distributed import run as torchrun
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.launcher.api import elastic_launch

        from ddp_magic import elastic, rendezvous
        from ddp_magic.news import tell
    gc.enable()

    rendezvous.register()
    elastic.wait_for_ever()
    elastic.watch_workers()
    arguments = torchrun.get_args_parser().parse_args(
        [
            *spec["torchrun"],
            f"--rdzv-backend={rendezvous.BACKEND}",
            "--rdzv-endpoint=127.0.0.1:0",
            f"--rdzv-id={run.run_id}",
            f"--log-dir={run.scratch}",
            spec["worker"][0],
        ]
    )
    config, _, _ = torchrun.config_from_args(arguments)
    config.logs_specs = elastic.Pipes(run)
    # Our own command line and not the parser's: it would force -u, under which print() writes
    # piece by piece and lines of several writers are torn.
    command = [*spec["flags"], *spec["worker"], str(run.path)]
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        for rank, failure in error.failures.items():
            tell(run, ev="failed", rank=rank, code=failure.exitcode, pid=failure.pid)
        return 1
    return 0


def _clean_up(run: RunDir) -> None:
    """Kill what the workers started; remove the directory too where the kernel is gone as well."""
    from ddp_magic.leaving import remove_after_others
    from ddp_magic.processes import kill_marked, start_time, wait_gone

    kill_marked(run.path)
    owner = json.loads((run.path.parent / "owner.json").read_bytes())
    if not wait_gone([owner["pid"]], _TOGETHER) or start_time(owner["pid"]) != owner["start"]:
        remove_after_others(run.path.parent)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # this file's own directory, whose names would hide others
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from pathlib import Path

    from ddp_magic.rundir import RunDir

    code = 1
    try:
        code = main(RunDir(Path(sys.argv[1])), int(sys.argv[2]))
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a restart of the kernel would wait the half second of tearing torch down
