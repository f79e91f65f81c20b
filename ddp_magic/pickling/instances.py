"""How instances are written whose own class would get in the way; runs in kernel and workers.

Pickle makes an instance by calling its class's ``__new__`` and fills it by its methods while its
attributes are not there yet: ``__getattr__`` then recurses for ever, ``append`` runs a second time,
``__new__`` lacks its arguments. Here the builtin type below makes and fills it instead, unless the
class says itself how it is pickled. The receiver's side is `making`.
"""

from __future__ import annotations

import copyreg
import inspect
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from enum import Enum
from types import FunctionType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, TypeAlias

from ddp_magic.attributes import own_dict
from ddp_magic.pickling import making

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Plan", "blank", "data_of", "native", "plan"]

Plan: TypeAlias = "Callable[[Any], tuple[Any, ...] | None]"
"""Writes an instance; None where pickle's own way is right."""

_OPTIMIZER = ("torch.optim.optimizer", "Optimizer")
_YOLO = ("ultralytics.engine.model", "Model")
_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement
_OWN_WAY = ("__reduce_ex__", "__reduce__", "__getnewargs_ex__", "__getnewargs__")
_OWN_STATE = ("__getstate__", "__setstate__")
_ALONE = 2
"""References to a dict that is only its instance's: that one, and the one that counts them."""
_IN_THE_WAY = ("__new__", "__getattr__", "__getattribute__", "__setattr__")


def _items(obj: Any) -> dict[Any, Any]:
    return dict[Any, Any](dict[Any, Any].items(obj))


def _ordered_items(obj: Any) -> dict[Any, Any]:
    return dict[Any, Any](OrderedDict[Any, Any].items(obj))


_CONTENT: dict[type, Callable[[Any], Any]] = {
    list: list[Any].copy,
    dict: _items,
    OrderedDict: _ordered_items,
    defaultdict: _items,
    Counter: _items,
    set: lambda obj: [*set[Any].__iter__(obj)],
    deque: lambda obj: [*deque[Any].__iter__(obj)],
    bytearray: lambda obj: bytes(memoryview(obj)),
}
"""What fills an instance of these after it was made."""

_ARGUMENTS: dict[Any, Callable[[Any], tuple[Any, ...]]] = {
    deque: lambda obj: ((), obj.maxlen),
    defaultdict: lambda obj: (obj.default_factory,),
    frozenset: lambda obj: ([*frozenset[Any].__iter__(obj)],),
    complex: lambda obj: (complex.__complex__(obj),),
    tuple: lambda obj: (tuple[Any, ...](tuple[Any, ...].__iter__(obj)),),
    **{kind: kind.__getnewargs__ for kind in (int, float, str, bytes)},
}
"""What makes an instance of these."""


def plan(kind: type) -> Plan:
    """Return how instances of a type are written."""
    if issubclass(kind, BaseException):
        return _plan_exception(kind)
    if kind.__module__ == "torch.nn.utils.parametrize":
        return _as_it_is
    if any((k.__module__, k.__qualname__) == _OPTIMIZER for k in kind.__mro__):
        return _stepping
    if any((k.__module__, k.__qualname__) == _YOLO for k in kind.__mro__):
        return _untrained
    if "__deprecated__" in vars(kind) and native(kind) is object and not _written(kind, *_OWN_WAY):
        return lambda obj: _bare(object, kind, obj)  # its __new__ warns, in a line of ours
    own = any(_is_notebooks(k) for k in kind.__mro__)
    if own and issubclass(kind, Enum):
        return _member
    if not own or kind in copyreg.dispatch_table:
        return _as_pickle_does
    base = native(kind)
    if _written(kind, *_OWN_WAY) and not _is_named_tuple(kind):
        return _own_way(base, kind)
    if base is not object and base not in _CONTENT and base not in _ARGUMENTS:
        return _as_pickle_does
    if _written(kind, *_OWN_STATE):
        return _only_made(base, kind) if _written(kind, "__new__") else _as_pickle_does
    plain = not _written(kind, *_IN_THE_WAY) and not _has(kind, "__class__", "__slots__")
    if base is object and plain:
        return lambda obj: _bare(base, kind, obj) if _shares_its_dict(obj) else None
    return lambda obj: _bare(base, kind, obj)


def blank(obj: Any, attributes: dict[str, Any]) -> tuple[Any, ...]:
    """Write an instance whose ``__init__`` has yet to run where it arrives."""
    state = (object, None, attributes)
    return making.instance, (object, type(obj), ()), state, None, None, making.fill


def _bare(base: type, kind: type, obj: Any) -> tuple[Any, ...]:
    """Write an instance by its content and its attributes."""
    content = _CONTENT[base](obj) if base in _CONTENT else None
    attributes = _attributes(obj)
    fill = making.fill
    if _shares_its_dict(obj):
        fill = making.fill_sharing
        if attributes is None:  # that is said of an empty dict too
            attributes = own_dict(obj)
    state = (base, content, attributes)
    return making.instance, (base, kind, data_of(base, obj)), state, None, None, fill


def _attributes(obj: Any) -> Any:
    """Return what Python says of an object's attributes, slots that something covers left out."""
    attributes: Any = object.__getstate__(obj)
    if type(attributes) is not tuple:
        return attributes
    own, slots = attributes
    found = {name: inspect.getattr_static(type(obj), name, None) for name in slots}
    real = {n: v for n, v in slots.items() if isinstance(found[n], MemberDescriptorType)}
    return own, real


def _shares_its_dict(obj: Any) -> bool:
    """Whether something else holds the dict of its attributes: ``self.__dict__ = cls._shared``."""
    try:
        return sys.getrefcount(object.__getattribute__(obj, "__dict__")) > _ALONE
    except AttributeError:
        return False


def native(kind: type) -> type:
    """Return the type of the interpreter that a type's instances are made by."""
    return next(k for k in kind.__mro__ if k in _CONTENT or not k.__flags__ & _HEAP)


def data_of(base: type, obj: Any) -> tuple[Any, ...]:
    """Return what a builtin type makes an instance's immutable part of."""
    return _ARGUMENTS[base](obj) if base in _ARGUMENTS else ()


def _as_pickle_does(_: Any) -> None:
    return None


def _own_way(base: type, kind: type) -> Plan:
    """Write as the class says; but if it says a name, that need not be there yet."""

    def write(obj: Any) -> tuple[Any, ...]:
        reduced = obj.__reduce_ex__(5)
        return _bare(base, kind, obj) if isinstance(reduced, str) else reduced

    return write


def _only_made(base: type, kind: type) -> Plan:
    def write(obj: Any) -> tuple[Any, ...] | None:
        make, _, *rest = obj.__reduce_ex__(5)
        arguments = data_of(base, obj)
        known = make is copyreg.__newobj__  # type: ignore[attr-defined]
        return (making.instance, (base, kind, arguments), *rest) if known else None

    return write


def _stepping(obj: Any) -> tuple[Any, ...] | None:
    """Write an optimizer with the ``step`` that a scheduler has put on it.

    Its own state leaves that out, and the scheduler then warns, falsely, of a wrong order of calls.
    """
    step = vars(obj).get("step")
    if step is None:
        return None
    make, arguments, state = obj.__reduce_ex__(5)[:3]
    return make, arguments, (state, step), None, None, making.fill_optimizer


def _untrained(obj: Any) -> tuple[Any, ...]:
    """Write a YOLO without what trained it and what predicts for it: these are of one process.

    It makes others when they are needed.
    """
    make, arguments, state, *rest = obj.__reduce_ex__(5)
    return make, arguments, {**state, "trainer": None, "predictor": None}, *rest


def _plan_exception(kind: type) -> Plan:
    """Write an exception with its cause, and without calling its own ``__init__`` again."""
    anew = _written(kind, "__init__", "__new__") and not _written(kind, *_OWN_WAY)
    base = native(kind)

    def write(obj: BaseException) -> tuple[Any, ...] | None:
        if not anew and obj.__cause__ is None and not obj.__suppress_context__:
            return None
        make, arguments, *rest = obj.__reduce_ex__(5)
        if anew:
            make, arguments = making.exception, (base, kind, arguments)
        state = (rest[0] if rest else None, obj.__cause__, obj.__suppress_context__)
        return make, arguments, state, None, None, making.fill_exception

    return write


def _as_it_is(obj: Any) -> tuple[Any, ...]:
    """Write a parametrized module, whose class refuses: it fears for code that has changed."""
    state = (object, None, own_dict(obj))
    return making.instance, (object, type(obj), ()), state, None, None, making.fill


def _member(obj: Any) -> tuple[Any, ...] | None:
    """Write a member by its name, and a combination of flags as it says itself."""
    kind, name = type(obj), obj._name_
    return (making.member, (kind, name)) if kind.__members__.get(name) is obj else None


def _has(kind: type, *names: str) -> bool:
    """Whether a type says itself which ``__class__`` its instances give, or what slots they have.

    Something else may stand where a slot was, and pickle takes it for the instance's own.
    """
    return any(name in vars(k) for k in kind.__mro__[:-1] for name in names)


def _is_named_tuple(kind: type) -> bool:
    """Whether it is pickled as `collections.namedtuple` says, by what a tuple holds."""
    arguments = getattr(kind, "__getnewargs__", None)
    return hasattr(kind, "_fields") and getattr(arguments, "__module__", "") == "collections"


def _is_notebooks(kind: type) -> bool:
    return kind.__module__ == "__main__"


def _written(kind: type, *names: str) -> bool:
    """Whether Python code defines any of these methods for a type.

    Those that dataclasses with slots get do what is done here, less what the class hides.
    """
    mro = [k for k in kind.__mro__ if k not in _CONTENT]
    found = (next((vars(k)[n] for k in mro if n in vars(k)), None) for n in names)
    functions = (getattr(f, "__func__", f) for f in found)
    return any(isinstance(f, FunctionType) and f.__module__ != "dataclasses" for f in functions)
