"""How classes are written by value; runs in kernel and workers.

On cloudpickle's reduction, with what it leaves out of notebook classes: ``__qualname__`` and
``__slots__``. The receiver's side is `rebuild.skeleton`; `enums` writes Enums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic.pickling import cloud, enums, rebuild

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["reduce"]


def reduce(cls: type, by_value: Callable[[Any], None]) -> Any:
    """Write a class by value, or None where cloudpickle refers to it."""
    reduced: Any = cloud.reduce_class(cls)
    if reduced is NotImplemented:
        return None
    if cloud.is_enum(reduced):
        by_value(cls)
        return enums.reduce(cls, (*reduced[:2], _filling(cls, reduced)))
    if cloud.is_class(reduced):
        by_value(cls)
        metaclass, name, bases, namespace, tracker, _ = reduced[1]
        namespace = {**namespace, "__qualname__": cls.__qualname__}
        filling = _filling(cls, reduced)
        members = filling[0]
        if cls.__dict__.get("__slots__") and not issubclass(cls, tuple):
            namespace["__slots__"] = members.pop("__slots__")
        args = (metaclass, name, bases, namespace, tracker)
        return rebuild.skeleton, args, filling, None, None, rebuild.set_class
    return reduced


def _filling(cls: type, reduced: Any) -> tuple[dict[str, Any], Any]:
    """Return a class's attributes in the order in which it has them, and what cloudpickle adds.

    Cloudpickle sorts them. What `copyreg` remembers in each class is no attribute of the user's:
    the first pickle of an instance would change how its class is written from then on.
    """
    members, more = reduced[2]
    own = {name: members[name] for name in vars(cls) if name in members}
    own.pop("__slotnames__", None)
    return own, more
