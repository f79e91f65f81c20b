"""When a definition's own text makes the live object; runs in the kernel.

A ``def`` or ``class`` goes by source only if compiling its cell again gives the live code, and all
that was evaluated when the statement ran is a literal or evaluates to the live thing again.
Everything else goes by value, with a reason that ``--show`` tells.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.hiding import holds_key
from ddp_magic.collect.matching import (
    Unproved,
    check_function,
    evaluates_to,
    same_doc,
    same_literal,
)
from ddp_magic.collect.texts import CellText, FunctionNode, Texts, first_line, methods, unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Proof", "Unproved", "names_at_definition", "prove"]

_WRAPPERS: dict[str, type] = {
    "property": property,
    "staticmethod": staticmethod,
    "classmethod": classmethod,
}
_KEEPING = frozenset({*_WRAPPERS, "torch.no_grad()"})
_AUTOMATIC = frozenset(
    {
        "__module__",
        "__qualname__",
        "__dict__",
        "__weakref__",
        "__doc__",
        "__annotations__",
        "__slotnames__",
        "__firstlineno__",
        "__static_attributes__",
        "__abstractmethods__",
        "_abc_impl",
        "__annotations_cache__",
        "__annotate_func__",
    }
)


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
    if type(cls) is not type:
        raise Unproved(f"has the metaclass {type(cls).__name__}")
    hooked = (b for b in cls.__mro__[1:] if b.__module__ == "__main__")
    if any("__init_subclass__" in vars(b) for b in hooked):
        raise Unproved("a base has __init_subclass__")
    found = texts.class_statement(cls)
    if not found:
        raise Unproved("no cell has its text")
    cell, node = found
    if node.decorator_list:
        raise Unproved("is decorated")
    if node.keywords:
        raise Unproved("has class keywords")
    bases = cls.__bases__ if node.bases else ()
    same = len(bases) == len(node.bases) and all(
        evaluates_to(expr, base, space) for expr, base in zip(node.bases, bases, strict=True)
    )
    if not same or (not node.bases and cls.__bases__ != (object,)):
        raise Unproved("a base means something else now")
    if not same_doc(node, cls.__doc__):
        raise Unproved("its docstring was changed")
    _check_members(cell, node, cls, space)
    return _proof(cell, node, tuple(methods(cls)))


def _check_members(cell: CellText, node: ast.ClassDef, cls: type, space: dict[str, Any]) -> None:
    written = dict(_members(node))
    live = {name: value for name, value in vars(cls).items() if name not in _AUTOMATIC}
    if list(written) != list(live):
        raise Unproved("attributes were added or removed")
    for name, statement in written.items():
        if isinstance(statement, ast.expr):
            if not same_literal(statement, live[name]):
                raise Unproved(f"{name} is not a literal, or was changed")
            continue
        functions = unwrapped(live[name])
        known = len(functions) == 1 and functions[0].__code__ in cell.code
        if not known or not _same_wrapper(statement, live[name], functions[0]):
            raise Unproved(f"{name} was replaced")
        func = functions[0]
        if func.__dict__.keys() - {"__wrapped__"}:
            raise Unproved(f"attributes were set on {name}")
        if func.__code__.co_firstlineno != first_line(statement):
            raise Unproved(f"{name} was replaced")
        check_function(statement, func, space)


def _same_wrapper(statement: FunctionNode, live: Any, func: FunctionType) -> bool:
    """Whether a member is wrapped as its decorators, each one of `_KEEPING`, say."""
    names = [ast.unparse(decorator) for decorator in statement.decorator_list]
    kind = _WRAPPERS.get(names[0], FunctionType) if names else FunctionType
    inner = live.fget if kind is property else getattr(live, "__func__", live)
    return type(live) is kind and (inner is func) == ("torch.no_grad()" not in names)


def _members(node: ast.ClassDef) -> Iterator[tuple[str, FunctionNode | ast.expr]]:
    for statement in node.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if any(ast.unparse(d) not in _KEEPING for d in statement.decorator_list):
                    raise Unproved(f"{name} is decorated")
                yield _mangled(node.name, name), statement
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield _mangled(node.name, name), value
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                raise Unproved("its body has more than methods and literals")


def _mangled(cls: str, name: str) -> str:
    private = name.startswith("__") and not name.endswith("__")
    return f"_{cls.lstrip('_')}{name}" if private else name


def _proof(
    cell: CellText, node: FunctionNode | ast.ClassDef, functions: tuple[FunctionType, ...]
) -> Proof:
    text = cell.definition(node)
    if text is None:
        raise Unproved("does not begin its line")
    if holds_key(text):
        raise Unproved("holds what looks like a key")
    return Proof(text=text, node=node, label=cell.label, code=functions)
