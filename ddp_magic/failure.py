"""Runs in the kernel: which rank's error is the root cause, and how it reads.

torch names the first one by a clock of whole seconds, which in a program that ends in ``finally:
destroy_process_group()`` is the victim in 8 of 8 runs. Ours: the lowest kind, then the earliest.
"""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING

from ddp_magic import advice
from ddp_magic.documents import decoded
from ddp_magic.stacks import without_ours

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.follow import Ending
    from ddp_magic.rundir import RunDir

__all__ = ["Failure", "explain", "oom_kills"]

_OWN, _UNFINISHED, _LOST_PEER, _STOPPED = range(4)  # worker.errors.Kind, of the other side
_TAIL = 3000
"""Characters of a crashed rank's stderr that are shown."""
_ABORTS = ("remote process exited", "communicator was aborted", "connection closed by peer")
"""What NCCL's watchdog says when it aborts a rank whose peer is gone."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One rank's failure.

    Attributes:
        rank: The rank.
        kind: 0 the program's own, 1 likewise but stopped while handling it, 2 lost its peer,
            3 stopped from outside.
        time: When, seconds since the epoch.
        line: One line, as ``ValueError: diverged``.
        text: Traceback or explanation, several lines.
        absent: The name that was None in it, empty where none has a name; None of any other error.
        file: The file that an error of the system or of torch.load is about.
        source: The notebook's line.
        under: The ``if`` by which not all ranks got to it; empty where there is none.
        meeting: What met other ranks there, where the line does not say so.
    """

    rank: int
    kind: int
    time: float
    line: str
    text: str
    absent: str | None = None
    file: str = ""
    source: str = ""
    under: str = ""
    meeting: str = ""


def explain(
    run: RunDir,
    ending: Ending,
    world_size: int,
    *,
    oom_kills_before: int,
    held_by_kernel: Callable[[], str],
) -> tuple[Failure | None, str]:
    """Return the root cause and the whole message; None where no rank has failed.

    Args:
        run: The run, whose directory holds what the ranks recorded.
        ending: How the processes ended.
        world_size: Number of ranks.
        oom_kills_before: `oom_kills` from before the run.
        held_by_kernel: Says what GPU memory this kernel holds, or nothing; asked only where a rank
            ran out of it.
    """
    failures = [
        found
        for rank in range(world_size)
        if (found := _recorded(run, ending, rank) or _killed(run, ending, rank, oom_kills_before))
    ]
    if not failures:
        return None, ""
    cause = min(failures, key=lambda f: (f.kind, f.time))
    paragraphs = [f"Rank {cause.rank} of {world_size} failed: {cause.line}"]
    if cause.text:
        paragraphs.append(cause.text.rstrip())
    if "OutOfMemoryError" in cause.line and (held := held_by_kernel()):
        paragraphs.append(_about_held(held))
    early = [r for r in range(world_size) if ending.announced.get(r) == 0]
    if said := advice.advise(cause, failures, run, ending, world_size):
        paragraphs.append(said)
    if cause.kind == _LOST_PEER and early:
        paragraphs.append(advice.about_early(cause, early))
    if others := _fold([f for f in failures if f is not cause], cause):
        paragraphs.append("\n".join(others))
    return cause, "\n\n".join(paragraphs)


def _recorded(run: RunDir, ending: Ending, rank: int) -> Failure | None:
    """Return what a rank recorded of itself."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        told = decoded(run.error(rank, ending.attempt).read_bytes())
        message = next(iter(told["message"].strip().splitlines()), "")
        line = f"{told['type']}: {message}"[:500].rstrip(": ")
        if told["type"] == "SystemExit":
            line = f"it called sys.exit({message[:500] or told['code']})"
        return Failure(
            rank=rank,
            kind=told["kind"],
            time=told["time"],
            line=line,
            text=told["traceback"],
            absent=told.get("absent"),
            file=told.get("file", ""),
            source=told.get("source", ""),
            under=told.get("under", ""),
            meeting=told.get("meeting", ""),
        )
    return None


def _killed(run: RunDir, ending: Ending, rank: int, oom_kills_before: int) -> Failure | None:
    """Return what is known of a rank that left without a word."""
    kind = _OWN
    code = ending.codes.get(rank)
    if announced := ending.announced.get(rank):
        line = f"it left with exit code {announced}, and its error could not be written"
        text = _stderr_tail(run, rank)
    elif announced == 0:
        return None
    elif rank in ending.killed or code in (-signal.SIGTERM, 128 + signal.SIGTERM):
        kind, line, text = _STOPPED, "stopped", ""
    elif code is None:
        if rank not in ending.gone or ending.agent != 0:
            return None  # the launcher, who would know, has said nothing of it
        line = "it left with exit code 0 before the cell was over"
        text = "os._exit() or a C library may have ended the process."
    elif code >= 0:
        line = f"it left with exit code {code} and without an exception"
        text = _stderr_tail(run, rank) or "os._exit() or a C library may have ended the process."
    elif code == -signal.SIGKILL:
        line = "it was killed by SIGKILL"
        text = _about_memory(oom_kills() - oom_kills_before)
    else:
        line = f"it crashed with {_signal_name(-code)}"
        text = _stderr_tail(run, rank)
        if code == -signal.SIGABRT and any(a in text.lower() for a in _ABORTS):
            kind = _LOST_PEER
    when = ending.gone.get(rank, 0.0)
    return Failure(rank=rank, kind=kind, time=when, line=line, text=text)


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"  # a real-time one


def _about_held(held: str) -> str:
    return (
        f"{held[0].upper()}{held[1:]}. Free it with `del` and torch.cuda.empty_cache(), "
        "or use a smaller batch."
    )


def _about_memory(kills: int) -> str:
    advice = "Use fewer workers, a smaller batch, or fewer DataLoader workers."
    if kills > 0:
        return f"The machine ran out of memory: its kernel killed {kills} process(es). {advice}"
    return (
        "Nothing here sent it: the usual sender is an out-of-memory killer "
        f"(the system's or the container's). {advice}"
    )


def _stderr_tail(run: RunDir, rank: int) -> str:
    """Return the end of a rank's stderr, where faulthandler wrote its stacks."""
    logs = sorted(run.logs.glob(f"rank{rank}.stderr*.log"), key=lambda p: p.stat().st_mtime)
    text = logs[-1].read_bytes()[-4 * _TAIL :].decode("utf-8", "replace") if logs else ""
    text = without_ours(text)[-_TAIL:]
    return f"The end of its stderr:\n{text.strip()}" if text.strip() else ""


def _fold(others: list[Failure], cause: Failure) -> list[str]:
    """Return a line for each group of the other ranks."""
    groups: dict[str, list[int]] = {}
    for other in others:
        if other.kind <= _UNFINISHED and other.line == cause.line:
            said = "failed in the same way"
        elif other.kind <= _UNFINISHED:
            said = f"failed too: {other.line}"
        elif other.kind == _LOST_PEER:
            said = f"lost its peer ({shorten(other.line, 120, placeholder=' …')})"
        else:
            said = "was stopped"
        groups.setdefault(said, []).append(other.rank)
    found: list[str] = []
    for said, ranks in groups.items():
        who = f"{'Ranks' if len(ranks) > 1 else 'Rank'} {', '.join(map(str, ranks))}"
        was = "were stopped" if said == "was stopped" and len(ranks) > 1 else said
        found.append(f"{who} {was}.")
    return found


def oom_kills() -> int:
    """Return how many processes this machine's kernel has killed for want of memory.

    Linux counts them in /proc/vmstat since 4.13; 0 where it does not.
    """
    with contextlib.suppress(OSError), open("/proc/vmstat", encoding="ascii") as table:
        for row in table:
            if row.startswith("oom_kill "):
                return int(row.split()[1])
    return 0
