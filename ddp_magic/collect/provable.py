"""When a definition's own text makes the live object; runs in the kernel.

A ``def`` or ``class`` goes by source only if compiling its cell again gives the live code, and all
that was evaluated when the statement ran is a literal or evaluates to the live thing again.
Everything else goes by value, with a reason that ``--show`` tells.
"""

from __future__ import annotations

import abc
import ast
import enum
import functools
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from ddp_magic.collect.hiding import holds_key
from ddp_magic.collect.matching import Unproved, check_function, evaluates_to, same_doc
from ddp_magic.collect.members import (
    AUTOMATIC,
    check_abstract,
    check_annotations,
    check_members,
    written_members,
)
from ddp_magic.collect.remade import (
    check_dataclass,
    check_enum,
    dataclass_options,
)
from ddp_magic.collect.texts import CellText, FunctionNode, Texts, methods

__all__ = ["Proof", "Unproved", "is_of", "names_at_definition", "prove"]

_TYPES = (type, abc.ABCMeta, enum.EnumType)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A definition whose text makes the live object."""

    text: str
    node: FunctionNode | ast.ClassDef
    label: str
    code: tuple[FunctionType, ...]
    """The functions in it."""


def prove(name: str, obj: Any, texts: Texts, space: dict[str, Any]) -> Proof:
    """Return the text of a function or class that its name in `space` stands for.

    Raises:
        Unproved: The text may make something else.
    """
    if obj.__module__ != "__main__" or obj.__qualname__ != name or obj.__name__ != name:
        raise Unproved("made under another name or inside a function")
    if isinstance(obj, FunctionType):
        return _prove_function(obj, texts, space)
    return _prove_class(obj, texts, space)


@functools.lru_cache(maxsize=8192)
def names_at_definition(node: ast.stmt) -> frozenset[str]:
    """Return the names that are read while the statement itself runs."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        a = node.args
        annotated = [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]
        annotations = [p.annotation for p in annotated if p]
        return _names(*node.decorator_list, *a.defaults, *a.kw_defaults, node.returns, *annotations)
    if isinstance(node, ast.ClassDef):
        found = _names(*node.decorator_list, *node.bases, *(k.value for k in node.keywords))
        return found.union(*map(names_at_definition, node.body))
    return _names(node)


def _names(*nodes: ast.AST | None) -> frozenset[str]:
    walked = (n for node in nodes if node for n in ast.walk(node))
    return frozenset(n.id for n in walked if isinstance(n, ast.Name))


def _prove_function(func: FunctionType, texts: Texts, space: dict[str, Any]) -> Proof:
    if func.__closure__:
        raise Unproved("uses variables of the function that made it")
    if func.__dict__:
        raise Unproved("attributes were set on it")
    if func.__globals__ is not space:
        raise Unproved("has another namespace than the notebook")
    found = texts.function(func)
    if not found or found[1].name != func.__name__:
        raise Unproved("its code is not what its cell says")
    cell, node = found
    if node.decorator_list:
        raise Unproved("is decorated")
    check_function(node, func, space)
    return _proof(cell, node, (func,))


def _prove_class(cls: type, texts: Texts, space: dict[str, Any]) -> Proof:
    if type(cls) not in _TYPES:
        raise Unproved(f"has the metaclass {type(cls).__name__}")
    hooked = (b for b in cls.__mro__[1:] if b.__module__ == "__main__")
    if any("__init_subclass__" in vars(b) for b in hooked):
        raise Unproved("a base has __init_subclass__")
    found = texts.class_statement(cls)
    if not found:
        raise Unproved("no cell has its text")
    cell, node = found
    for keyword in node.keywords:
        if keyword.arg != "metaclass" or not evaluates_to(keyword.value, type(cls), space):
            raise Unproved("has class keywords")
    bases = cls.__bases__ if node.bases else ()
    same = len(bases) == len(node.bases) and all(
        evaluates_to(expr, base, space) for expr, base in zip(node.bases, bases, strict=True)
    )
    if not same or (not node.bases and cls.__bases__ != (object,)):
        raise Unproved("a base means something else now")
    if not all(is_of(method, cls) for method in methods(cls)):
        raise Unproved("a method is another class's")
    _check_body(cell, node, cls, space)
    functions = [f for f in methods(cls) if f.__globals__ is space]
    return _proof(cell, node, tuple(functions))


def is_of(func: FunctionType, cls: type) -> bool:
    """Whether ``super()`` in a method means the class that has it."""
    closed = zip(func.__code__.co_freevars, func.__closure__ or (), strict=True)
    return all(cell.cell_contents is cls for name, cell in closed if name == "__class__")


def _check_body(cell: CellText, node: ast.ClassDef, cls: type, space: dict[str, Any]) -> None:
    options = [dataclass_options(decorator, space) for decorator in node.decorator_list]
    if len(options) > 1 or None in options:
        raise Unproved("is decorated")
    written = written_members(node)
    check_annotations(node, cls, space)
    live = {name: value for name, value in vars(cls).items() if name not in AUTOMATIC}
    documented = same_doc(node, cls.__doc__)
    if isinstance(cls, enum.EnumType):
        written = check_enum(cls, written, space)
        live = {name: live[name] for name in written}
    elif options and options[0] is not None:
        written = check_dataclass(cls, written, options[0], space, documented=documented)
        live, documented = {name: live[name] for name in written}, True
    if not documented:
        raise Unproved("its docstring was changed")
    if isinstance(cls, abc.ABCMeta):
        check_abstract(cls)
    check_members(cell, written, live, space)


def _proof(
    cell: CellText, node: FunctionNode | ast.ClassDef, functions: tuple[FunctionType, ...]
) -> Proof:
    text = cell.definition(node)
    if text is None:
        raise Unproved("does not begin its line")
    if holds_key(text):
        raise Unproved("holds what looks like a key")
    return Proof(text=text, node=node, label=cell.label, code=functions)
