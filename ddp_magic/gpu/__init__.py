"""What is known of the machine's GPUs, for `devices`; runs in the kernel, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Gpu", "Holder", "Source", "gib"]


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that holds memory of a GPU.

    Attributes:
        pid: Its number.
        name: Its program; empty where the number is not one of this pid namespace.
        user: Whose it is; may be empty.
        used: Bytes it holds; None where the driver does not tell (containers, MIG).
        compute: False where it only draws, as a desktop does.
    """

    pid: int
    name: str
    user: str
    used: int | None
    compute: bool = True


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU, or one MIG instance of a GPU that is divided (which then is not listed itself).

    Attributes:
        uuid: As the driver and CUDA_VISIBLE_DEVICES write it: ``GPU-…`` or ``MIG-…``.
        index: The driver's number, in PCI order; of an instance its GPU's.
        name: As ``NVIDIA H200``.
        total: Bytes of memory.
        free: Bytes that nobody uses.
        holders: The processes that the driver names.
        mig: Whether it is a MIG instance.
        parent: The UUID of an instance's GPU.
    """

    uuid: str
    index: int
    name: str
    total: int
    free: int
    holders: tuple[Holder, ...] = ()
    mig: bool = False
    parent: str = ""


class Source(Protocol):
    """Where GPUs are looked up: `nvml.Nvml`, or a list in a test."""

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the machine's GPUs as they are now.

        Raises:
            DeviceError: The driver is missing or broken; the message begins with that.
        """
        ...


def gib(size: int) -> str:
    """Say an amount of memory for a person."""
    return f"{size / 2**30:.1f} GiB"
