"""How Enums are written by value and made again; runs in kernel and workers.

The members are made bare, with the value and the attributes that they have: their own ``__new__``
and ``__init__`` ran when the class statement did.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag
from typing import Any

from ddp_magic.pickling import cloud, skeletons
from ddp_magic.pickling.instances import data_of, native

__all__ = ["enumeration", "fill", "reduce"]

_MADE_AGAIN = ("__init__", "__new_member__")


@dataclass(frozen=True)
class Bare:
    """A member to be made: what its builtin type is made of, and its value."""

    base: Any
    data: tuple[Any, ...]
    value: Any


def reduce(kind: Any, reduced: Any) -> tuple[Any, ...]:
    """Write an Enum whole.

    Args:
        kind: The Enum.
        reduced: How cloudpickle writes it.
    """
    bases, name, qualname, _, module, tracker, _ = reduced[1]
    base, members = native(kind), kind.__members__
    bare = {n: Bare(base, data_of(base, m), m._value_) for n, m in members.items()}
    options = {"boundary": vars(kind)["_boundary_"]} if issubclass(kind, Flag) else {}
    namespace, slots = reduced[2]
    namespace = {n: value for n, value in namespace.items() if n not in members}
    hidden = ("_name_", "_value_", "_sort_order_", "__objclass__")
    own = {
        n: {key: value for key, value in vars(m).items() if key not in hidden}
        for n, m in members.items()
        if m._name_ == n
    }
    args = (bases, (name, module, qualname), bare, options, tracker)
    return enumeration, args, ((namespace, slots), own), None, None, fill


def enumeration(
    bases: tuple[Any, ...],
    named: tuple[str, str, str],
    bare: dict[str, Bare],
    options: dict[str, Any],
    tracker: str,
) -> type:
    """Return the Enum that this process has under the tracker, else one with bare members.

    Args:
        bases: Its bases; the last one is an Enum.
        named: Its ``__name__``, ``__module__`` and ``__qualname__``.
        bare: The members, aliases too.
        options: Keywords of the class statement.
        tracker: Cloudpickle's name of it.
    """
    known = cloud.known_class(tracker)
    if known is not None:
        return known
    name, *place = named
    metaclass: Any = type(bases[-1])
    library = skeletons.library_type(metaclass)
    namespace = library.__prepare__.__func__(metaclass, name, bases)
    namespace.update(bare)
    namespace["__new__"], namespace["__init__"] = _new, _init
    namespace["__module__"], namespace["__qualname__"] = place
    with skeletons.muted(bases):
        made: type = library.__new__(metaclass, name, bases, namespace, **options)
    for passing in _MADE_AGAIN:
        if passing in vars(made):
            type.__delattr__(made, passing)
    return skeletons.fresh(made, tracker)


def fill(made: Any, state: tuple[Any, dict[str, dict[str, Any]]]) -> None:
    """Fill an Enum and its members, if it was made here."""
    if skeletons.set_class(made, state[0]):
        for name, attributes in state[1].items():
            vars(made.__members__[name]).update(attributes)


def _new(cls: Any, bare: Bare) -> Any:
    made = bare.base.__new__(cls, *bare.data)
    made._value_ = bare.value
    return made


def _init(_self: Any, _bare: Bare) -> None:
    return None
