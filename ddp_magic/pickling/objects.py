"""How objects of the standard library are written that cloudpickle cannot write; both sides.

Idle locks arrive fresh, as after a fork; caches arrive empty.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import dataclasses
import functools
import gc
import io
import logging
import struct
import sys
import threading
import types
import typing
from typing import Any

from ddp_magic.pickling import cloud, making, rebuild, weak

__all__ = ["importable", "made_by_hand", "reduce"]


def reduce(obj: Any, kind: type) -> tuple[Any, ...] | str | None:
    """Write an object of the standard library, or None where it is none of these."""
    if isinstance(obj, io.IOBase):
        return _stream(obj)
    if isinstance(obj, logging.FileHandler):
        return _file_handler(obj)
    if kind in _REDUCERS:
        return _REDUCERS[kind](obj)
    if kind is types.FunctionType and hasattr(obj, "_clear_cache") and hasattr(obj, "registry"):
        cases = [(k, f) for k, f in obj.registry.items() if k is not object]
        own = {n: v for n, v in vars(obj).items() if n not in _OF_DISPATCHING}
        args = (obj.registry[object], cases)
        return rebuild.dispatching, args, own, None, None, rebuild.set_attributes
    if kind is types.FunctionType and "_torchdynamo_orig_callable" in obj.__dict__:
        return _compiled(obj)
    return (
        _BY_NAME[name](obj) if (name := f"{kind.__module__}.{kind.__name__}") in _BY_NAME else None
    )


_OF_DISPATCHING = vars(functools.singledispatch(id)).keys()


def importable(obj: Any) -> bool:
    """Whether a fresh process gets this very object by importing it."""
    module, path = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(path, str) or module == "__main__":
        return False
    found: Any = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, name, None)
    return found is obj


def made_by_hand(module: types.ModuleType) -> bool:
    """Whether a module is no file's: made with `types.ModuleType`."""
    name = module.__name__
    plain = getattr(module, "__spec__", None) is None and not getattr(module, "__file__", None)
    return plain and name not in sys.builtin_module_names and name != "__main__"


def _stream(obj: io.IOBase) -> tuple[Any, ...] | None:
    names = ("stdin", "stdout", "stderr")
    found = [n for n in names if obj in (getattr(sys, n), getattr(sys, f"__{n}__"))]
    return (rebuild.stream, (found[0],)) if found else None


def _cached(obj: Any) -> tuple[Any, ...] | None:
    if importable(obj):
        return None
    args = (obj.__wrapped__, obj.cache_parameters())
    return rebuild.cached, args, dict(obj.__dict__), None, None, rebuild.set_attributes


def _cached_property(obj: Any) -> tuple[Any, ...]:
    return rebuild.cached_property, (obj.func, obj.attrname)


def _context_variable(obj: Any) -> tuple[Any, ...]:
    default: tuple[Any, ...] = ()
    with contextlib.suppress(LookupError):
        default = (contextvars.Context().run(obj.get),)
    current = contextvars.copy_context()
    value = (current[obj],) if obj in current else ()
    return rebuild.context_variable, (obj.name, default, value)


def _module(obj: types.ModuleType) -> tuple[Any, ...] | None:
    if not made_by_hand(obj):
        return None
    hidden = ("__builtins__", "__loader__", "__spec__")
    state = {name: value for name, value in vars(obj).items() if name not in hidden}
    registered = sys.modules.get(obj.__name__) is obj
    return functools.partial(rebuild.module, registered=registered), (obj.__name__,), state


def _logger(obj: logging.Logger) -> tuple[Any, ...] | None:
    if not obj.handlers and obj.level == logging.NOTSET and obj.propagate:
        return None
    args = (obj.name, obj.level, list(obj.handlers))
    return functools.partial(rebuild.logger, propagate=obj.propagate), args


def _file_handler(obj: logging.FileHandler) -> tuple[Any, ...]:
    """Write a handler that opens its file again when it first writes, and truncates nothing."""
    obj.flush()
    state = (object, None, {**vars(obj), "stream": None, "mode": "a"})
    return making.instance, (object, type(obj), ()), state, None, None, making.fill


def _method_object(obj: Any) -> tuple[Any, ...] | None:
    func = obj.__func__
    own = {n: v for n, v in vars(obj).items() if n not in vars(type(obj)(func))}
    return (type(obj), (func,), own, None, None, rebuild.set_attributes) if own else None


def _new_type(obj: Any) -> tuple[Any, ...] | None:
    if importable(obj):
        return None
    own = {n: v for n, v in vars(obj).items() if n != "__supertype__"}
    return typing.NewType, (obj.__name__, obj.__supertype__), own


def _lock(_: Any) -> tuple[Any, ...]:
    return threading.Lock, ()


def _rlock(_: Any) -> tuple[Any, ...]:
    return threading.RLock, ()


def _type_parameter(obj: Any) -> tuple[Any, ...] | None:
    if importable(obj):
        return None
    return rebuild.type_parameter, (type(obj), obj.__name__, _options(obj))


def _type_variable(obj: Any) -> tuple[Any, ...]:
    make, arguments = cloud.reduce_type_variable(obj)
    return make, arguments, obj.__module__, None, None, rebuild.set_module


def _options(obj: Any) -> dict[str, Any]:
    if type(obj) is not typing.ParamSpec:
        return {}
    variance = {"covariant": obj.__covariant__, "contravariant": obj.__contravariant__}
    return {"bound": obj.__bound__, **variance}


def _view(obj: types.MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    (viewed,) = gc.get_referents(obj)  # nothing else gives the dict behind it
    return types.MappingProxyType, (viewed,)


def _memory(obj: memoryview) -> tuple[Any, ...] | None:
    """Write a view of all of something; of a part of it only what it looks at."""
    owner: Any = obj.obj
    whole = isinstance(owner, (bytes, bytearray)) and len(owner) == obj.nbytes and obj.c_contiguous
    data = owner if whole else obj.tobytes() if obj.readonly else bytearray(obj.tobytes())
    return rebuild.memory, (data, obj.format, obj.shape, obj.readonly)


def _of_dict(obj: Any) -> tuple[Any, ...]:
    (viewed,) = gc.get_referents(obj.mapping)
    return getattr(type(viewed), _VIEWS[type(obj)]), (viewed,)


def _struct(obj: struct.Struct) -> tuple[Any, ...]:
    return struct.Struct, (obj.format,)


def _compiled(obj: types.FunctionType) -> tuple[Any, ...] | None:
    """Write a function that `torch.compile` wraps: workers compile it for themselves."""
    closed = dict(zip(obj.__code__.co_freevars, obj.__closure__ or (), strict=True))
    if "self" not in closed:
        return None
    original = obj.__dict__["_torchdynamo_orig_callable"]
    return rebuild.compiled, (closed["self"].cell_contents, original)


def _type_limits(obj: Any) -> tuple[Any, ...]:
    return rebuild.type_limits, (type(obj).__name__, obj.dtype)


_BY_NAME = {"torch.finfo": _type_limits, "torch.iinfo": _type_limits}
"""Likewise for types of packages that may not be imported, by their names."""


def _sentinel(obj: Any) -> str:
    """Refer to the one object of its kind, which dataclasses compare by identity."""
    return next(name for name, value in vars(dataclasses).items() if value is obj)


_VIEWS: dict[type, str] = {
    type(getattr(kind(), name)()): name
    for kind in (dict, collections.OrderedDict)
    for name in ("keys", "values", "items")
}

_REDUCERS: dict[type, Any] = {
    **dict.fromkeys(_VIEWS, _of_dict),
    type(dataclasses.MISSING): _sentinel,
    type(dataclasses.KW_ONLY): _sentinel,
    type(vars(dataclasses).get("_HAS_DEFAULT_FACTORY", dataclasses.MISSING)): _sentinel,
    types.MappingProxyType: _view,
    memoryview: _memory,
    struct.Struct: _struct,
    type(functools.lru_cache(len)): _cached,
    functools.cached_property: _cached_property,
    contextvars.ContextVar: _context_variable,
    types.ModuleType: _module,
    logging.Logger: _logger,
    staticmethod: _method_object,
    classmethod: _method_object,
    typing.NewType: _new_type,
    typing.TypeVar: _type_variable,
    typing.ParamSpec: _type_parameter,
    typing.TypeVarTuple: _type_parameter,
    **weak.REDUCERS,
    type(threading.Lock()): _lock,
    type(threading.RLock()): _rlock,
}
