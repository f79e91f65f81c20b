"""What a pickle calls to make its objects again; runs where it is read, in workers and kernel.

The names of these functions are part of the files' format.
"""

from __future__ import annotations

import builtins
import contextlib
import contextvars
import functools
import importlib
import logging
import sys
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def itself(value: Any) -> Any:
    """Return the value: what is written in place of a wrapper is what it wraps."""
    return value


def function(
    code: CodeType, namespace: dict[str, Any], name: str, closure: tuple[CellType, ...] | None
) -> FunctionType:
    """Make a function without its state."""
    namespace.setdefault("__builtins__", builtins)
    return FunctionType(code, namespace, name, None, closure)


def set_function(func: FunctionType, state: tuple[Any, ...]) -> None:
    """Fill a function."""
    attributes, slots, used, modules = state
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    func.__dict__.update(attributes)
    if used:
        func.__globals__.update(used)
    for name, value in slots.items():
        setattr(func, name, value)


def of_class(cls: type, name: str, way: str) -> Any:
    """Return a function that a class has as a method, or behind one."""
    member = vars(cls)[name]
    return getattr(member, way) if way else member


def cell() -> CellType:
    """Make an empty cell."""
    return CellType()


def set_cell(empty: CellType, content: tuple[Any]) -> None:
    """Fill a cell."""
    (empty.cell_contents,) = content


def cached(func: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """Make an `functools.lru_cache` wrapper, its cache empty."""
    return functools.lru_cache(**parameters)(func)


def dispatching(default: Callable[..., Any], cases: list[tuple[type, Any]]) -> Any:
    """Make a `functools.singledispatch` function."""
    wrapper = functools.singledispatch(default)
    for kind, func in cases:
        wrapper.register(kind, func)
    return wrapper


def type_parameter(kind: Any, name: str, options: dict[str, Any]) -> Any:
    """Make a `typing.ParamSpec` or the like."""
    made = kind(name, **options)
    with contextlib.suppress(AttributeError):
        made.__module__ = "__main__"
    return made


def set_module(made: Any, module: str) -> None:
    """Give a `typing.TypeVar` its module: it is pickled by reference to that."""
    made.__module__ = module


def compiled(context: Any, func: Any) -> Any:
    """Have `torch.compile` wrap a function with the options that it had."""
    return context(func)


def type_limits(kind: str, dtype: str) -> Any:
    """Make a ``torch.finfo`` or ``torch.iinfo``."""
    import torch

    return getattr(torch, kind)(getattr(torch, dtype))


def cached_property(func: Callable[..., Any], name: str | None) -> Any:
    """Make a `functools.cached_property` (with its lock, up to Python 3.11)."""
    made = functools.cached_property(func)
    if name is not None:
        made.__set_name__(object, name)
    return made


def context_variable(name: str, default: tuple[Any, ...], value: tuple[Any, ...]) -> Any:
    """Make a context variable with its default and its value, where it has them."""
    made: contextvars.ContextVar[Any] = (
        contextvars.ContextVar(name, default=default[0])
        if default
        else contextvars.ContextVar(name)
    )
    if value:
        made.set(value[0])
    return made


def memory(data: Any, form: str, shape: tuple[int, ...], readonly: bool) -> memoryview:  # noqa: FBT001
    """Make a view of memory."""
    made = memoryview(data)
    if form != "B" or len(shape) != 1:
        made = made.cast("B").cast(form, shape)  # type: ignore[call-overload]
    return made.toreadonly() if readonly else made


def stream(name: str) -> Any:
    """Return this process's own stream."""
    return getattr(sys, name)


def module(name: str, *, registered: bool) -> ModuleType:
    """Make a module that no file stands for."""
    made = ModuleType(name)
    if registered:
        sys.modules[name] = made
    return made


def logger(name: str, level: int, handlers: list[Any], *, propagate: bool) -> logging.Logger:
    """Return the logger of that name, set up as in the notebook."""
    made = logging.getLogger(name)
    made.setLevel(level)
    made.propagate = propagate
    for handler in handlers:
        if handler not in made.handlers:
            made.addHandler(handler)
    return made


def parameter(kind: Any, make: Any, args: tuple[Any, ...]) -> Any:
    """Make a parameter of the class that it has in the notebook."""
    made = make(*args)
    if type(made) is not kind:
        made.__class__ = kind
    return made


def requiring_gradient(tensor: Any) -> Any:
    """Have a tensor's gradient computed."""
    return tensor.requires_grad_()


def set_gradient(tensor: Any, gradient: Any) -> None:
    """Give a tensor its ``.grad``."""
    tensor.grad = gradient


def set_attributes(obj: Any, attributes: dict[str, Any]) -> None:
    """Give an object its own attributes."""
    obj.__dict__.update(attributes)
