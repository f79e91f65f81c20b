"""What a pickle refers to of the memory around it; runs in the kernel and in every worker.

While a value is pickled nothing is written: arrays and tensors are only noted, with what they look
at. A draft that is thrown away has then cost nothing and leaves nothing.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ddp_magic.pickling.extents import Extent, View

__all__ = ["PIECE", "Part", "Parts", "Ref", "content", "memory_at"]

PIECE = 16 << 20
"""Bytes that are copied at once."""


class Ref:
    """Stands in a pickle for a part's memory, or for a device where there is none."""

    __slots__ = ("device", "number")

    def __init__(self, number: int = -1, device: str = "") -> None:
        self.number = number
        self.device = device


class Part(NamedTuple):
    """Memory that travels, and whose it is."""

    view: View
    owner: Any
    """The array or tensor: what a user would call it. Holds the memory."""
    storage: Any = None
    """The torch storage where the memory is a device's."""

    @property
    def device(self) -> str:
        """The device's name; ``cpu`` for this process's memory."""
        return "cpu" if self.storage is None else self.view.space.partition("/")[0]


class Parts:
    """The parts of one draft.

    Attributes:
        found: By number; equal views have equal numbers.
    """

    def __init__(self, number: Callable[[View], int]) -> None:
        self._number = number
        self._names: dict[int, tuple[object, object]] = {}
        self.found: dict[int, Part] = {}

    def refer(self, view: View, owner: object, storage: object = None) -> Ref:
        """Note that the draft needs this memory; return what stands for it."""
        number = self._number(view)
        _, named = self._names.get(id(owner), (None, owner))
        self.found.setdefault(number, Part(view, named, storage))
        return Ref(number)

    def stands_for(self, inner: object, outer: object) -> None:
        """Say that an object was only made to pickle another, which is to be named instead."""
        self._names[id(inner)] = (inner, outer)


def memory_at(address: int, nbytes: int) -> memoryview:
    """Return the bytes at an address; its owner must outlive the view."""
    return memoryview((ctypes.c_ubyte * nbytes).from_address(address)).cast("B")


def content(extent: Extent, storage: Any) -> Iterator[memoryview]:
    """Yield the bytes of an extent piece by piece, without a second copy of all of them."""
    yield memoryview(bytes(extent.pad))
    low, nbytes = extent.low, extent.nbytes - extent.pad
    if extent.packed is not None:
        yield _packed(extent.packed, storage)
    elif storage is None:
        yield memory_at(low, nbytes)
    else:
        for at in range(low, low + nbytes, PIECE):
            piece = _bytes_of(storage)[at : min(at + PIECE, low + nbytes)].cpu()
            yield memory_at(piece.data_ptr(), piece.numel())


def _bytes_of(storage: Any) -> Any:
    """Return a storage as a tensor of bytes."""
    import torch

    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _packed(view: View, storage: Any) -> memoryview:
    """Return the bytes that a view looks at, without those between them."""
    size = [n for n, _ in view.dims] + [view.run]
    steps = [step for _, step in view.dims] + [1]
    numpy: Any = sys.modules.get("numpy")
    if storage is None and numpy is not None:
        memory = numpy.frombuffer(memory_at(view.low, view.high - view.low), numpy.uint8)
        spread = numpy.lib.stride_tricks.as_strided(memory, size, steps)
        return memoryview(numpy.ascontiguousarray(spread)).cast("B")
    import torch

    if storage is None:
        memory = torch.frombuffer(memory_at(view.low, view.high - view.low), dtype=torch.uint8)
        made = memory.as_strided(size, steps).contiguous()
    else:
        made = _bytes_of(storage).as_strided(size, steps, view.low).contiguous().cpu()
    data = memory_at(made.data_ptr(), made.numel())
    return memoryview(bytes(data))  # a tensor is no buffer; these are few bytes of many
