"""How classes are written by value; runs in kernel and workers.

On cloudpickle's reduction, with what it leaves out of notebook classes: ``__qualname__`` and
``__slots__``. The receiver's side is `skeletons.skeleton`; `enums` writes Enums.
"""

from __future__ import annotations

from types import FunctionType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, NamedTuple

from ddp_magic.pickling import cloud, enums, skeletons

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["reduce"]

_PLAIN = (FunctionType, staticmethod, classmethod, property, int, float, str, bytes, type(None))


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
        # setting these later would not do what they do in a class statement
        early = {"__slots__", "__class__"} & members.keys()
        namespace |= {member: members.pop(member) for member in early}
        if NamedTuple in bases:  # which has its own, and allows no other
            namespace.pop("__slots__", None)
        args = (metaclass, name, bases, namespace, tracker)
        state = (_Methods(cls, members), *filling)
        return skeletons.skeleton, args, state, None, None, skeletons.set_class
    return reduced


class _Methods:
    """Stands in a class's state for its methods: these are there before the rest is made.

    The rest may hold instances of the class, which its methods make or fill.
    """

    def __init__(self, cls: type, members: dict[str, Any]) -> None:
        self._cls = cls
        self._members = members

    def __reduce__(self) -> tuple[Any, ...]:
        plain = {n: v for n, v in self._members.items() if isinstance(v, _PLAIN)}
        names = [n for n in self._members if n in plain or not n.startswith(("__", "_abc_impl"))]
        return skeletons.add_methods, (self._cls, names, plain)


def _slots(cls: type) -> list[str]:
    slots = vars(cls).get("__slots__", ())
    return [slots] if isinstance(slots, str) else list(slots)


def _filling(cls: type, reduced: Any) -> tuple[dict[str, Any], Any]:
    """Return a class's attributes in the order in which it has them, and what cloudpickle adds.

    Cloudpickle sorts them. What `copyreg` remembers in each class is no attribute of the user's:
    the first pickle of an instance would change how its class is written from then on.
    """
    members, more = reduced[2]
    replaced = {n: vars(cls)[n] for n in _slots(cls) if n in vars(cls)}
    members = {**replaced, **members}
    own = {name: members[name] for name in vars(cls) if name in members}
    own.pop("__slotnames__", None)
    for name in [n for n, v in own.items() if type(v) is MemberDescriptorType]:
        del own[name]  # of a slot whose name is mangled; making the class has made it
    return own, more
