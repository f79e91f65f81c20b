"""The parameters of what --trainer calls, be it the notebook's or a library's; in the kernel."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Parameters", "parameters_of"]

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What a call takes.

    Attributes:
        signature: All that are known by name.
        open: Whether it takes any other keyword as well.
        label: What users know it as; empty where that is how it is called.
        holder: The parameter that takes a dict of more names, as ``overrides``; empty without one.
        held: Which of the names go into that dict.
    """

    signature: Signature
    open: bool
    label: str = ""
    holder: str = ""
    held: frozenset[str] = frozenset()

    @property
    def needed(self) -> list[str]:
        """Those without a default."""
        own = [p for p in self.signature.parameters.values() if p.name not in self.held]
        return [p.name for p in own if p.default is p.empty and p.kind not in _REST]

    def without_first(self) -> Parameters:
        """Return what a bound method takes."""
        parameters = [*self.signature.parameters.values()]
        if parameters and parameters[0].kind is not Parameter.VAR_POSITIONAL:
            del parameters[0]
        return Parameters(signature=Signature(parameters), open=self.open)


def parameters_of(value: Any) -> Parameters | None:
    """Return what calling a class or a function takes; None where nothing tells.

    A ``**`` that a class's ``__init__`` hands on stands for the parameters of the next one.
    """
    try:
        return _parameters_of(value, inspect.signature(value))
    except Exception:  # a builtin has none, a metaclass may raise anything
        return None


def _parameters_of(value: Any, signature: Signature) -> Parameters:
    parameters = [*signature.parameters.values()]
    if not any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        return Parameters(signature=signature, open=False)
    handed_on, is_open = _handed_on(value)
    known = {p.name for p in parameters}
    found = {p.name: p for p in handed_on if p.name not in known}
    more = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in found.values() if p.kind in _NAMED]
    plain = [p for p in parameters if p.kind is not Parameter.VAR_KEYWORD]
    return Parameters(signature=signature.replace(parameters=[*plain, *more]), open=is_open)


def _handed_on(value: Any) -> tuple[list[Parameter], bool]:
    """Return what a ``**`` stands for, and whether it takes more than that."""
    while isinstance(value, functools.partial):
        value = value.func
    found: list[Parameter] = []
    for init in _inits(value) if isinstance(value, type) else ():
        parameters = [*inspect.signature(init).parameters.values()][1:]
        found += parameters
        if not any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
            return found, False
        if "__init__" not in getattr(getattr(init, "__code__", None), "co_names", ()):
            return found, True
    return found, not found or not isinstance(value, type)


def _inits(cls: type) -> Iterator[Any]:
    for each in cls.__mro__[:-1]:
        if "__init__" in vars(each):
            yield vars(each)["__init__"]
