"""Runs in the kernel: whether processes that were started earlier are as if started now."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ddp_magic.launch import LaunchSpec

__all__ = ["LATE", "differs", "inherited", "late", "read_early"]

LATE = frozenset(
    {
        "COLUMNS",
        "CUDA_VISIBLE_DEVICES",
        "FORCE_COLOR",
        "LINES",
        "NO_COLOR",
        "PL_GLOBAL_SEED",
        "PL_SEED_WORKERS",
        "PYTORCH_NVML_BASED_CUDA_CHECK",
        "TORCHINDUCTOR_CACHE_DIR",
    }
)
"""Environment variables that are read when they are needed: these a waiting worker may be told.

CUDA reads its own at cuInit, which no standby has called. Lightning sets three in the kernel: one
for torch.cuda.is_available() when it is imported, two in seed_everything() for its own use. torch
sets the last one itself, in the kernel, when the first optimizer is made there. Tested by
`test_standby_likeness`.
"""
_ALSO_LATE = frozenset(
    {
        "CUBLAS_WORKSPACE_CONFIG",  # cuBLAS reads it when its first handle is made
        "CUDA_LAUNCH_BLOCKING",  # CUDA reads it at cuInit
        "PYTHONHASHSEED",  # read when Python starts; half of all seed_everything() set it in vain
        "TOKENIZERS_PARALLELISM",  # tokenizers reads it at each use
    }
)
"""What else code may set after its imports, without any difference to before them."""
_LATE_KINDS = ("NCCL_", "TORCH_NCCL_", "TORCH_FR_", "GLOO_")
"""What NCCL and gloo read when a process group is made."""
_STATUS = ("Umask:", "SigIgn:", "Groups:", "Seccomp:")
_HANDLED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGTERM)
"""What the guard handles, so that agent and workers have the defaults (`guard.wake`).

ipykernel ignores SIGINT between two cells, when the first standby starts.
"""


def inherited() -> dict[str, Any]:
    """Return what a process started now would take over from the kernel besides the environment."""
    found: dict[str, Any] = {
        "the interpreter's flags": subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined] # noqa: SLF001
        "the interpreter": sys.executable,
        "resource limits": [resource.getrlimit(getattr(resource, name)) for name in _LIMITS],
        "the priority": os.getpriority(os.PRIO_PROCESS, 0),
    }
    if sys.platform == "linux":
        found["the CPUs it may use"] = os.sched_getaffinity(0)
        found["the scheduling policy"] = os.sched_getscheduler(0)
        found["the cgroup"] = Path("/proc/self/cgroup").read_text()
        status = Path("/proc/self/status").read_text().splitlines()
        found["umask or signals"] = [
            *(_inherited(line) for line in status if line.startswith(_STATUS)),
            # this thread's, as a child has it; /proc tells of the main thread
            sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        ]
    return found


def _inherited(line: str) -> str:
    name, _, value = line.partition(":")
    if name != "SigIgn":
        return line
    return f"{name}: {int(value, 16) & ~sum(1 << (number - 1) for number in _HANDLED):x}"


_LIMITS = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))


def differs(born: LaunchSpec, now: LaunchSpec) -> str:
    """Return what speaks against using processes started by `born` for `now`; empty if nothing."""
    if born.world_size != now.world_size:
        return f"{born.world_size} workers waited, and this run has {now.world_size}"
    if born.restarts != now.restarts or born.torchrun != now.torchrun:
        return "--restarts or --torchrun is another"
    changed = [n for n in _changed(born.environ, now.environ) if n not in LATE]
    if changed:
        return f"{', '.join(sorted(changed))} changed in the environment"
    other = [what for what, value in now.inherited.items() if born.inherited.get(what) != value]
    return f"{other[0]} changed" if other else ""


def late(born: LaunchSpec, now: LaunchSpec) -> dict[str, str | None]:
    """Return the environment variables to set, or to remove (None), in the waiting workers."""
    return {name: now.environ.get(name) for name in _changed(born.environ, now.environ)}


def read_early(names: Iterable[str]) -> list[str]:
    """Return which of the variables that a job's own code sets an import may have read before."""
    early = {*names} - LATE - _ALSO_LATE
    return sorted(name for name in early if not name.startswith(_LATE_KINDS))


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    names = {*before, *after}
    return [name for name in names if before.get(name) != after.get(name)]
