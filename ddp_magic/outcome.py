"""Runs in the kernel: what a run came to, once nothing of it is left."""

from __future__ import annotations

import os
import signal
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddp_magic import advice, devices, failure
from ddp_magic.errors import DdpError, LaunchFailed, RunStopped, WorkerFailed
from ddp_magic.events import RunEnded, RunState
from ddp_magic.launch import said
from ddp_magic.nvml import Nvml
from ddp_magic.results import load as results
from ddp_magic.versions import versions

if TYPE_CHECKING:
    from ddp_magic.follow import Ending
    from ddp_magic.prepare import Prepared
    from ddp_magic.results.load import Results

__all__ = ["Outcome", "failed", "judge", "told"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of a run.

    Attributes:
        state: A final one.
        summary: One line for the record; empty on success.
        cause: The root cause's text; empty unless a worker failed.
        error: What the cell raises, None on success.
        notices: Warnings that only the end can tell.
        results: What came back.
    """

    state: RunState
    summary: str
    cause: str
    error: DdpError | None
    notices: tuple[str, ...]
    results: Results

    def event(self, started: float, outputs: tuple[str, ...]) -> RunEnded:
        """Return the event that ends every view."""
        now = time.time()
        return RunEnded(
            time=now,
            state=self.state,
            duration=now - started,
            summary=self.summary,
            cause=self.cause,
            outputs=outputs,
            missing=tuple(self.results.missing),
            versions=tuple(f"{name} {version}" for name, version in versions().items()),
        )


def judge(
    plan: Prepared,
    ending: Ending,
    *,
    lost: bool,
    why_stopped: str,
    stopping_since: float | None,
    oom_kills: int,
    user_ns: dict[str, Any],
) -> Outcome:
    """Tell what the run came to.

    Args:
        plan: The run.
        ending: How its processes ended.
        lost: Whether the guard went before it had told the end.
        why_stopped: Why the run was stopped by us or the user; empty if it was not.
        stopping_since: When that was, seconds since the epoch.
        oom_kills: `failure.oom_kills` from before the run.
        user_ns: The notebook's namespace.
    """
    cause, text = _cause(plan, ending, oom_kills)
    state = _state(ending, cause, stopping_since)
    if state != RunState.FAILED:  # an error that a rank got over may have been recorded
        cause, text = None, ""
    came = _brought(plan, user_ns, finished=ending.ok)
    error, summary = _error(state, cause, text, why_stopped)
    if state == RunState.FAILED and cause is None:
        error, summary = _launch_error(plan, ending, lost=lost)
    return Outcome(
        state=state,
        summary=summary,
        cause=text,
        error=_with_missing(error, came),
        notices=tuple(_notices(plan, ending, state)),
        results=came,
    )


def _cause(plan: Prepared, ending: Ending, oom_kills: int) -> tuple[failure.Failure | None, str]:
    return failure.explain(
        plan.run,
        ending,
        plan.placement.world_size,
        oom_kills_before=oom_kills,
        held_by_kernel=lambda: devices.kernel_memory(
            Nvml(), environ=os.environ, kernel_pid=os.getpid()
        ),
    )


def _brought(plan: Prepared, user_ns: dict[str, Any], *, finished: bool) -> Results:
    return results.load(
        plan.run,
        plan.definitions.receiver(user_ns),
        names=plan.options.output,
        stores=plan.stores,
        finished=finished,
    )


def _state(ending: Ending, cause: failure.Failure | None, stopping_since: float | None) -> RunState:
    """Return the final state; a run that had failed before anybody stopped it has failed."""
    own = cause if cause is not None and cause.kind <= 1 else None
    failed_first = own is not None and stopping_since is not None and own.time < stopping_since
    if stopping_since is not None and not failed_first:
        return RunState.STOPPED
    return RunState.SUCCEEDED if ending.ok else RunState.FAILED


def _error(
    state: RunState, cause: failure.Failure | None, text: str, why_stopped: str
) -> tuple[DdpError | None, str]:
    """Return what to raise, and the line for the record."""
    if state == RunState.STOPPED:
        return RunStopped(f"The run was stopped: {why_stopped}."), why_stopped.splitlines()[0]
    if cause is not None:
        error = WorkerFailed(text, rank=cause.rank, cause=cause.line)
        return error, f"rank {cause.rank} failed: {cause.line}"
    return None, ""


def _launch_error(plan: Prepared, ending: Ending, *, lost: bool) -> tuple[LaunchFailed, str]:
    """Return what to raise where no rank has failed by itself."""
    if lost:
        what = "The guard, which watches over the workers, was killed, and they were ended with it."
        return LaunchFailed(f"{what} Run the cell again."), "the guard was killed"
    if ending.agent is not None and ending.agent < 0:
        name = signal.Signals(-ending.agent).name
        what = f"The workers' launcher was killed by {name}, and they were ended with it."
        return LaunchFailed(f"{what} Run the cell again."), f"the launcher was killed by {name}"
    words = said(plan.run)
    what = "The workers could not be started. torch.distributed.run said:"
    return LaunchFailed(f"{what}\n{words}"), "the workers could not be started"


def _with_missing(error: DdpError | None, came: Results) -> DdpError | None:
    """Say below the error what did not come back."""
    if error is not None and came.missing:
        error.args = (
            "\n".join([str(error), "", *(f"Not brought back: {m}" for m in came.missing)]),
        )
    return error


def _notices(plan: Prepared, ending: Ending, state: RunState) -> list[str]:
    size = plan.placement.world_size
    found: list[str] = []
    if state == RunState.SUCCEEDED and size > 1 and ending.grouped is False:
        found.append(
            f"The {size} workers never communicated: {size} separate models were trained. Call "
            "torch.distributed.init_process_group() and wrap the model in "
            "torch.nn.parallel.DistributedDataParallel."
        )
    found += advice.saved_by_several(plan.run, size, ending.attempt)
    if ending.left:
        pids = ", ".join(map(str, ending.left))
        found.append(
            f"Processes {pids} survive SIGKILL: they hang in a driver call. "
            "Only the driver or a reboot can end them."
        )
    if ending.lost:
        found.append(f"Some output was lost: the log could not be written ({ending.lost}).")
    return found


def told(error: BaseException) -> DdpError:
    """Return an error as users are told of it; what is none for users is a mistake of ours."""
    if isinstance(error, DdpError):
        return error
    where = "".join(traceback.format_exception(error))
    return LaunchFailed(
        f"ddp_magic itself failed: {type(error).__name__}: {error}\n"
        f"The workers were ended. Please report this:\n{where}"
    )


def failed(started: float, error: DdpError) -> RunEnded:
    """Return the event that ends every view of a run that did not come to its end."""
    now = time.time()
    summary = str(error).partition("\n")[0]
    return RunEnded(time=now, state=RunState.FAILED, duration=now - started, summary=summary)
