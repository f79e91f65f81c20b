"""How classes are written by value; runs in kernel and workers.

On cloudpickle's reduction, with what it leaves out of notebook classes: ``__qualname__``,
``__slots__``, attributes of Enum members. The receiver's side is `rebuild.skeleton`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic.pickling import cloud, rebuild

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
        return (rebuild.enumeration, (reduced[1], _member_attributes(cls)), *_filling(reduced))
    if cloud.is_class(reduced):
        by_value(cls)
        metaclass, name, bases, namespace, tracker, _ = reduced[1]
        namespace = {**namespace, "__qualname__": cls.__qualname__}
        members = reduced[2][0]
        if cls.__dict__.get("__slots__") and not issubclass(cls, tuple):
            namespace["__slots__"] = members.pop("__slots__")
        args = (metaclass, name, bases, namespace, tracker)
        return (rebuild.skeleton, args, *_filling(reduced))
    return reduced


def _filling(reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    return reduced[2], None, None, rebuild.set_class


def _member_attributes(cls: Any) -> dict[str, dict[str, Any]]:
    """Return what a member's own ``__new__`` has set, which cloudpickle drops."""
    found = {
        member.name: {
            name: value
            for name, value in vars(member).items()
            if not name.startswith("_") and name != "_sort_order_"
        }
        for member in cls
    }
    return {name: values for name, values in found.items() if values}
