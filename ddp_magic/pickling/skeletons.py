"""What a pickle calls to make classes again; runs where it is read, in workers and kernel.

A class is made without its members, and filled when these are there: they may refer to it. The
names of these functions are part of the files' format.
"""

from __future__ import annotations

import contextlib
import types
from typing import TYPE_CHECKING, Any

from ddp_magic.pickling import cloud

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["add_methods", "fresh", "library_type", "muted", "set_class", "skeleton"]

_FRESH = "__ddp_fresh__"


def skeleton(
    metaclass: Any, name: str, bases: tuple[Any, ...], namespace: dict[str, Any], tracker: str
) -> type:
    """Return the class that this process has under the tracker, else one without its members.

    Runs neither the notebook's own metaclasses nor its ``__init_subclass__``: they ran when the
    class statement did, and what they registered is state that travels by itself.
    """
    known = cloud.known_class(tracker)
    if known is not None:
        return known
    library = library_type(metaclass)
    real = types.resolve_bases(bases)
    with muted(real):
        if metaclass is library:
            made = types.new_class(
                name, bases, {"metaclass": metaclass}, lambda ns: ns.update(namespace)
            )
        else:
            made = library.__new__(metaclass, name, real, dict(namespace))
    return fresh(made, tracker)


def fresh(made: type, tracker: str) -> type:
    """Remember a class that is to be filled, and return it."""
    type.__setattr__(made, _FRESH, True)
    return cloud.class_for(tracker, made)


def set_class(made: type, state: tuple[Any, ...]) -> bool:
    """Fill a class, if it was made here; a class that was known before stays as it is."""
    if _FRESH not in made.__dict__:
        return False
    type.__delattr__(made, _FRESH)
    *_, members, more = state
    for name in [n for n in members if n != "_abc_impl" and _sets_itself(type(made))]:
        type.__setattr__(made, name, members.pop(name))
    cloud.set_class(made, (members, more))
    return True


def add_methods(made: type, names: list[str], members: dict[str, Any]) -> None:
    """Give a class that was made here its methods, and all names the places that they have."""
    if _FRESH in made.__dict__:
        put: Any = type.__setattr__ if _sets_itself(type(made)) else setattr
        for name in names:
            put(made, name, members.get(name))


def _sets_itself(metaclass: type) -> bool:
    """Whether the notebook says what setting a class's attribute does: it has been set there."""
    return any(k.__module__ == "__main__" and "__setattr__" in vars(k) for k in metaclass.__mro__)


def library_type(metaclass: type) -> Any:
    """Return the nearest type of types that the notebook has not made."""
    return next(m for m in metaclass.__mro__ if m.__module__ != "__main__")


def _ignore(_cls: type, **_options: Any) -> None:
    return None


@contextlib.contextmanager
def muted(bases: tuple[type, ...]) -> Generator[None]:
    """Keep ``__init_subclass__`` of notebook classes from running, as it ran in the notebook."""
    hooks = {
        k: k.__dict__["__init_subclass__"]
        for base in bases
        for k in base.__mro__
        if k.__module__ == "__main__" and "__init_subclass__" in k.__dict__
    }
    for k in hooks:
        type.__setattr__(k, "__init_subclass__", classmethod(_ignore))
    try:
        yield
    finally:
        for k, hook in hooks.items():
            type.__setattr__(k, "__init_subclass__", hook)
