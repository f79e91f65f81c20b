"""Who uses the kernel's GPUs: other processes, this kernel, or nobody; runs in the kernel."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ddp_magic.errors import DeviceError
from ddp_magic.gpu import gib
from ddp_magic.gpu.visibility import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddp_magic.gpu import Gpu, Holder, Source
    from ddp_magic.gpu.visibility import Visible

__all__ = ["Occupancy", "holders_of", "kernel_memory", "uses_cuda"]

# What a driver keeps for itself, and a desktop's windows, stay below; a training does not.
_NOTICED = 2**30


@dataclass(frozen=True)
class Occupancy:
    """The visible GPUs with their users.

    Attributes:
        visible: The GPUs and their numbers.
        kernel_pid: This kernel, whose own memory does not make a GPU busy.
        kernel_uses_cuda: Whether the kernel may be the process that the driver does not name, as
            in a container, where numbers of processes differ inside and outside.
        claims: Which GPU is a running run's of this notebook, UUID to run: the driver names its
            workers only once they compute.
    """

    visible: Visible
    kernel_pid: int
    kernel_uses_cuda: bool
    claims: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def whole(self) -> tuple[Gpu, ...]:
        """The GPUs that are not divided."""
        return tuple(gpu for gpu in self.visible.gpus if not gpu.mig)

    def label(self, gpu: Gpu) -> str:
        """Name a GPU as the kernel does: ``cuda:1 NVIDIA H200``."""
        if gpu.mig:
            return f"{gpu.uuid[:12]}… {gpu.name}"
        if not self.visible.ordered:
            return f"GPU {gpu.index} {gpu.name}"
        return f"cuda:{self.visible.numbered.index(gpu)} {gpu.name}"

    def option(self, gpu: Gpu) -> str:
        """Name a GPU as `--devices` takes it."""
        if gpu.mig or not self.visible.ordered:
            return gpu.uuid
        return str(self.visible.numbered.index(gpu))

    def is_free(self, gpu: Gpu) -> bool:
        """Whether neither another process nor a run of this notebook uses it."""
        if gpu.uuid in self.claims:
            return False
        return not holders_of(gpu, kernel_pid=self.kernel_pid) and not self._is_hidden_use(gpu)

    def _is_hidden_use(self, gpu: Gpu) -> bool:
        if self.kernel_uses_cuda and self.own(gpu) is None:
            return False
        return unnamed_use(gpu) is not None

    def own(self, gpu: Gpu) -> Holder | None:
        """Return what this kernel itself holds."""
        return next((holder for holder in gpu.holders if holder.pid == self.kernel_pid), None)

    def held_by(self, gpu: Gpu) -> str:
        """Say who else uses it: ``python (pid 42, alice, 3.2 GiB)``, ``run-3 of this notebook``."""
        if gpu.uuid in self.claims:
            return f"{self.claims[gpu.uuid]} of this notebook"
        others = [_described(h) for h in holders_of(gpu, kernel_pid=self.kernel_pid)]
        hidden = unnamed_use(gpu)
        if hidden is not None and self._is_hidden_use(gpu):
            amount = f" ({gib(hidden)})" if hidden else ""
            others.append(f"a process that cannot be seen from here{amount}")
        return " and ".join(others)

    def own_notice(self, gpu: Gpu) -> str:
        """Say what a worker there will not have because of this kernel; empty if nothing."""
        own = self.own(gpu)
        if own is not None:
            amount = gib(own.used) if own.used is not None else "memory"
            return (
                f"This kernel itself holds {amount} on {self.label(gpu)}, which the worker there "
                "does not get; del what is not needed, then torch.cuda.empty_cache(), frees it."
            )
        hidden = unnamed_use(gpu)
        if hidden and self.kernel_uses_cuda:
            return (
                f"{gib(hidden)} on {self.label(gpu)} are in use by this kernel or by a process "
                "that cannot be seen from here."
            )
        return ""


def holders_of(gpu: Gpu, *, kernel_pid: int) -> tuple[Holder, ...]:
    """Return the processes other than the kernel that compute on a GPU and can be named."""
    return tuple(h for h in gpu.holders if h.compute and h.name and h.pid != kernel_pid)


def unnamed_use(gpu: Gpu) -> int | None:
    """Return the bytes that a process unknown here uses; None where there is none such."""
    named = [holder for holder in gpu.holders if holder.name]
    nameless = len(named) < len(gpu.holders)
    if any(holder.used is None for holder in named):
        return 0 if nameless else None
    left = gpu.total - gpu.free - sum(holder.used or 0 for holder in named)
    if left >= _NOTICED:
        return left
    return max(left, 0) if nameless else None


def _described(holder: Holder) -> str:
    used = gib(holder.used) if holder.used is not None else ""
    details = [f"pid {holder.pid}", *filter(None, (holder.user, used))]
    return f"{holder.name} ({', '.join(details)})"


def uses_cuda(pid: int) -> bool:
    """Whether a process of this user has CUDA open; the driver's own tools do not open this."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        return any(os.readlink(entry) == "/dev/nvidia-uvm" for entry in folder.iterdir())
    except OSError:
        return False


def kernel_memory(source: Source, *, environ: Mapping[str, str], kernel_pid: int) -> str:
    """Say what this kernel itself holds, for a worker that ran out of GPU memory.

    Returns:
        As ``this kernel itself holds 3.2 GiB on cuda:0 NVIDIA H200``; empty if nothing is known.
    """
    try:
        seen = visible(source.gpus(), environ)
    except DeviceError:
        return ""
    occupancy = Occupancy(visible=seen, kernel_pid=kernel_pid, kernel_uses_cuda=True)
    held = [
        f"{gib(own.used)} on {occupancy.label(gpu)}"
        for gpu in seen.gpus
        if (own := occupancy.own(gpu)) is not None and own.used
    ]
    return f"this kernel itself holds {' and '.join(held)}" if held else ""
