"""How torch tensors are written: by storage, so that what shares memory goes on; both sides.

Imports torch only where a pickle holds a tensor.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from ddp_magic.pickling import rebuild
from ddp_magic.pickling.blobs import LARGE, Blob, BlobReader, BlobWriter, memory_at
from ddp_magic.pickling.refusals import CannotTravel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STORAGES", "reduce", "storage", "storage_id"]

STORAGES = frozenset({"UntypedStorage", "TypedStorage"})

_SLACK = 1_000_000
"""A view is cut out of its storage if that is more than 4 times as big, plus this."""


def storage_id(obj: Any, blobs: BlobWriter) -> tuple[Any, ...] | None:
    """Write a storage once and return what the receiver finds it by; None if it is none."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(obj, (torch.UntypedStorage, torch.TypedStorage)):
        return None
    typed = isinstance(obj, torch.TypedStorage)
    whole = obj._untyped_storage if typed else obj  # noqa: SLF001 - .untyped() warns
    device = whole.device.type
    if device == "meta":
        raise CannotTravel("a tensor on the meta device", "Materialize it first", obj)
    on_cpu = whole if device == "cpu" else whole.cpu()
    nbytes = on_cpu.nbytes()
    data = memory_at(on_cpu.data_ptr(), nbytes) if nbytes else memoryview(b"")
    blob = blobs.place(_key(whole), data, (whole, on_cpu))
    return ("storage", *blob, str(obj.dtype) if typed else None, device)


def storage(blob: Blob, dtype: str | None, device: str, blobs: BlobReader) -> Any:
    """Make a storage of what `storage_id` returned; the same for all that share it."""
    import torch

    if blob not in blobs.storages:
        blobs.storages[blob] = _untyped(torch, blob, blobs)
    untyped = blobs.storages[blob]
    if device == "cuda" and torch.cuda.is_available() and untyped.device.type != "cuda":
        untyped = blobs.storages[blob] = untyped.cuda()
    if dtype is None:
        return untyped
    kind = getattr(torch, dtype.removeprefix("torch."))
    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=kind, _internal=True)


def _untyped(torch: Any, blob: Blob, blobs: BlobReader) -> Any:
    if blob.nbytes >= LARGE:
        path = str(blobs.folder / blob.file)
        return torch.UntypedStorage.from_file(path, False, blob.nbytes)
    made = torch.UntypedStorage(blob.nbytes)
    if blob.nbytes:
        memory_at(made.data_ptr(), blob.nbytes)[:] = blobs.buffer(blob)
    return made


def reduce(obj: Any, kind: type, blobs: BlobWriter) -> tuple[Any, ...] | None:
    """Write a tensor where torch's own way loses something, else None."""
    torch = sys.modules.get("torch")
    if torch is None or kind not in (torch.Tensor, torch.nn.Parameter):
        return None
    if not obj.is_leaf:
        raise CannotTravel(
            f"a tensor in the middle of an autograd graph ({type(obj.grad_fn).__name__})",
            "Send .detach() of it",
            obj,
        )
    if kind is torch.Tensor and obj.layout is torch.strided and _is_cut(obj, blobs):
        part: Callable[..., Any] = functools.partial(
            rebuild.small_view, requires_grad=obj.requires_grad
        )
        return part, (obj.detach().clone(),)
    if obj.grad is not None:
        make, args = obj.__reduce_ex__(5)[:2]
        return make, args, obj.grad, None, None, rebuild.set_gradient
    return None


def _is_cut(tensor: Any, blobs: BlobWriter) -> bool:
    needed = tensor.nelement() * tensor.element_size()
    whole = tensor.untyped_storage()
    if tensor.is_meta or whole.nbytes() <= 4 * needed + _SLACK:
        return False
    return not blobs.has(_key(whole))


def _key(storage: Any) -> tuple[str, int]:
    # two Python objects may stand for one storage; the C++ object tells
    return "storage", storage._cdata  # noqa: SLF001
