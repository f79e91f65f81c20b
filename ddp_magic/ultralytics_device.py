"""What `device` asks for where Ultralytics trains, and what its ranks get; in kernel and workers.

The kernel refuses what the line says before anything starts, the ranks what a cell says.
"""

from __future__ import annotations

__all__ = ["asked", "granted"]

_OTHERS = ("mps", "npu", "xpu", "tpu", "intel", "vulkan")
_DROPPED = ("cuda:", "none", "(", ")", "[", "]", "'", '"', " ")


def asked(device: object) -> list[str]:
    """Return the ids in a device, as Ultralytics reads it; none for the current device."""
    listed = device if isinstance(device, (list, tuple)) else [device]
    text = ",".join(str(each) for each in listed).lower()
    for dropped in _DROPPED:
        text = text.replace(dropped, "")
    return [
        "cpu" if each == "cpu:0" else each for each in text.split(",") if each not in ("", "cuda")
    ]


def granted(device: object, ranks: int, *, gpus: bool) -> object:
    """Return the device that each rank's trainer gets; None where that is not what was asked for.

    Args:
        device: What was asked for; -1 is an idle GPU.
        ranks: How many there are.
        gpus: Whether each has a GPU.
    """
    ids = asked(device)
    there = [str(rank) for rank in range(ranks)] if gpus else ["cpu"]
    if not ids or ids == there or (gpus and ids == ["-1"] * ranks):
        return ",".join(there)
    if ids == ["cpu"] and ranks == 1:
        return "cpu"
    return device if ids[0].startswith(_OTHERS) else None
