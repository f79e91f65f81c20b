"""What of a trainer that the notebook has made goes to the ranks; runs in the kernel."""

from __future__ import annotations

import dis
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ddp_magic.attributes import own_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["state_of"]

_LIBRARY = "ultralytics."
_CALLBACKS = "ultralytics.utils.callbacks."


def state_of(trainer: Any) -> dict[str, Any]:
    """Return its settings, the user's callbacks, a prepared model, and what the user put on it.

    What the library's own methods set is of this process, and is found out anew in each rank.
    """
    own: dict[str, Any] = own_dict(trainer)
    library = [kind for kind in type(trainer).__mro__ if kind.__module__.startswith(_LIBRARY)]
    set_there = {name for kind in library for name in _set_by(kind)}
    kept = {name: value for name, value in own.items() if name not in set_there}
    kept |= {"args": _settings(own), "callbacks": _added(own.get("callbacks", {}))}
    module: Any = getattr(sys.modules.get("torch.nn"), "Module", None)
    if module is not None and isinstance(own.get("model"), module):
        kept["model"] = own["model"]
    return kept


def _settings(own: dict[str, Any]) -> Any:
    """Return ``args`` without the device of this process, and with what was set beside them."""
    args = own["args"]
    beside = {"epochs": "epochs", "batch": "batch_size", "save_period": "save_period"}
    changed = {name: own[at] for name, at in beside.items() if at in own}
    return type(args)(**{**vars(args), **changed, "device": None})


def _added(callbacks: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the callbacks that are not the library's, by event."""
    found = {
        event: [f for f in functions if not str(_module(f)).startswith(_CALLBACKS)]
        for event, functions in callbacks.items()
    }
    return {event: functions for event, functions in found.items() if functions}


def _module(function: Any) -> object:
    return function.__module__ if type(function) is FunctionType else ""


def _set_by(kind: type) -> Iterator[str]:
    """Yield the attributes that a class's methods set on ``self``."""
    for function in vars(kind).values():
        if not isinstance(function, FunctionType):
            continue
        loaded: tuple[object, ...] = ()
        for step in dis.get_instructions(function.__code__):
            if step.opname == "STORE_ATTR" and loaded[-1:] == ("self",):
                yield step.argval
            fast = step.opname.startswith("LOAD_FAST")  # from 3.13 on it may load two names
            loaded = step.argval if isinstance(step.argval, tuple) else (step.argval,) * fast
