"""Runs in the kernel: the environment that guard, agent and workers get."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from ddp_magic.launcher import is_launchers

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["environment"]

_TEARS_LINES = "PYTHONUNBUFFERED"  # see worker/stdio.py
_OPTION = "PET_"  # every torchrun option has such a variable
_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


def environment(
    base: Mapping[str, str],
    *,
    world_size: int,
    devices: Mapping[str, str],
    columns: int,
    colour: bool,
    extra: Mapping[str, str],
) -> dict[str, str]:
    """Return the workers' environment: the kernel's own, less what would mislead a rank.

    Args:
        base: The kernel's environment.
        world_size: Number of workers, which share the cores.
        devices: What hides or chooses GPUs.
        columns: Width that progress bars should take.
        colour: Whether the view draws colours.
        extra: The line's --env, which wins over everything.
    """
    env = _inherited(base)
    env.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // world_size)))
    env |= {
        "GLOO_SOCKET_IFNAME": _LOOPBACK,
        "NCCL_SOCKET_IFNAME": f"={_LOOPBACK}",  # "=" is NCCL's exact match
        "COLUMNS": str(columns),
    }
    if colour and "NO_COLOR" not in env:
        env["FORCE_COLOR"] = "1"
    return {**env, **devices, **extra}


def _inherited(base: Mapping[str, str]) -> dict[str, str]:
    """Return what the workers take over from the kernel."""
    env = {
        name: value
        for name, value in base.items()
        if not (is_launchers(name) or name == _TEARS_LINES or name.startswith(_OPTION))
    }
    # A page's own (ipykernel sets one, %matplotlib widget another) would need a kernel, but for
    # this: see worker/figures.py. Without one matplotlib would look for a screen.
    if env.get("MPLBACKEND", "module://").startswith("module://"):
        env["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    # Fresh interpreters would each iterate sets of str in an order of their own, and ranks that
    # build a vocabulary from a set would train different models without a word.
    if env.get("PYTHONHASHSEED", "random") == "random":
        env["PYTHONHASHSEED"] = "0"
    return env


def _cores() -> int:
    with contextlib.suppress(AttributeError):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
