"""How numpy arrays are written: views stay views, large ones are files; kernel and workers."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from ddp_magic.pickling import rebuild

if TYPE_CHECKING:
    from ddp_magic.pickling.blobs import BlobWriter

__all__ = ["reduce"]

_SLACK = 1_000_000
"""A view takes its base along if that is at most 4 times as big, plus this."""


def reduce(obj: Any, kind: type, blobs: BlobWriter) -> tuple[Any, ...] | None:
    """Write an array, or None where it is none or numpy's own way is right."""
    np = sys.modules.get("numpy")
    if np is None or not isinstance(obj, np.ndarray):
        return None
    if kind is np.memmap:
        return _mapped(obj, np)
    if kind is not np.ndarray or obj.dtype.hasobject or not obj.nbytes:
        return None
    base = obj.base
    if type(base) is np.ndarray and _is_block(base) and base.nbytes <= 4 * obj.nbytes + _SLACK:
        offset = _address(obj) - _address(base)
        return rebuild.array_view, (base, obj.dtype, obj.shape, offset, obj.strides)
    if not _is_block(obj):
        return None
    order = "C" if obj.flags.c_contiguous else "F"
    data = obj.reshape(-1, order="A").view(np.uint8).data
    blob = blobs.place(("array", _address(obj), obj.nbytes), data, obj)
    make = functools.partial(rebuild.array, writable=obj.flags.writeable)
    return make, (blob, obj.dtype, obj.shape, order)


def _is_block(array: Any) -> bool:
    return array.flags.forc and not array.dtype.hasobject


def _address(array: Any) -> int:
    return array.__array_interface__["data"][0]


def _mapped(array: Any, np: Any) -> tuple[Any, ...] | None:
    whole = array.filename and not isinstance(array.base, np.memmap) and array.flags.c_contiguous
    if not whole:
        return None
    array.flush()
    mode = "c" if array.mode in ("r+", "w+") else array.mode
    return rebuild.mapped_array, (
        str(array.filename), array.dtype, mode, array.offset, array.shape,
    )  # fmt: skip
