"""Runs in the kernel: which rank's error is the root cause, and how it reads.

torch names the first one by a clock of whole seconds, which in a program that ends in ``finally:
destroy_process_group()`` is the victim in 8 of 8 runs. Ours: the lowest kind, then the earliest.
"""

from __future__ import annotations

import contextlib
import json
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.follow import Ending
    from ddp_magic.rundir import RunDir

__all__ = ["Failure", "explain", "oom_kills"]

_OWN, _UNFINISHED, _LOST_PEER, _STOPPED = range(4)  # worker.errors.Kind, of the other side
_TAIL = 3000
"""Characters of a crashed rank's stderr that are shown."""


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
    """

    rank: int
    kind: int
    time: float
    line: str
    text: str


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
        paragraphs.append(
            f"{held[0].upper()}{held[1:]}. Free it with `del` and torch.cuda.empty_cache(), "
            "or use a smaller batch."
        )
    if others := _fold([f for f in failures if f is not cause], cause):
        paragraphs.append("\n".join(others))
    return cause, "\n\n".join(paragraphs)


def _recorded(run: RunDir, ending: Ending, rank: int) -> Failure | None:
    """Return what a rank recorded of itself."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        told = json.loads(run.error(rank, ending.attempt).read_bytes())
        line = f"{told['type']}: {told['message']}".strip().rstrip(":")
        if told["type"] == "SystemExit":
            line = f"it called sys.exit({told['message'] or told['code']})"
        return Failure(
            rank=rank,
            kind=told["kind"],
            time=told["time"],
            line=line.splitlines()[0][:500],
            text=told["traceback"],
        )
    return None


def _killed(run: RunDir, ending: Ending, rank: int, oom_kills_before: int) -> Failure | None:
    """Return what is known of a rank that left without a word."""
    if ending.announced.get(rank, None) is not None:
        return None
    code = ending.codes.get(rank)
    if code is None and rank not in ending.killed:
        return None
    kind = _OWN
    text = ""
    if rank in ending.killed or code in (-signal.SIGTERM, 128 + signal.SIGTERM):
        kind, line = _STOPPED, "stopped"
    elif code is not None and code >= 0:
        line = f"it left with exit code {code} and without an exception"
        text = _stderr_tail(run, rank) or "os._exit() or a C library may have ended the process."
    elif code == -signal.SIGKILL:
        line = "it was killed by SIGKILL"
        text = _about_memory(oom_kills() - oom_kills_before)
    else:
        line = f"it crashed with {signal.Signals(-(code or 0)).name}"
        text = _stderr_tail(run, rank)
    when = ending.gone.get(rank, 0.0)
    return Failure(rank=rank, kind=kind, time=when, line=line, text=text)


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
    text = logs[-1].read_bytes()[-_TAIL:].decode("utf-8", "replace") if logs else ""
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
            said = f"lost its peer ({other.line[:120]})"
        else:
            said = "was stopped"
        groups.setdefault(said, []).append(other.rank)
    return [
        f"{'Ranks' if len(ranks) > 1 else 'Rank'} {', '.join(map(str, ranks))} {said}."
        for said, ranks in groups.items()
    ]


def oom_kills() -> int:
    """Return how many processes this machine's kernel has killed for want of memory.

    Linux counts them in /proc/vmstat since 4.13; 0 where it does not.
    """
    with contextlib.suppress(OSError), open("/proc/vmstat", encoding="ascii") as table:
        for row in table:
            if row.startswith("oom_kill "):
                return int(row.split()[1])
    return 0
