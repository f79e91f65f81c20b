"""Proofs of earlier runs that still hold; runs in the kernel.

Most definitions are what they were in the last run. Whether all that a proof rests on is still the
same object is known much sooner than a new proof.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ddp_magic.collect.provable import Proof, is_of, names_at_definition, prove
from ddp_magic.collect.texts import unwrapped

if TYPE_CHECKING:
    import ast
    from collections.abc import Mapping

    from ddp_magic.collect.texts import FunctionNode, Texts

__all__ = ["Proofs"]


class Proofs:
    """What was proved of the functions and classes of one notebook."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, _Known] = WeakKeyDictionary()

    def prove(self, name: str, obj: Any, texts: Texts, space: dict[str, Any]) -> Proof:
        """Return the text of a function or class that its name in `space` stands for.

        Raises:
            Unproved: The text may make something else.
        """
        if type(obj) is not FunctionType and type(obj) is not type:
            return prove(name, obj, texts, space)
        known = self._known.get(obj)
        code = known.holds(name, obj, texts, space) if known is not None else None
        if known is not None and code is not None:
            label = texts.label(known.filename)
            return Proof(text=known.text, node=known.node, label=label, code=code)
        proof = prove(name, obj, texts, space)
        uncertain = not proof.code  # which statement made it depends on what else has run
        if not uncertain and "__dataclass_fields__" not in vars(obj):
            self._known[obj] = _Known(
                text=proof.text,
                node=proof.node,
                filename=proof.code[0].__code__.co_filename,
                flags=texts.flags,
                rests_on=_rests_on(name, obj, proof.node, space)[0],
            )
        return proof


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A proof, without anything that holds the object itself, which must go when it is unused."""

    text: str
    node: FunctionNode | ast.ClassDef
    filename: str
    flags: int
    rests_on: list[object]

    def holds(
        self, name: str, obj: Any, texts: Texts, space: dict[str, Any]
    ) -> tuple[FunctionType, ...] | None:
        """Return the functions in it; None if something has changed that it rests on."""
        now, functions = _rests_on(name, obj, self.node, space)
        same = len(now) == len(self.rests_on) and texts.flags == self.flags
        return functions if same and all(map(operator.is_, now, self.rests_on)) else None


def _rests_on(
    name: str, obj: Any, node: ast.stmt, space: dict[str, Any]
) -> tuple[list[object], tuple[FunctionType, ...]]:
    """Return what a proof rests on, and the functions in the object."""
    found: list[object] = [name, obj.__module__, obj.__qualname__, obj.__name__]
    found += map(space.get, names_at_definition(node))
    if isinstance(obj, FunctionType):
        _add_function(found, obj)
        return found, (obj,)
    cls: type = obj
    found += (cls.__bases__, cls.__doc__)
    found += ["__init_subclass__" in vars(base) for base in cls.__mro__]
    functions: list[FunctionType] = []
    for member, value in vars(cls).items():
        inside = unwrapped(value)
        kind = type(value) if inside or member.startswith("__") else value
        found += (member, kind)
        functions += inside
        for func in inside:
            found.append(is_of(func, cls))
            _add_function(found, func)
    _add_items(found, vars(cls).get("__annotations__"))
    return found, tuple(functions)


def _add_function(found: list[object], func: FunctionType) -> None:
    found += (func.__code__, func.__defaults__, func.__doc__, len(func.__dict__))
    _add_items(found, func.__kwdefaults__)
    _add_items(found, func.__annotations__)


def _add_items(found: list[object], given: Mapping[str, Any] | None) -> None:
    if given:
        found += given
        found += given.values()
