"""Which GPUs CUDA shows to the kernel, and under which numbers; runs in the kernel.

Asking CUDA itself would initialise it in the kernel, so its rules are followed here: entries of
CUDA_VISIBLE_DEVICES are numbers, or UUIDs that may be cut short; the first bad one ends the list,
a repeated one empties it. Numbers follow CUDA's order, fastest first unless CUDA_DEVICE_ORDER says
PCI_BUS_ID, and only among equal cards that is known to be the driver's order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ddp_magic.gpu import Gpu

__all__ = ["ORDER_ADVICE", "Visible", "matching", "visible"]

ORDER_ADVICE = (
    "Set CUDA_DEVICE_ORDER=PCI_BUS_ID before the kernel starts, or name GPUs by their UUIDs, which "
    "nvidia-smi -L lists"
)


@dataclass(frozen=True, kw_only=True)
class Visible:
    """The GPUs that the kernel may use.

    Attributes:
        gpus: In the order of the kernel's ``cuda:i``, with all instances of a divided GPU.
        ordered: Whether that order is known.
        limit: CUDA_VISIBLE_DEVICES where it is set.
        reason: Why there is none, to follow "and"; empty where there are.
        notices: What the user should know about the variable.
    """

    gpus: tuple[Gpu, ...] = ()
    ordered: bool = True
    limit: str | None = None
    reason: str = ""
    notices: tuple[str, ...] = ()

    @property
    def numbered(self) -> tuple[Gpu, ...]:
        """What the numbers stand for: each GPU, of a divided one its first instance."""
        slots = {gpu.parent or gpu.uuid: gpu for gpu in reversed(self.gpus)}
        return tuple(reversed(slots.values()))


def visible(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> Visible:
    """Return which of the machine's GPUs the kernel may use, in its own order."""
    everything = tuple(sorted(gpus, key=lambda gpu: gpu.index))
    if not everything:
        return Visible(reason="this machine has no GPU that the driver shows")
    models = {re.sub(r" MIG .*", "", gpu.name) for gpu in everything}
    ordered = len(models) == 1 or environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    limit = environ.get("CUDA_VISIBLE_DEVICES")
    if limit is None:
        return Visible(gpus=everything, ordered=ordered)
    entries = [entry.strip() for entry in limit.split(",")]
    by_uuid = entries[0].startswith(("GPU-", "MIG-"))
    found, bad = _named(entries, everything) if by_uuid else _counted(entries, everything)
    if not found:
        said = f"CUDA_VISIBLE_DEVICES={limit}"
        return Visible(limit=limit, reason=f"{said} hides every GPU from this kernel")
    slots = len(Visible(gpus=everything).numbered)
    if not ordered and not by_uuid and len(found) < slots:
        reason = (
            f"CUDA_VISIBLE_DEVICES={limit} counts different cards in CUDA's own order, in which "
            f"it cannot be told which are meant. {ORDER_ADVICE}"
        )
        return Visible(limit=limit, reason=reason)
    if not ordered and not by_uuid:
        found = everything
    notices = (f"CUDA_VISIBLE_DEVICES={limit}: CUDA stops reading at {bad!r}.",) if bad else ()
    return Visible(gpus=found, ordered=ordered or by_uuid, limit=limit, notices=notices)


def _counted(entries: list[str], gpus: tuple[Gpu, ...]) -> tuple[tuple[Gpu, ...], str]:
    """Read a list of numbers; return what it names and the entry that ended it."""
    slots = Visible(gpus=gpus).numbered
    chosen: list[Gpu] = []
    for entry in entries:
        # as strtol reads it: what follows the digits does not count
        match = re.match(r"\+?[0-9]+", entry)
        if match is None or int(match[0]) >= len(slots):
            return _whole(chosen, gpus), entry
        if slots[int(match[0])] in chosen:
            return (), entry
        chosen.append(slots[int(match[0])])
    return _whole(chosen, gpus), ""


def _whole(chosen: list[Gpu], gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Put all instances of a divided GPU where the number of that GPU stands."""
    return tuple(
        gpu
        for slot in chosen
        for gpu in gpus
        if (gpu.parent or gpu.uuid) == (slot.parent or slot.uuid)
    )


def _named(entries: list[str], gpus: tuple[Gpu, ...]) -> tuple[tuple[Gpu, ...], str]:
    """Read a list of UUIDs of one kind; return what it names and the entry that ended it."""
    chosen: list[Gpu] = []
    for entry in entries:
        matches = matching(entry, gpus) if entry[:4] == entries[0][:4] else ()
        if len(matches) != 1:
            return tuple(chosen), entry
        if matches[0] in chosen:
            return (), entry
        chosen.append(matches[0])
    return tuple(chosen), ""


def matching(prefix: str, gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """Return the GPUs whose UUID begins so; for a divided GPU's own UUID its first instance."""
    exact = tuple(gpu for gpu in gpus if prefix in (gpu.uuid, gpu.parent))
    if exact:
        return exact[:1]
    slots = Visible(gpus=tuple(gpus)).numbered
    by_parent = tuple(gpu for gpu in slots if gpu.parent.startswith(prefix))
    return tuple(gpu for gpu in gpus if gpu.uuid.startswith(prefix)) + by_parent
