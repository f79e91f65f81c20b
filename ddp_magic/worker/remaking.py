"""Makes a trainer of the notebook anew in a rank; in every worker.

What a library's trainer found out when it was made in the kernel holds for the one process there:
its device, how many ranks there are, its loaders. So it arrives without that, with its settings and
what the user has put on it, and its own ``__init__`` runs once more, on the same object: callbacks
that refer to the trainer mean this one.
"""

from __future__ import annotations

import importlib
import inspect
from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["remake"]

_Callbacks = dict[str, list["Callable[..., Any]"]]


def remake(trainer: Any, *, overrides: dict[str, Any]) -> None:
    """Initialize an Ultralytics trainer again, and put back what was put on it.

    Args:
        trainer: As it arrived: its ``args``, ``callbacks`` that the user has added, a prepared
            ``model``, and attributes of the user's.
        overrides: Settings that the line gives.
    """
    own = vars(trainer)
    kept = dict(own)
    own.clear()
    settings = vars(kept.pop("args")) | overrides
    added: _Callbacks = kept.pop("callbacks", {})
    taken = inspect.signature(type(trainer)).parameters
    known = {} if "_callbacks" not in taken else {"_callbacks": _with_defaults(trainer, added)}
    trainer.__init__(overrides=settings, **known)
    for event, functions in added.items():
        same = {_key(f) for f in functions}  # what `__init__` adds it had added in the kernel too
        others = [f for f in trainer.callbacks.get(event, []) if _key(f) not in same]
        trainer.callbacks[event] = [*others, *functions]
    own.update(kept)  # the model among them, where there is one


def _with_defaults(trainer: object, added: _Callbacks) -> _Callbacks:
    """Return the library's callbacks and the user's; a trainer's methods need the trainer first."""
    library = importlib.import_module("ultralytics.utils.callbacks")
    found: _Callbacks = library.get_default_callbacks()
    for event, functions in added.items():
        free = [f for f in functions if getattr(f, "__self__", None) is not trainer]
        found[event] = [*found.get(event, []), *free]
    return found


def _key(function: Any) -> object:
    """Return what is equal for what the same line of code makes twice."""
    if isinstance(function, MethodType):
        return function.__func__
    return getattr(function, "__code__", type(function))
