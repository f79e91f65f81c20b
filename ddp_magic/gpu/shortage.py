"""Why there are not enough GPUs for a run, and what to do; runs in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ddp_magic.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.gpu import Gpu
    from ddp_magic.gpu.occupancy import Occupancy

__all__ = ["CPU_WORKERS", "ONE_INSTANCE", "ends", "held", "refuse"]

CPU_WORKERS = 2
ONE_INSTANCE = "CUDA gives a process one MIG instance only"


def refuse(option: str, count: int, free: Sequence[Gpu], occupancy: Occupancy) -> NoReturn:
    """Say why there are fewer GPUs than were asked for, and what to do.

    Args:
        option: What was asked, as on the line.
        count: How many that are.
        free: Those that are free.
        occupancy: Who has the others.

    Raises:
        DeviceError: Always.
    """
    seen = occupancy.visible
    cpu = f"--nproc {max(count, CPU_WORKERS)}"
    if not seen.gpus:
        raise DeviceError(
            f"{option} asks for GPUs, and {seen.reason}. Write {cpu} to train on the CPU."
        )
    usable = occupancy.whole if count > 1 else seen.gpus
    if len(usable) < count:
        instances = f", and {ONE_INSTANCE}" if len(seen.gpus) > len(usable) else ""
        limit = "" if seen.limit is None else f", by CUDA_VISIBLE_DEVICES={seen.limit}"
        fewer = f"--gpus {len(usable) or 1}"
        raise DeviceError(
            f"{option} asks for more GPUs than this kernel sees ({len(usable)}{limit}){instances}. "
            f"Write {fewer}, or {cpu} to train on the CPU."
        )
    busy = [gpu for gpu in usable if not occupancy.is_free(gpu)]
    # to insist: the free ones first, then those with most memory left
    shared = [gpu for gpu in busy if gpu.uuid not in occupancy.claims]
    insisted = [*free, *sorted(shared, key=lambda gpu: -gpu.free)][:count]
    ways = [f"--gpus {len(free)}"] if free else []
    if len(insisted) == count:
        ways.append(f"--devices {','.join(map(occupancy.option, insisted))} to share")
    raise DeviceError(
        f"{option} asks for more GPUs than are free ({len(free)} of {len(usable)}): "
        f"{held(busy, occupancy)}. Write {', '.join([*ways, ''])}{'or ' if ways else ''}{cpu} to "
        f"train on the CPU. {ends(busy, occupancy)}".rstrip()
    )


def ends(gpus: Sequence[Gpu], occupancy: Occupancy) -> str:
    """Say how to get the GPUs that runs of this notebook hold; empty if there are none."""
    names = dict.fromkeys(occupancy.claims[g.uuid] for g in gpus if g.uuid in occupancy.claims)
    if not names:
        return ""
    stops = " or ".join(f"%ddp_stop {name}" for name in names)
    return f"Wait until {' or '.join(names)} has ended, or stop it: {stops}."


def held(gpus: Sequence[Gpu], occupancy: Occupancy) -> str:
    """Say who holds these GPUs."""
    return "; ".join(f"{occupancy.label(gpu)} is held by {occupancy.held_by(gpu)}" for gpu in gpus)
