"""What --trainer names, and the lines that it stands for; runs in the kernel.

Nothing of the user's runs here: attributes are looked up without their descriptors.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.lines import started
from ddp_magic.errors import OptionError
from ddp_magic.kinds import ultralytics
from ddp_magic.kinds.trainer import Trainer
from ddp_magic.line.parameters import parameters_of
from ddp_magic.line.paths import UNKNOWN, read_static
from ddp_magic.line.suggestions import NEAR
from ddp_magic.methods import METHODS, trains

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.line.parameters import Parameters

__all__ = ["Trainer", "find"]


def find(name: str, user_ns: dict[str, Any], hidden: Callable[[str], bool]) -> Trainer:
    """Find what --trainer means.

    Args:
        name: What stands behind it.
        user_ns: The notebook's namespace.
        hidden: Whether a name is IPython's own.

    Raises:
        OptionError: The notebook has nothing of that name, or nothing that trains.
    """
    value = _value(name, user_ns, hidden)
    made = value
    while isinstance(made, functools.partial):
        made = made.func
    if isinstance(made, type):
        return _of_class(name, value, made)
    if _is_function(made):
        return _of_factory(name, value)
    return _of_instance(name, value)


def _is_function(value: object) -> bool:
    with contextlib.suppress(Exception):  # it asks the type, whose metaclass may refuse
        return inspect.isroutine(value)
    return False


def _of_class(name: str, value: Any, cls: type) -> Trainer:
    if ultralytics.is_one(cls) and (found := ultralytics.of_class(name, value)):
        return found
    method = _method(name, cls, "class")
    call = f"trainer.{method}" if method else "trainer"
    return Trainer(
        head=f"trainer = {name}(); {_called(call, cls, method)}",
        calls=_known(name, value) | _known_method(call, cls, method),
    )


def _of_factory(name: str, value: Any) -> Trainer:
    """Return what is made by a function, or trained by it: only its result tells."""
    made = f"await {name}()" if inspect.iscoroutinefunction(value) else f"{name}()"
    return Trainer(head=f"trainer = {made}; {started()}", calls=_known(name, value))


def _of_instance(name: str, value: Any) -> Trainer:
    cls = type(value)
    if ultralytics.is_one(cls):
        return ultralytics.of_instance(name, value)
    method = _method(name, cls, f"{cls.__name__} object")
    call = f"trainer.{method}" if method else "trainer"
    bound = "" if name == "trainer" else f"trainer = {name}; "
    return Trainer(
        head=f"{bound}{_called(call, cls, method)}",
        calls=_known_method(call, cls, method),
    )


def _called(call: str, cls: type, method: str) -> str:
    function = _static(cls, method or "__call__")
    plain = function.__func__ if isinstance(function, (staticmethod, classmethod)) else function
    return f"await {call}()" if inspect.iscoroutinefunction(plain) else f"{call}()"


def _method(name: str, cls: type, what: str) -> str:
    """Return ``train`` or ``fit``; empty where the call itself trains."""
    found = [each for each in (*METHODS, "__call__") if trains(each, _static(cls, each))]
    if found:
        return found[0].replace("__call__", "")
    module: Any = getattr(sys.modules.get("torch.nn"), "Module", None)
    if module is not None and issubclass(cls, module):
        raise OptionError(
            f"--trainer {name}: {name} is a torch module, whose train() only switches its mode. "
            "Name the class or function that trains it."
        )
    raise OptionError(
        f"--trainer {name}: {name} is a {what} without train() or fit(), and cannot be called. "
        "Name a class, function or object of the notebook that trains."
    )


def _static(cls: type, name: str) -> Any:
    """Return what an instance gets, unbound; a metaclass has methods of its own."""
    return next((vars(each)[name] for each in cls.__mro__ if name in vars(each)), None)


def _known(path: str, value: Any) -> dict[str, Parameters]:
    found = parameters_of(value)
    return {} if found is None else {path: found}


def _known_method(call: str, cls: type, method: str) -> dict[str, Parameters]:
    function = _static(cls, method or "__call__")
    plain = isinstance(function, (staticmethod, classmethod))
    found = parameters_of(function.__func__ if plain else function)
    if found is None:
        return {}
    return {call: found if isinstance(function, staticmethod) else found.without_first()}


def _value(name: str, user_ns: dict[str, Any], hidden: Callable[[str], bool]) -> Any:
    root, *steps = name.split(".")
    if root not in user_ns or hidden(root):
        known = [n for n in user_ns if not n.startswith("_") and not hidden(n)]
        close = difflib.get_close_matches(root, known, 1, NEAR)
        remedy = f"Did you mean {close[0]}?" if close else "Run the cell that defines it first."
        raise OptionError(f"--trainer {name}: the notebook has no variable {root}. {remedy}")
    value = user_ns[root]
    for step in steps:
        value = read_static(value, step)
        if value is UNKNOWN:
            raise OptionError(
                f"--trainer {name}: there is no {step} in it. Write the name as in a cell."
            )
    return value
