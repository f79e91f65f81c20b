"""What the body changed of the notebook's own values; runs in rank 0's worker.

Compares cheaply: lengths, identities, torch's version counters and a few numbers of each weight
from before and after. Copies nothing large, keeps nothing alive that was inside, and runs none of
the user's own code.
"""

from __future__ import annotations

import contextlib
import sys
import zlib
from collections import deque
from itertools import islice
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from ddp_magic.attributes import own_dict
from ddp_magic.worker.frameworks.trainers import is_known

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

__all__ = ["Changes"]

_LEVELS = 3
_WIDE = 500
"""How many items of one container are compared."""
_LOOKED_AT = 2_000
"""How many objects are compared in all for one name."""
_BYTES = 1 << 16
_NUMBERS = 32
"""How many numbers of a weight are compared."""
_COPIED = 16 << 20
_SCALARS = (int, float, complex, bool, str, bytes, type(None))


class _Known(NamedTuple):
    value: Any
    prints: Any
    """What must be equal afterwards: nested tuples of numbers and short texts."""


class Changes:
    """Remembers what names hold before the body, and tells afterwards what is different.

    Args:
        namespace: The rank's globals before the body.
        names: Those that came from the notebook by value.
    """

    def __init__(self, namespace: Mapping[str, Any], names: Iterable[str]) -> None:
        self._known: dict[str, _Known] = {}
        for name in names:
            value = namespace.get(name)
            if name in namespace and not name.startswith("_") and not is_known(value):
                self._known[name] = _Known(value, _prints(value))

    def left_behind(
        self, namespace: Mapping[str, Any], *, stores: Collection[str], brought: Iterable[object]
    ) -> dict[str, str]:
        """Return the names whose value was changed and does not come back, each with a verb.

        Args:
            namespace: The rank's globals after the body.
            stores: Names that the body binds itself: it may have put something else there.
            brought: What comes back.
        """
        came = {id(part) for obj in brought for part in _whole(obj)}
        found: dict[str, str] = {}
        for name, known in self._known.items():
            now = namespace.get(name, known.value)
            if id(known.value) in came or id(now) in came:
                continue
            if _prints(known.value) != known.prints:
                found[name] = "trained" if _module(known.value) else "changed"
                came.add(id(known.value))
            elif name not in stores and _is_other(known.value, now):
                found[name] = "changed"
        return found


def _is_other(before: Any, now: Any) -> bool:
    """Whether a function bound the name anew (``global best``), to something else."""
    if before is now or type(now) is ModuleType:
        return False
    return type(before) is not type(now) or type(now) not in _SCALARS or now != before


def _whole(obj: object) -> Iterator[object]:
    """Yield an object and what certainly comes back with it."""
    yield obj
    for part in [obj] if _module(obj) else [*_parts(obj)]:
        yield part
        torch_module = _module(part)
        yield from torch_module.modules(part) if torch_module else ()


def _module(obj: object) -> Any:
    """Return `torch.nn.Module` if the object is one."""
    nn: Any = sys.modules.get("torch.nn")
    return nn.Module if nn is not None and issubclass(type(obj), nn.Module) else None


def _own(obj: object) -> dict[str, Any]:
    """Return the attributes of an object of the notebook's own classes, and of plain holders."""
    kind = type(obj)
    plain = kind is SimpleNamespace or (kind.__module__, kind.__name__) == ("argparse", "Namespace")
    if issubclass(kind, type) or not (plain or kind.__module__ == "__main__"):
        return {}
    try:
        own: Any = own_dict(obj)
    except AttributeError:
        return {}
    return own if type(own) is dict else {}


def _prints(value: Any) -> Any:
    return _Printer().of(value, _LEVELS)


class _Printer:
    """Takes the prints of one name's value."""

    def __init__(self) -> None:
        self._left = _LOOKED_AT
        self._above: set[int] = set()

    def of(self, obj: Any, levels: int) -> Any:
        """Return what changes when the object does, as far as that can be told cheaply."""
        self._left -= 1
        kind = type(obj)
        if kind in _SCALARS:
            return (kind, repr(obj) if kind is float else obj)
        data = _data(obj)
        if data is not None:
            return (id(obj), data)
        if levels == 0 or self._left < 0 or id(obj) in self._above:
            return (id(obj), _length(obj))
        self._above.add(id(obj))
        inside = tuple(self.of(part, levels - 1) for part in _parts(obj))
        self._above.discard(id(obj))
        return (id(obj), _length(obj), inside)


def _container(obj: Any) -> Any:
    """Return the container type that the object is of; its methods run no override."""
    kind = type(obj)
    return next((k for k in (list, tuple, dict, set, deque) if issubclass(kind, k)), None)


def _length(obj: Any) -> int:
    kind = _container(obj)
    return 0 if kind is None else kind.__len__(obj)


def _parts(obj: Any) -> Iterator[Any]:
    """Yield what an object holds: items, and attributes that are not private."""
    kind = _container(obj)
    if kind is dict:
        for key, value in islice(dict.items(obj), _WIDE):
            yield key
            yield value
    elif kind is not None:
        yield from islice(kind.__iter__(obj), _WIDE)
    for name, value in list(_own(obj).items()):
        if not name.startswith("_"):
            yield name
            yield value


def _data(obj: Any) -> Any:
    """Return versions or checksums of what has no parts to look at, None for anything else."""
    kind = type(obj)
    torch: Any = sys.modules.get("torch")
    if torch_module := _module(obj):
        return _Weights(torch_module, obj)
    if torch is not None and issubclass(kind, torch.Tensor):
        return _version(obj)
    if issubclass(kind, bytearray):
        return (len(obj), zlib.crc32(obj[:_BYTES]), zlib.crc32(obj[-_BYTES:]))
    if (kind.__module__, kind.__name__) == ("numpy", "ndarray") and not obj.dtype.hasobject:
        count = _BYTES // max(1, obj.itemsize)
        ends = obj.flat[:count].tobytes() + obj.flat[-count:].tobytes()
        return (obj.shape, zlib.crc32(ends))
    return None


def _version(tensor: Any) -> int:
    """Return how often a tensor was changed in place."""
    try:
        return tensor._version  # noqa: SLF001 - autograd's errors tell of it, and nothing else does
    except RuntimeError:  # of a tensor of inference mode
        return 0


class _Weights:
    """A few numbers of each parameter of a model.

    Not their version counters: DistributedDataParallel raises these when it is made, and the fused
    optimizers do not raise them. A model in another precision has other numbers, and is the same.
    """

    def __init__(self, torch_module: Any, model: Any) -> None:
        self._types: list[Any] = []
        self._numbers: list[Any] = []
        with contextlib.suppress(Exception):  # sharded, on no device, or never initialized
            for weight in islice(torch_module.parameters(model), _WIDE):
                self._types.append(weight.dtype)
                if not weight.is_contiguous() and len(weight.untyped_storage()) > _COPIED:
                    continue
                flat = weight.detach().reshape(-1)
                self._numbers.append(flat[:: max(1, len(flat) // _NUMBERS)][:_NUMBERS].tolist())

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Weights) or self._types != other._types:
            return True
        return self._numbers == other._numbers
