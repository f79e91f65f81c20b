"""How numpy arrays are written: by the memory that they look at; both sides.

Arrays that share memory go on sharing it, with tensors too. What `numpy.memmap` has mapped is
mapped again from its own file. Arrays of objects are left to numpy.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ddp_magic.pickling import filemaps, rebuild
from ddp_magic.pickling.blobs import LARGE
from ddp_magic.pickling.extents import packed_strides, start_of, view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.pickling.loans import BlobReader, Loan
    from ddp_magic.pickling.parts import Parts

__all__ = ["buffer", "buffer_ref", "make", "masked", "of_kind", "reduce"]


def reduce(obj: Any, parts: Parts) -> tuple[Any, ...] | None:
    """Write an array, or None where it is none or numpy's own way is right."""
    np: Any = sys.modules.get("numpy")
    if np is None or not isinstance(obj, np.ndarray) or obj.dtype.hasobject or not obj.nbytes:
        return None
    kind: Any = type(obj)
    if kind is np.ndarray or kind is np.memmap:
        return filemaps.reduce(obj, np) or _reduce(obj, parts)
    if kind is np.ma.MaskedArray:
        mask = None if np.ma.getmask(obj) is np.ma.nomask else np.ma.getmask(obj)
        return masked, (obj.data, mask, getattr(obj, "_fill_value", None), obj.hardmask)
    own = ("__reduce__", "__reduce_ex__", "__setstate__")
    if any(getattr(kind, name) is not getattr(np.ndarray, name) for name in own):
        return None
    bare = obj.view(np.ndarray)
    parts.stands_for(bare, obj)
    state = getattr(obj, "__dict__", None) or None
    return of_kind, (bare, kind), state, None, None, rebuild.set_attributes


def _reduce(obj: Any, parts: Parts) -> tuple[Any, ...]:
    strides = obj.strides
    ref = parts.refer(view(filemaps.address(obj), obj.itemsize, obj.shape, strides), obj)
    given = None if obj.flags.c_contiguous else strides
    return make, (ref, obj.dtype, obj.shape, given, obj.flags.writeable)


def make(
    loan: Loan,
    dtype: Any,
    shape: Sequence[int],
    strides: Sequence[int] | None,
    writable: bool,  # noqa: FBT001 - as it stands in the pickle
) -> Any:
    """Make the array that `reduce` wrote."""
    import numpy as np

    blobs, extent = loan.blobs, loan.extent
    if strides is None:
        strides = _contiguous(shape, dtype.itemsize)
    if loan.packed:
        strides = packed_strides(shape, strides, dtype.itemsize)
    offset = loan.offset + start_of(shape, strides)
    if writable and extent not in blobs.arrays and extent not in blobs.storages:
        data = blobs.memory(extent) if blobs.mapped(extent) else blobs.data(extent)
        made: Any = np.ndarray(shape, dtype, data, offset, strides)
        if made.flags.forc and made.nbytes == blobs.size(extent):
            return _first(made, blobs, extent)
    made = np.ndarray(shape, dtype, _bytes(blobs, extent), offset, strides)
    if not writable:
        made.flags.writeable = False
    return made


def _first(made: Any, blobs: BlobReader, extent: int) -> Any:
    """Return an array on which all others in its extent will be based, as in the notebook.

    It owns its memory, unless that is mapped.
    """
    if not blobs.mapped(extent):
        made = made.copy(order="K")
    blobs.arrays[extent] = made.reshape(-1, order="A").view("u1")
    return made


def _bytes(blobs: BlobReader, extent: int) -> Any:
    """Return an extent as an array of bytes, the same for all that lies in it."""
    import numpy as np

    if extent not in blobs.arrays:
        if extent in blobs.storages:
            torch: Any = sys.modules["torch"]
            found = torch.empty(0, dtype=torch.uint8).set_(blobs.storages[extent]).numpy()
        else:
            found = np.frombuffer(blobs.memory(extent), np.uint8)
        blobs.arrays[extent] = found
    return blobs.arrays[extent]


def _contiguous(shape: Sequence[int], itemsize: int) -> list[int]:
    strides: list[int] = []
    for n in reversed(shape):
        strides.append(itemsize)
        itemsize *= n
    return strides[::-1]


def masked(data: Any, mask: Any, fill_value: Any, hard: bool) -> Any:  # noqa: FBT001
    """Make a masked array."""
    import numpy as np

    given = np.ma.nomask if mask is None else mask
    made: Any = np.ma.MaskedArray(data, mask=given, keep_mask=False, hard_mask=hard)
    if fill_value is not None:
        made.fill_value = fill_value
    return made


def of_kind(bare: Any, kind: type) -> Any:
    """Make an array of a subclass, without its attributes."""
    return bare.view(kind)


def buffer_ref(obj: Any, parts: Parts) -> tuple[Any, ...] | None:
    """Note the memory that a library's own `pickle.PickleBuffer` wraps; None where it is small."""
    np: Any = sys.modules.get("numpy")
    data: memoryview = obj.raw()
    if np is None or data.nbytes < LARGE:
        return None
    array = np.frombuffer(data, np.uint8)
    ref = parts.refer(view(filemaps.address(array), 1, array.shape, array.strides), array)
    return ("buffer", ref.number, data.readonly, data.nbytes)


def buffer(loan: Loan, nbytes: int, *, readonly: bool) -> memoryview:
    """Return the memory that `buffer_ref` noted."""
    found = memoryview(_bytes(loan.blobs, loan.extent))[loan.offset : loan.offset + nbytes]
    return found.toreadonly() if readonly else found
