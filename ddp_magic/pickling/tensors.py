"""How torch tensors are written: by the memory that they look at; both sides.

What shares memory goes on sharing it, whoever owns it: a view and its base, tied weights, a tensor
made from an array. Imports torch only where a pickle holds a tensor.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ddp_magic.pickling import rebuild
from ddp_magic.pickling.extents import packed_strides, view
from ddp_magic.pickling.parts import Ref
from ddp_magic.pickling.refusals import CannotTravel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.pickling.loans import BlobReader, Loan
    from ddp_magic.pickling.parts import Parts

__all__ = ["STORAGES", "device_of", "home", "make", "reduce", "storage", "storage_ref"]

STORAGES = frozenset({"UntypedStorage", "TypedStorage"})


def reduce(obj: Any, parts: Parts) -> tuple[Any, ...] | None:
    """Write a tensor; None where it is none."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(obj, torch.Tensor):
        return None
    if not obj.is_leaf:
        raise CannotTravel(
            f"a tensor in the middle of an autograd graph ({type(obj.grad_fn).__name__})",
            "Keep its .detach() instead",
            obj,
        )
    strided = obj.layout is torch.strided and not obj.is_nested
    if obj.requires_grad and not strided and type(obj) is torch.Tensor:
        return rebuild.requiring_gradient, (obj.detach(),), *_gradient(obj)
    function, args, *rest = obj.__reduce_ex__(5)
    utils = torch._utils  # noqa: SLF001 - these names are in every checkpoint
    plain = (utils._rebuild_tensor_v2, utils._rebuild_tensor_v3)  # noqa: SLF001
    if function in plain:
        function, args = make, _spec(obj, torch, parts)
    elif args and any(
        args[0] is each for each in plain
    ):  # a subclass, or one with attributes: type and state follow
        function, args = typed, (args[1], _spec(obj, torch, parts), args[3])
    elif isinstance(obj, torch.nn.Parameter) and args and isinstance(args[0], torch.Tensor):
        parts.stands_for(args[0], obj)
        if function.__module__ == "torch._utils":  # which forgets subclasses
            function, args = rebuild.parameter, (type(obj), function, args)
    return (function, args, *rest) if rest else (function, args, *_gradient(obj))


def _gradient(obj: Any) -> tuple[Any, ...]:
    return () if obj.grad is None else (obj.grad, None, None, rebuild.set_gradient)


def _spec(obj: Any, torch: Any, parts: Parts) -> tuple[Any, ...]:
    """Return what `make` takes."""
    size, stride = tuple(obj.size()), tuple(obj.stride())
    bits = torch._utils.get_tensor_metadata(obj)  # noqa: SLF001 - conj() and its like are lazy
    ref = Ref(device=device_of(obj))
    if obj.numel():
        untyped = obj.untyped_storage()
        itemsize = obj.element_size()
        offset = obj.storage_offset() * itemsize
        begin, space = _place(untyped)
        steps = [step * itemsize for step in stride]
        seen = view(begin + offset, itemsize, size, steps, space)
        ref = parts.refer(seen, obj, untyped if space else None)
    return ref, obj.dtype, (size, stride), obj.requires_grad, bits or None


def _place(untyped: Any) -> tuple[int, str]:
    """Return where a storage begins, and in which space of addresses that is."""
    device = device_of(untyped)
    if device == "cpu":
        return untyped.data_ptr(), ""
    # two Python objects may stand for one storage; the C++ object tells
    return 0, f"{device}/{untyped._cdata}"  # noqa: SLF001


def device_of(obj: Any) -> str:
    """Return the name of a tensor's or a storage's device, as ``cuda:0``."""
    return str(obj.device)


def home(device: str, *, devices: bool) -> str:
    """Return where memory of a device goes in this process.

    Args:
        device: Its name in the process that sends it.
        devices: Whether it goes to a GPU again; then to the current one, which is the rank's own.
    """
    cuda: Any = sys.modules["torch"].cuda
    if devices and device.startswith("cuda") and cuda.is_available():
        return f"cuda:{cuda.current_device()}"
    return "cpu"


def make(
    ref: Loan | str,
    dtype: Any,
    layout: tuple[Sequence[int], Sequence[int]],
    requires_grad: bool,  # noqa: FBT001 - as it stands in the pickle
    bits: dict[str, bool] | None,
) -> Any:
    """Make the tensor that `reduce` wrote."""
    import torch

    size, stride = layout
    if isinstance(ref, str):
        made = torch.empty_strided(size, stride, dtype=dtype, device=ref)
        return made.requires_grad_(requires_grad)
    itemsize = torch.empty(0, dtype=dtype).element_size()
    if ref.packed:
        stride = [n // itemsize for n in packed_strides(size, stride, itemsize)]
    untyped, offset = _storage(ref), ref.offset
    if offset % itemsize:  # a storage counts in elements; such memory came from an array
        untyped, offset = _part(ref, ref.blobs.size(ref.extent) - offset), 0
    tensor: Any = torch.empty(0, dtype=dtype, device=untyped.device)
    tensor.set_(untyped, offset // itemsize, size, stride)
    if bits:
        utils: Any = sys.modules["torch._utils"]
        utils.set_tensor_metadata(tensor, bits)
    return tensor.requires_grad_(requires_grad)


def typed(kind: type, spec: tuple[Any, ...], state: Any) -> Any:
    """Make a tensor of a subclass, or one with attributes.

    It has no gradient while its type is set, which would leave it in the middle of a graph.
    """
    rebuilt: Any = sys.modules["torch._tensor"]
    *rest, requires_grad, bits = spec
    made = rebuilt._rebuild_from_type_v2(make, kind, (*rest, False, bits), state)  # noqa: SLF001
    return made.requires_grad_(requires_grad)


def storage_ref(obj: Any, parts: Parts) -> tuple[Any, ...] | None:
    """Note a whole storage and return what the receiver finds it by; None if it is none."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(obj, (torch.UntypedStorage, torch.TypedStorage)):
        return None
    typed = isinstance(obj, torch.TypedStorage)
    whole = obj._untyped_storage if typed else obj  # noqa: SLF001 - .untyped() warns
    if whole.device.type == "meta":
        raise CannotTravel("a tensor on the meta device", "Materialize it first", obj)
    nbytes = whole.nbytes()
    number = None
    if nbytes:
        begin, space = _place(whole)
        number = parts.refer(
            view(begin, 1, [nbytes], [1], space), obj, whole if space else None
        ).number
    return ("storage", number, nbytes, str(obj.dtype) if typed else None)


def storage(loan: Loan | None, nbytes: int, dtype: str | None) -> Any:
    """Make a storage of what `storage_ref` returned."""
    import torch

    if loan is None:
        untyped: Any = torch.UntypedStorage(0)
    elif loan.offset or loan.blobs.size(loan.extent) != nbytes:
        untyped = _part(loan, nbytes)
    else:
        untyped = _storage(loan)
    if dtype is None:
        return untyped
    kind = getattr(torch, dtype.removeprefix("torch."))
    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=kind, _internal=True)


def _storage(loan: Loan) -> Any:
    """Return an extent as a storage, the same for all that lies in it."""
    import torch

    blobs, extent = loan.blobs, loan.extent
    if extent not in blobs.storages:
        where = home(blobs.device(extent), devices=loan.devices)
        made = _on_cpu(blobs, extent, torch)
        blobs.storages[extent] = made if where == "cpu" else _moved(made, where, torch)
    return blobs.storages[extent]


def _on_cpu(blobs: BlobReader, extent: int, torch: Any) -> Any:
    if extent in blobs.arrays:
        return torch.from_numpy(blobs.arrays[extent]).untyped_storage()
    if blobs.mapped(extent):
        return torch.frombuffer(blobs.memory(extent), dtype=torch.uint8).untyped_storage()
    made = torch.empty(blobs.size(extent), dtype=torch.uint8)
    data = bytearray(blobs.data(extent))
    made.copy_(torch.frombuffer(data, dtype=torch.uint8))
    return made.untyped_storage()


def _moved(untyped: Any, where: str, torch: Any) -> Any:
    there = torch.empty(untyped.nbytes(), dtype=torch.uint8, device=where)
    there.copy_(torch.empty(0, dtype=torch.uint8).set_(untyped))
    return there.untyped_storage()


def _part(loan: Loan, nbytes: int) -> Any:
    """Return a part of an extent as a storage of its own that shares its memory."""
    import torch

    whole: Any = torch.empty(0, dtype=torch.uint8).set_(_storage(loan))
    part = whole[loan.offset : loan.offset + nbytes].numpy()
    return torch.from_numpy(part).untyped_storage()
