"""The agent: torch.distributed.run's own parser and `elastic_launch`, started by the guard.

``python agent.py RUN_DIR GUARD_PID``. What differs from ``torchrun`` on a command line: the
rendezvous (loopback only), where the workers' output goes, and that torch never kills by the clock.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["main"]

_NEVER = 10**8  # seconds
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
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    from ddp_magic import rendezvous
    from ddp_magic.news import tell

    rendezvous.register()
    _wait_for_ever()
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
    config.logs_specs = _pipes(run)
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


def _wait_for_ever() -> None:
    """Leave all killing by the clock to the guard.

    torch grants 30 s after a failure whatever --shutdown-timeout says (pytorch PR 192815); a rank 0
    that is writing results may need longer, and one that hangs should get less.
    """
    from torch.distributed.elastic.multiprocessing.api import PContext

    close = PContext.close

    def patient(self: PContext, death_sig: Any = None, timeout: int = 0) -> None:
        del timeout
        close(self, death_sig, _NEVER)

    PContext.close = patient


def _pipes(run: RunDir) -> Any:
    """Return torch's LogsSpecs by which every rank writes to its own pipe; the guard reads it."""
    from torch.distributed.elastic.multiprocessing.api import LogsDest, LogsSpecs

    class Pipes(LogsSpecs):
        def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
            return LogsDest(
                stdouts={r: str(run.pipe(r, "stdout")) for r in envs},
                stderrs={r: str(run.pipe(r, "stderr")) for r in envs},
                tee_stdouts=dict.fromkeys(envs, ""),
                tee_stderrs=dict.fromkeys(envs, ""),
                error_files={r: str(run.scratch / f"error.{r}.json") for r in envs},
            )

        @property
        def root_log_dir(self) -> str:
            return str(run.scratch)

    return Pipes()


def _clean_up(run: RunDir) -> None:
    """Kill what the workers started; remove the directory too where the kernel is gone as well."""
    from ddp_magic.processes import kill_marked, start_time, wait_gone
    from ddp_magic.rundir import remove_runs

    kill_marked(run.path)
    owner = json.loads((run.path.parent / "owner.json").read_bytes())
    if not wait_gone([owner["pid"]], _TOGETHER) or start_time(owner["pid"]) != owner["start"]:
        remove_runs(run.path.parent)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # this file's own directory, whose names would hide others
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from pathlib import Path

    from ddp_magic.rundir import RunDir

    sys.exit(main(RunDir(Path(sys.argv[1])), int(sys.argv[2])))
