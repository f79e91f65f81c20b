"""What a pickle calls to make instances without their class's own methods; see `instances`.

Runs where the pickle is read, in workers and kernel. The names are part of the files' format.
"""

from __future__ import annotations

import contextlib
import weakref
from collections import defaultdict, deque
from typing import Any

from ddp_magic.attributes import own_dict

__all__ = [
    "HELD",
    "dead",
    "exception",
    "fill",
    "fill_exception",
    "fill_optimizer",
    "fill_sharing",
    "fill_weakly",
    "instance",
    "member",
    "method",
    "reference",
]

HELD: list[Any] = []
"""What weak references refer to: in the notebook something that was not sent may hold it."""

_INITIALIZED = (deque, defaultdict)


def instance(base: Any, kind: type, arguments: tuple[Any, ...]) -> Any:
    """Make an instance of a class by the builtin type that it is made of."""
    if base in _INITIALIZED:
        made = base.__new__(kind)
        base.__init__(made, *arguments)
        return made
    return base.__new__(kind, *arguments)


def fill(made: Any, state: tuple[Any, Any, Any]) -> None:
    """Give an instance its content and its attributes."""
    base, content, attributes = state
    if isinstance(content, dict):
        for key, value in content.items():
            base.__setitem__(made, key, value)
    elif content is not None:
        (base.update if base is set else base.extend)(made, content)
    slots: dict[str, Any] = {}
    if isinstance(attributes, tuple):
        attributes, slots = attributes
    if attributes is made:  # class Config(dict), whose attributes are its items
        object.__setattr__(made, "__dict__", made)
    elif attributes:
        own_dict(made).update(attributes)
    for name, value in slots.items():
        with contextlib.suppress(AttributeError):  # the class has put something over the slot
            object.__setattr__(made, name, value)


def fill_sharing(made: Any, state: tuple[Any, Any, Any]) -> None:
    """Likewise, where something else holds the dict of its attributes."""
    base, content, attributes = state
    own = attributes[0] if isinstance(attributes, tuple) else attributes
    if isinstance(own, dict):
        object.__setattr__(made, "__dict__", own)
    fill(made, (base, content, attributes))


def exception(base: Any, kind: type, arguments: tuple[Any, ...]) -> BaseException:
    """Make an exception by the builtin one that it is made of."""
    made = base.__new__(kind, *arguments)
    base.__init__(made, *arguments)
    return made


def fill_exception(made: BaseException, state: tuple[Any, Any, bool]) -> None:
    """Give an exception its attributes and its cause."""
    attributes, made.__cause__, made.__suppress_context__ = state
    if attributes:
        made.__setstate__(attributes)


def fill_optimizer(made: Any, state: tuple[Any, Any]) -> None:
    """Give an optimizer its state and the method that a scheduler watches."""
    own, step = state
    made.__setstate__(own)
    made.__dict__["step"] = step


def member(kind: Any, name: str) -> Any:
    """Return a member of an Enum."""
    return kind.__members__[name]


def reference(referent: Any, callback: Any) -> Any:
    """Make a weak reference to something that lives on."""
    HELD.append(referent)
    return weakref.ref(referent, callback)


def dead() -> Any:
    """Make a weak reference to something that is gone."""
    return weakref.ref(type("Gone", (), {})())


def method(bound: Any) -> Any:
    """Make a weak reference to a method of something that lives on."""
    HELD.append(bound.__self__)
    return weakref.WeakMethod(bound)


def fill_weakly(made: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """Fill a weak dict or set with things that live on, and give it its attributes."""
    content, attributes = state
    made.__dict__.update(attributes)
    HELD.append(content)
    if isinstance(made, weakref.WeakSet):
        for item in content:
            made.add(item)
    else:
        made.update(content)
