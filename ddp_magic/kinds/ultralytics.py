"""Trainers of the Ultralytics kind: made with a dict of overrides; runs in the kernel.

The library is there where a class of its kind is, and is asked for the settings that it knows.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from inspect import Parameter
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ddp_magic.attributes import own_dict
from ddp_magic.collect.lines import remade
from ddp_magic.errors import OptionError
from ddp_magic.kinds import ultralytics_settings as settings
from ddp_magic.kinds.trainer import Trainer
from ddp_magic.kinds.ultralytics_state import state_of
from ddp_magic.line.parameters import parameters_of
from ddp_magic.typenames import type_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddp_magic.line.parameters import Parameters

__all__ = ["is_one", "of_class", "of_instance"]

_BASE = "ultralytics.engine.trainer.BaseTrainer"
_HOLDER = "overrides"
_GIVEN_BY_US = frozenset({_HOLDER, "_callbacks"})
_STAYS = (
    "an Ultralytics trainer belongs to its rank, with its loaders and what it found out about the "
    "machine"
)


def is_one(cls: type) -> bool:
    """Whether a class is a trainer of this kind."""
    return _BASE in type_names(cls)


def of_class(name: str, value: Any) -> Trainer | None:
    """Return what a class, or a partial of one, stands for; None where it takes no overrides.

    Args:
        name: What the notebook calls it.
        value: The class or the partial.
    """
    taken = parameters_of(value)
    if taken is None or _HOLDER not in taken.signature.parameters:
        return None
    own = value.keywords.get(_HOLDER) if isinstance(value, functools.partial) else None
    known = settings.known(value, own or {})
    begun = f'**{name}.keywords["{_HOLDER}"]' if own else ""
    return Trainer(
        head=f"trainer = {name}({_HOLDER}={{{begun}}}); trainer.train()",
        calls={name: _with(taken, known)},
        check=functools.partial(settings.check, own or {}),
        stays=_STAYS,
    )


def of_instance(name: str, value: Any) -> Trainer:
    """Return what a trainer that the notebook has made stands for: one like it in each rank.

    Args:
        name: What the notebook calls it.
        value: The trainer.

    Raises:
        OptionError: It cannot be made anew.
    """
    cls = type(value)
    taken = parameters_of(cls)
    own = own_dict(value)
    if "args" not in own:
        raise OptionError(
            f"--trainer {name}: {name} was never initialized. Run the cell that makes it again."
        )
    needed = [] if taken is None else taken.needed
    if taken is None or _HOLDER not in taken.signature.parameters or needed:
        says = f"{cls.__name__}() needs {needed[0]}" if needed else "its class takes no overrides"
        raise OptionError(
            f"--trainer {name}: every rank makes a trainer like {name}, and {says}. "
            "Write a function that makes one, and name that."
        )
    known = settings.known(cls, {**vars(own["args"])})
    bound = "" if name == "trainer" else f"trainer = {name}; "
    head = f"{bound}{remade(f'trainer, {_HOLDER}={{}}')}; trainer.train()"
    only = replace(taken, signature=taken.signature.replace(parameters=[]))
    state = state_of(value)
    callbacks = [function for added in state["callbacks"].values() for function in added]
    return Trainer(
        head=head,
        calls={"__import__.remake": replace(_with(only, known), label=name)},
        anew={id(value): state},
        called=tuple(f for f in callbacks if type(f) is FunctionType),
        check=functools.partial(settings.check, settings.inherited(own["args"])),
        stays=_STAYS,
    )


def _with(taken: Parameters, known: Mapping[str, Parameter]) -> Parameters:
    """Return the parameters of the call, and the settings that go into its dict."""
    own = [p for p in taken.signature.parameters.values() if p.name not in _GIVEN_BY_US]
    held = {name: p for name, p in known.items() if name not in {p.name for p in own}}
    behind = [p for p in own if p.kind is Parameter.VAR_KEYWORD]
    before = [p for p in own if p.kind is not Parameter.VAR_KEYWORD]
    signature = inspect.Signature([*before, *held.values(), *behind])
    return replace(taken, signature=signature, holder=_HOLDER, held=frozenset(held))
