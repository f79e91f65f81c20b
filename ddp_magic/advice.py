"""Runs in the kernel: what to do where all ranks do what one should, and where a message is known.

One sentence what happened besides the error, one what to write instead. Said only where the ranks'
own records bear it out: an error that all ranks have is one of the program.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from ddp_magic.documents import decoded
from ddp_magic.wording import ranks

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ddp_magic.failure import Failure
    from ddp_magic.follow import Ending
    from ddp_magic.rundir import RunDir

    _Saved = tuple[int, tuple[str, str, int]]  # rank; path, cell, line

__all__ = ["about_early", "advise", "saved_by_several"]

_ONE = '`if int(os.environ["RANK"]) == 0:`'
_MEET = "Let the ranks meet in between: torch.distributed.barrier()."
_COLLECTIVES = "All ranks must call the same collectives: "
_EVEN = (
    f"{_COLLECTIVES}give them equally many batches (DistributedSampler, or `with model.join():`), "
    "and call none in one rank only."
)
_OUTSIDE = {
    "": f"{_COLLECTIVES}call this one in every rank.",
    "DistributedDataParallel": (
        "Calling a DistributedDataParallel model is one. Call it in every rank, or there the model "
        "inside, which meets nobody: model.module(...)."
    ),
    "Ultralytics": (
        "Ultralytics meets the other ranks in it. Call it in the notebook after the run, for which "
        "-o brings the model, or name what trains with --trainer: the cell below then runs in rank "
        "0 only, when the process group is gone."
    ),
}
"""What to do about a collective of one rank, by whose call it was."""
_OWN = 1  # the highest kind of an error of the program's own
_TICK = 0.05
"""By how much a file system's clock may be behind."""
_TAKING = re.compile(r"\b(remove|unlink|rmdir|rmtree|rename|replace|move)\b")
_TORN = re.compile(r"PytorchStreamReader|EOFError|UnpicklingError|BadZipFile")
_KNOWN = {
    r"NCCL built in|ProcessGroupNCCL is only supported with GPUs": (
        "The workers of this run are on the CPU, and NCCL is for GPUs. Call init_process_group() "
        "without a backend: it takes NCCL on GPUs, and Gloo here."
    ),
    r"InvalidCxxCompiler": (
        "torch.compile makes C++ of a model on the CPU, and this machine has no compiler. Install "
        'one (g++), or write torch.compile(model, backend="eager") there.'
    ),
    r"SyncBatchNorm (layers only work with GPU|expected input tensor to be on)": (
        "SyncBatchNorm is for GPUs. Convert the model only where there are: "
        "`if torch.cuda.is_available():`."
    ),
}


def advise(
    cause: Failure, failures: Collection[Failure], run: RunDir, ending: Ending, size: int
) -> str:
    """Return what to do about a failure; empty where that is not known.

    Args:
        cause: The root cause.
        failures: Of all ranks.
        run: The run, whose directory tells when it began and what was saved.
        ending: How its processes ended.
        size: Number of ranks.
    """
    for pattern, sentence in _KNOWN.items():
        if re.search(pattern, cause.line):
            return sentence
    same = {f.rank for f in failures if f.kind <= _OWN and f.line == cause.line}
    if len(same) == size:
        return ""
    if cause.absent is not None and cause.rank:
        return _about_absent(cause, same, ending)
    if _TORN.search(cause.line) and "load" in cause.source:
        saved = _saved(run, size, ending.attempt)
        return _about_torn(cause, [s for s in saved if s[0] != cause.rank])
    return _about_file(cause, run)


def about_early(cause: Failure, early: Sequence[int]) -> str:
    """Explain a collective that failed although no other rank has.

    Args:
        cause: The failure.
        early: The ranks that had come through.
    """
    said = (
        f"{ranks(early).capitalize()} had reached the end of the cell while rank {cause.rank} was "
        "still in this collective"
    )
    if not cause.under:
        return f"{said}. {_EVEN}"
    remedy = _OUTSIDE.get(cause.meeting, _OUTSIDE[""])
    return f"{said}, which not all ranks came to: it stands under {cause.under}. {remedy}"


def _about_absent(cause: Failure, same: Collection[int], ending: Ending) -> str:
    if 0 in same:
        return ""
    came_through = ending.announced.get(0) == 0
    where = ranks(sorted(same))
    what = f"`{cause.absent}` is None there" if cause.absent else "something is None there"
    done = "ran the cell to its end" if came_through else "did not fail here"
    said = [f"Rank 0 {done}: only {where} failed, since {what}."]
    if ending.grouped is not False:
        said.append("What trains on all ranks often gives its result to rank 0 alone.")
    said.append(f"Use it under {_ONE}; with --trainer the whole cell below runs in rank 0 only.")
    here = "\nNothing that rank 0 bound is lost: it is here, by -o or %ddp_output."
    return " ".join(said) + (here if came_through else "")


def _about_file(cause: Failure, run: RunDir) -> str:
    """Tell of a file that ranks get in each other's way with."""
    name = cause.line.partition(":")[0]
    path = cause.file
    shown = os.path.basename(path.rstrip(os.sep))
    if name == "FileExistsError" and _made_since(path, run):
        return (
            f"{shown} was made during this run, most likely by another rank at this same line. "
            f"Make it in one, under {_ONE}, or allow for it: os.makedirs(..., exist_ok=True)."
        )
    if name == "FileNotFoundError" and _made_since(path, run):
        return f"{shown} is there now: another rank wrote it after this one had looked. {_MEET}"
    if name == "FileNotFoundError" and path and _TAKING.search(cause.source):
        return (
            f"Where all ranks run this line, the first one leaves nothing for the others. Let one "
            f"do it: {_ONE}."
        )
    return ""


def _about_torn(cause: Failure, saved: Sequence[_Saved]) -> str:
    """Tell who saved the file that was read, or the only one there is if that is not known."""
    read = os.path.realpath(cause.file) if cause.file else ""
    found = [each for each in saved if each[1][0] == read] if read else saved
    if len({path for _, (path, *_) in found}) != 1:
        return ""
    other, (path, cell, line) = found[-1]
    return (
        f"Rank {other} saved {os.path.basename(path)} in this run ({cell}, line {line}), and may "
        f"not have been done when rank {cause.rank} read it. {_MEET}"
    )


def _made_since(path: str, run: RunDir) -> bool:
    with contextlib.suppress(OSError):
        return bool(path) and os.stat(path).st_ctime >= run.job.stat().st_mtime - _TICK
    return False


def saved_by_several(run: RunDir, size: int, attempt: int) -> list[str]:
    """Return a sentence for each line by which several ranks saved one file."""
    savers: dict[tuple[str, str, int], list[int]] = {}
    for rank, saved in _saved(run, size, attempt):
        savers.setdefault(saved, []).append(rank)
    return [
        f"{ranks(found).capitalize()} saved one file, {os.path.basename(path)} ({cell}, line "
        f"{line}), and may have written into each other's. Let one do it: {_ONE}."
        for (path, cell, line), found in savers.items()
        if len(found) > 1 and os.path.isfile(path)  # not /dev/null, nor what could not be made
    ]


def _saved(run: RunDir, size: int, attempt: int) -> list[_Saved]:
    """Return which rank saved what."""
    found: list[_Saved] = []
    for rank in range(size):
        with contextlib.suppress(OSError, ValueError):
            for line in run.saves(rank, attempt).read_bytes().splitlines():
                path, cell, number = decoded(line)
                found.append((rank, (path, cell, number)))
    return found
