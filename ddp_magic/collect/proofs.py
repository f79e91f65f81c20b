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
from ddp_magic.collect.texts import methods, unwrapped

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator

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
        if known is None or not known.holds(name, obj, texts, space):
            proof = prove(name, obj, texts, space)
            uncertain = not proof.code  # which statement made it depends on what else has run
            if uncertain or "__dataclass_fields__" in vars(obj):
                return proof
            rests_on = tuple(_rests_on(name, obj, proof.node, space))
            filename = proof.code[0].__code__.co_filename
            self._known[obj] = _Known(
                text=proof.text,
                node=proof.node,
                filename=filename,
                flags=texts.flags,
                rests_on=rests_on,
            )
            return proof
        return known.proof(obj, texts)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A proof, without anything that holds the object itself, which must go when it is unused."""

    text: str
    node: FunctionNode | ast.ClassDef
    filename: str
    flags: int
    rests_on: tuple[object, ...]

    def holds(self, name: str, obj: Any, texts: Texts, space: dict[str, Any]) -> bool:
        """Whether nothing that it rests on has changed."""
        now = tuple(_rests_on(name, obj, self.node, space))
        same = len(now) == len(self.rests_on) and texts.flags == self.flags
        return same and all(map(operator.is_, now, self.rests_on))

    def proof(self, obj: Any, texts: Texts) -> Proof:
        """Return it with what this run calls the cell."""
        code = tuple(methods(obj)) if isinstance(obj, type) else (obj,)
        return Proof(text=self.text, node=self.node, label=texts.label(self.filename), code=code)


def _rests_on(name: str, obj: Any, node: ast.stmt, space: dict[str, Any]) -> Iterator[object]:
    yield from (name, obj.__module__, obj.__qualname__, obj.__name__)
    yield from (space.get(each) for each in names_at_definition(node))
    if isinstance(obj, FunctionType):
        yield from _of_function(obj)
        return
    cls: type = obj
    yield from (cls.__bases__, cls.__doc__)
    yield from ("__init_subclass__" in vars(base) for base in cls.__mro__)
    for member, value in vars(cls).items():
        yield member
        functions = unwrapped(value)
        yield type(value) if functions or member.startswith("__") else value
        for func in functions:
            yield is_of(func, cls)
            yield from _of_function(func)
    for annotated, meaning in vars(cls).get("__annotations__", {}).items():
        yield from (annotated, meaning)


def _of_function(func: FunctionType) -> Iterator[object]:
    yield from (func.__code__, func.__defaults__, func.__doc__, len(func.__dict__))
    for given in (func.__kwdefaults__, func.__annotations__):
        for key, value in (given or {}).items():
            yield from (key, value)
