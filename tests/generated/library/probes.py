"""What bodies of generated notebooks print with: the same text for the same meaning.

Imported by the notebook and by the worker. An object that is met again is only numbered, so that
one line tells structure, identity and aliasing at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import inspect
import io
import itertools
import logging
import pickle
import re
import types
from collections import OrderedDict, deque
from enum import Enum, EnumType
from typing import Protocol

__all__ = ["attempt", "same", "show"]

_PLAIN = (int, float, complex, str, bytes, bool, type(None), type(...), range, slice)
_AUTOMATIC = {
    "__module__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__",
    "_abc_impl", "__qualname__", "__annotate_func__", "__annotations_cache__", "__slotnames__",
}  # fmt: skip


def attempt(function):
    """Show what a call gives, or the error that it raises."""
    try:
        value = function()
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        if isinstance(value, types.GeneratorType):
            value = list(itertools.islice(value, 8))
        show(value)
    except (RecursionError, pickle.PicklingError) as error:
        print(f"! {type(error).__name__}")
    except Exception as error:
        print(f"! {type(error).__name__}: {_clean(str(error))}")


def show(*values):
    """Print values, numbering what has an identity."""
    picture = _Picture()
    print(" ".join(picture.draw(value) for value in values))


def same(one, other):
    """Whether it is one object, as far as that means anything."""
    plain = (*_PLAIN, tuple, frozenset)
    return type(one) in plain or type(other) in plain or one is other


def _clean(text):
    return re.sub(r" at 0x[0-9a-fA-F]+|0x[0-9a-fA-F]{8,}", " at 0x", text)


class _Picture:
    def __init__(self):
        self.seen = {}

    def draw(self, value):
        kind = type(value)
        if kind in _PLAIN:
            return repr(value)
        if kind is dataclasses.Field or (
            hasattr(kind, "__next__") and kind.__module__ == "builtins"
        ):
            return f"a {kind.__name__.replace('reverse', '')}"
        if kind is tuple:
            return f"({', '.join(map(self.draw, value))})"
        if id(value) in self.seen:
            return f"#{self.seen[id(value)][0]}"
        number = len(self.seen)
        self.seen[id(value)] = number, value
        return f"{_name(kind)}#{number}{self.inside(value, kind)}"

    def inside(self, value, kind):
        if isinstance(value, type):
            return f" {_name(value)}{self.of_class(value)}"
        if isinstance(value, types.FunctionType):
            return f" {_name(value)}{self.of_function(value)}"
        if isinstance(value, types.ModuleType):
            return f" {value.__name__}"
        if isinstance(value, types.MethodType):
            return f"({self.draw(value.__self__)} . {self.draw(value.__func__)})"
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            return f" {value.__name__} of {self.draw(owner)}"
        if isinstance(value, property):
            return self.items([value.fget, value.fset, value.fdel, value.__doc__])
        if isinstance(value, (staticmethod, classmethod)):
            return self.items([value.__func__])
        if isinstance(value, functools.partial):
            return self.items([value.func, value.args, value.keywords])
        if isinstance(value, Enum):
            return f" {value.name}={self.draw(value.value)}"
        if isinstance(value, io.StringIO):
            return f"({value.getvalue()!r} at {value.tell()})"
        if isinstance(value, BaseException):
            rest = self.draw(vars(value)) + self.draw(value.__cause__)
            return self.items(value.args) + rest
        if isinstance(value, logging.Logger):
            return self.items([value.name, value.level, value.propagate, value.handlers])
        if kind.__name__ == "MaskedArray":
            return _clean(repr(value))
        if kind.__module__ == "numpy" and hasattr(value, "dtype"):
            return self.of_array(value)
        return self.of_instance(value, kind)

    def items(self, values):
        return f"[{', '.join(map(self.draw, values))}]"

    def pairs(self, pairs):
        told = [f"{self.draw(k)}: {self.draw(v)}" for k, v in pairs if k != "__builtins__"]
        return "{" + ", ".join(told) + "}"

    def of_instance(self, value, kind):
        text = ""
        if issubclass(kind, dict):
            ordered = isinstance(value, OrderedDict)
            text += self.pairs((OrderedDict if ordered else dict).items(value))
            text += self.draw(getattr(value, "default_factory", None))
        elif issubclass(kind, list):
            text += self.items(list.__iter__(value))
        elif issubclass(kind, tuple):
            text += self.items(tuple.__iter__(value))
        elif issubclass(kind, deque):
            text += self.items(value) + repr(value.maxlen)
        elif issubclass(kind, (set, frozenset)):
            text += f"<{', '.join(sorted(_Picture().draw(item) for item in value))}>"
        elif issubclass(kind, (int, str, float, bytes)):
            base = next(k for k in kind.__mro__ if k.__module__ == "builtins")
            text += base.__repr__(value)
        elif isinstance(value, (types.MappingProxyType, type({}.keys()), type({}.values()))):
            text += self.items(value)
        elif kind.__module__ != "__main__" and not hasattr(value, "__dict__"):
            return f"({_clean(repr(value))})"
        slots = [n for k in kind.__mro__ for n in _slots(k) if n not in {"__dict__", "__weakref__"}]
        held = [(n, getattr(value, n)) for n in slots if hasattr(value, n)]
        with contextlib.suppress(AttributeError):
            held += object.__getattribute__(value, "__dict__").items()
        return text + self.pairs(held) + self.draw(kind)

    def of_class(self, cls):
        if cls.__module__ != "__main__":
            return ""
        members = {n: v for n, v in vars(cls).items() if n not in _AUTOMATIC}
        members = {n: v for n, v in members.items() if v is not None and _tellable(v)}
        if isinstance(cls, (EnumType, type(Protocol))):  # these sort their members themselves
            members = {n: members[n] for n in sorted(members) if not n.startswith("_")}
        if members.get("__annotations__") == {}:
            del members["__annotations__"]
        shown = {n: v for n, v in members.items() if not n.startswith("__")}
        if type(cls).__module__ not in {"builtins", "__main__"}:
            shown = {n: shown[n] for n in sorted(shown)}  # a library's metaclass may add its own
        hidden = sorted((n, v) for n, v in members.items() if n.startswith("__"))
        bases = ", ".join(map(self.draw, cls.__bases__))
        return f"({bases}){self.pairs(shown.items())}{self.pairs(hidden)}"

    def of_function(self, func):
        if func.__module__ != "__main__":
            return ""
        parts = {
            "doc": func.__doc__,
            "defaults": func.__defaults__,
            "named": func.__kwdefaults__,
            "hints": func.__annotations__,
            "dict": {n: v for n, v in func.__dict__.items() if n != "_clear_cache"},
            "closure": dict(_closed(func)),
            "line": func.__code__.co_firstlineno,
        }
        return self.pairs((n, v) for n, v in parts.items() if v)

    def of_array(self, array):
        flags = "C" * array.flags.c_contiguous + "F" * array.flags.f_contiguous
        flags += "W" * array.flags.writeable
        return f"({array.dtype} {array.shape} {flags} {self.draw(array.tolist())})"


def _name(thing):
    return (
        type.__getattribute__(thing, "__qualname__") if isinstance(thing, type) else _named(thing)
    )


def _named(thing):
    return thing.__qualname__


def _slots(cls):
    slots = vars(cls).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    private = [n for n in names if n.startswith("__") and not n.endswith("__")]
    return [f"_{cls.__name__.lstrip('_')}{n}" if n in private else n for n in names]


def _tellable(value):
    return not isinstance(value, (types.GetSetDescriptorType, types.WrapperDescriptorType))


def _closed(func):
    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            yield name, "<empty>"
