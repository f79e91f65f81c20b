"""Runs in the kernel: torch's flight recorder, which knows every rank's last collectives.

ProcessGroupNCCL writes it into a file when a collective times out, and when somebody writes into
its FIFO: its monitor thread looks once a second. The file is a pickle of plain containers.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import stat
import time
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ddp_magic.gpu.build import torch_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ddp_magic.rundir import RunDir

__all__ = ["LIBRARY", "Last", "ask", "conclude", "environment", "last", "read"]

LIBRARY = re.compile(r"^<|/(?:site|dist)-packages/|/lib/python\d|/ddp_magic/(?:worker/|agent\.py)")
"""Files whose frames are not the user's."""
_SETTINGS = (
    (("TORCH_FR_DUMP_TEMP_FILE", "TORCH_NCCL_DEBUG_INFO_TEMP_FILE"), "file"),
    (("TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_TRACE_BUFFER_SIZE"), "2000"),
    (("TORCH_NCCL_DEBUG_INFO_PIPE_FILE",), "pipe"),
    (("TORCH_NCCL_DUMP_ON_TIMEOUT",), "1"),
)
"""What turns it on, with torch's default sizes; the newer name first. torch warns of the older."""
_NEWER = (2, 8)
"""The first torch that knows the newer names."""
_PATIENCE = 5.0
"""Seconds that ranks get to write.

Their monitor threads look at the FIFO once a second, and the first time torch imports its compiler
to find out where the collectives were called.
"""
_LARGEST = 64 << 20
_RANKS = 8
"""Ranks that a sentence names one by one."""


@dataclass(frozen=True, kw_only=True)
class Last:
    """The last collective that a rank came to.

    Attributes:
        rank: Whose.
        name: As ``all_reduce``.
        number: Which it is in its process group, counted from 1.
        group: The process group, as ``default_pg``.
        done: Whether it is over.
        place: The line of the notebook, as ``Cell In[4], line 12``; may be empty.
    """

    rank: int
    name: str
    number: int
    group: str
    done: bool
    place: str = ""


def environment(run: RunDir, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what has ranks keep a flight recorder in the run's directory.

    Args:
        run: The run.
        environ: The workers' environment, whose own settings stay.
    """
    values = {"file": str(run.flights), "pipe": str(run.flight_pipes)}
    newer = _torch() >= _NEWER
    return {
        (names[0] if newer else names[-1]): values.get(value, value)
        for names, value in _SETTINGS
        if not any(name in environ for name in names)
    }


def _torch() -> tuple[int, ...]:
    """Return the installed torch's version; where it does not tell, that with the newer names."""
    return tuple(map(int, re.findall(r"\d+", torch_version())[:2])) or _NEWER


def ask(run: RunDir, world_size: int) -> dict[int, float]:
    """Ask the ranks that have a recorder to write it; return when each was asked."""
    asked: dict[int, float] = {}
    for rank in range(world_size):
        pipe = run.flight_pipe(rank)
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(pipe.lstat().st_mode):
                fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)  # ENXIO where nobody reads
                try:
                    asked[rank] = time.time()
                    os.write(fd, b"1")
                finally:
                    os.close(fd)
    return asked


def read(run: RunDir, asked: Mapping[int, float]) -> tuple[Last, ...]:
    """Return the last collective of each rank that was asked and writes in time."""
    found: dict[int, Last | None] = {}
    end = time.monotonic() + _PATIENCE
    while len(found) < len(asked) and time.monotonic() < end:
        for rank in asked.keys() - found.keys():
            path = run.flight(rank)
            with contextlib.suppress(OSError):
                # half written it is no pickle yet; a second is what coarse file systems count in
                if path.stat().st_mtime >= asked[rank] - 1:
                    dump = _load(path)
                    if dump is not None:
                        found[rank] = last(rank, dump)
        time.sleep(0.05)
    return tuple(one for _, one in sorted(found.items()) if one is not None)


class _Plain(pickle.Unpickler):
    """Reads containers, numbers and text; nothing that is looked up by name."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Refuse.

        Raises:
            UnpicklingError: Always.
        """
        raise pickle.UnpicklingError(f"{module_name}.{global_name} in a flight recorder's file")


def _load(path: Path) -> object:
    with open(path, "rb") as file:
        raw = file.read(_LARGEST)
    try:
        return _Plain(io.BytesIO(raw)).load()
    except Exception:  # whatever a file that is no pickle, or not yet, makes of it
        return None


def last(rank: int, dump: object) -> Last | None:
    """Return the last collective in a dump: the first that is not over, else the newest.

    None where there is none, or the dump is not of the form that torch 2.5 to 2.13 write.
    """
    entries: Any = dump.get("entries") if isinstance(dump, dict) else None
    known: dict[int, dict[str, Any]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("record_id"), int):
            known[entry["record_id"]] = entry
    waits = [number for number, entry in sorted(known.items()) if not _over(entry)]
    if not known:
        return None
    entry = known[waits[0] if waits else max(known)]
    group = entry.get("process_group")
    number = entry.get("p2p_seq_id" if entry.get("is_p2p") else "collective_seq_id")
    return Last(
        rank=rank,
        name=str(entry.get("profiling_name", "")).rpartition(":")[2][:80] or "a collective",
        number=number if isinstance(number, int) else 0,
        group=str(group[-1])[:80] if isinstance(group, tuple) and group else "",
        done=not waits,
        place=_place(entry.get("frames")),
    )


def _over(entry: Mapping[str, Any]) -> bool:
    """Whether a collective is over; gloo's stay scheduled, and are retired when they are."""
    return entry.get("state") == "completed" or bool(entry.get("retired"))


def _place(frames: object) -> str:
    for frame in frames if isinstance(frames, list) else ():
        file = str(frame.get("filename", "")) if isinstance(frame, dict) else ""
        if file and not LIBRARY.search(file):
            return f"{PurePath(file).name}, line {frame.get('line')}"[:120]
    return ""


def conclude(found: Sequence[Last]) -> str:
    """Say what the ranks' last collectives were; empty where nothing is known."""
    if not found:
        return ""
    said: dict[tuple[str, int, str, bool, str], list[int]] = {}
    for one in found:
        key = (one.name, one.number, one.group, one.done, one.place)
        said.setdefault(key, []).append(one.rank)
    parts: list[str] = []
    for (name, number, group, done, place), ranks in said.items():
        who = f"{'rank' if len(ranks) == 1 else 'ranks'} {', '.join(map(str, ranks[:_RANKS]))}"
        more = " …" if len(ranks) > _RANKS else ""
        of = f" of {group}" if group and group != "default_pg" else ""
        at = f" ({place})" if place else ""
        parts.append(f"{who}{more}: {name} number {number}{of}, {'' if done else 'not '}over{at}")
    return f"The last collective of each rank, as torch recorded it: {'; '.join(parts)}."
