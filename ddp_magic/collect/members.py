"""Whether a class's members are what its statement says; runs in the kernel."""

from __future__ import annotations

import abc
import ast
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

from ddp_magic.collect.matching import (
    Unproved,
    check_function,
    evaluates_to,
    same_annotation,
    same_literal,
)
from ddp_magic.collect.texts import FunctionNode, first_line, unwrapped
from ddp_magic.pickling.cloud import registered_with

if TYPE_CHECKING:
    from ddp_magic.collect.texts import CellText

__all__ = [
    "AUTOMATIC",
    "Written",
    "check_abstract",
    "check_annotations",
    "check_members",
    "written_members",
]

Written: TypeAlias = "dict[str, list[FunctionNode] | ast.expr]"
"""What a class statement binds, in order: functions (several make a property), or a value."""

AUTOMATIC = frozenset(
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
_WRAPPERS: dict[str, type] = {
    "property": property,
    "staticmethod": staticmethod,
    "classmethod": classmethod,
}
_IMPLICIT: dict[str, type] = {
    "__new__": staticmethod,
    "__init_subclass__": classmethod,
    "__class_getitem__": classmethod,
}
_ABSTRACT = ("abstractmethod", "abc.abstractmethod")
_KEEPING = frozenset({*_WRAPPERS, *_ABSTRACT, "torch.no_grad()"})
_ACCESSORS = {"setter": "fset", "deleter": "fdel"}


def written_members(node: ast.ClassDef) -> Written:
    """Return what a class statement binds.

    Raises:
        Unproved: It does more than that.
    """
    found: Written = {}
    for statement in node.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                key = _mangled(node.name, name)
                before = found.get(key)
                accessor = isinstance(before, list) and _accessor(statement) is not None
                if not accessor and any(d not in _KEEPING for d in _decorators(statement)):
                    raise Unproved(f"{name} is decorated")
                found[key] = [*before, statement] if isinstance(before, list) else [statement]
                if not accessor:
                    found[key] = [statement]
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[_mangled(node.name, name)] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[_mangled(node.name, name)] = value
            case ast.AnnAssign(target=ast.Name()):
                pass
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                raise Unproved("its body has more than methods and literals")
    return found


def check_members(
    cell: CellText, written: Written, live: dict[str, Any], space: dict[str, Any]
) -> None:
    """Compare what a class holds with what its statement says.

    Raises:
        Unproved: Something is not provably the same.
    """
    if list(written) != list(live):
        raise Unproved("attributes were added or removed")
    for name, statement in written.items():
        if isinstance(statement, ast.expr):
            if not same_literal(statement, live[name]):
                raise Unproved(f"{name} is not a literal, or was changed")
        elif len(statement) > 1:
            _check_property(cell, name, statement, live[name], space)
        else:
            _check_method(cell, name, statement[0], live[name], space)


def check_abstract(cls: abc.ABCMeta) -> None:
    """Compare what an abstract class knows besides its members.

    Raises:
        Unproved: Classes were registered with it, or it was made concrete.
    """
    if registered_with(cls):
        raise Unproved("classes were registered with it")
    names: set[str] = set(vars(cls))
    for base in cls.__bases__:
        names |= getattr(base, "__abstractmethods__", frozenset[str]())
    found = {n for n in names if getattr(getattr(cls, n, None), "__isabstractmethod__", False)}
    if found != set(cls.__abstractmethods__):
        raise Unproved("its abstract methods are others than its text says")


def check_annotations(node: ast.ClassDef, cls: type, space: dict[str, Any]) -> None:
    """Compare the annotations in a class's body.

    Raises:
        Unproved: One means something else now.
    """
    found = [s for s in node.body if isinstance(s, ast.AnnAssign)]
    written = {_mangled(node.name, s.target.id): s for s in found if isinstance(s.target, ast.Name)}
    live: dict[str, Any] = vars(cls).get("__annotations__", {})
    same = written.keys() == live.keys() and all(
        same_annotation(statement.annotation, live[name], space)
        for name, statement in written.items()
    )
    if not same:
        raise Unproved("an annotation means something else now")


def _check_property(
    cell: CellText, name: str, nodes: list[FunctionNode], live: Any, space: dict[str, Any]
) -> None:
    slots = ["fget", *(_accessor(node) or "" for node in nodes[1:])]
    first = _decorators(nodes[0])
    if type(live) is not property or first != ["property"] or len(slots) != len(set(slots)):
        raise Unproved(f"{name} was replaced")
    if sum(part is not None for part in (live.fget, live.fset, live.fdel)) != len(slots):
        raise Unproved(f"{name} was replaced")
    for slot, node in zip(slots, nodes, strict=True):
        func = getattr(live, slot)
        _check_made(cell, name, node, func if isinstance(func, FunctionType) else None, space)


def _check_method(
    cell: CellText, name: str, node: FunctionNode, live: Any, space: dict[str, Any]
) -> None:
    functions = unwrapped(live)
    if len(functions) != 1 or not _same_wrapper(name, node, live, functions[0]):
        raise Unproved(f"{name} was replaced")
    _check_made(cell, name, node, functions[0], space)


def _check_made(
    cell: CellText, name: str, node: FunctionNode, func: FunctionType | None, space: dict[str, Any]
) -> None:
    if func is None or func.__code__ not in cell.code:
        raise Unproved(f"{name} was replaced")
    if func.__code__.co_firstlineno != first_line(node):
        raise Unproved(f"{name} was replaced")
    expected = {"__isabstractmethod__"} if _is_abstract(node, space) else set[str]()
    if func.__dict__.keys() - {"__wrapped__"} != expected:
        raise Unproved(f"attributes were set on {name}")
    for decorator in node.decorator_list:
        wrapper = _WRAPPERS.get(ast.unparse(decorator))
        if wrapper and not evaluates_to(decorator, wrapper, space):
            raise Unproved(f"a decorator of {name} means something else now")
    check_function(node, func, space)


def _is_abstract(node: FunctionNode, space: dict[str, Any]) -> bool:
    found = [d for d in node.decorator_list if ast.unparse(d) in _ABSTRACT]
    return any(evaluates_to(d, abc.abstractmethod, space) for d in found)


def _same_wrapper(name: str, node: FunctionNode, live: Any, func: FunctionType) -> bool:
    """Whether a member is wrapped as its decorators, each one of `_KEEPING`, say."""
    names = [n for n in _decorators(node) if n not in _ABSTRACT]
    kind = _WRAPPERS.get(names[0], FunctionType) if names else _IMPLICIT.get(name, FunctionType)
    inner = live.fget if type(live) is property else getattr(live, "__func__", live)
    return type(live) is kind and (inner is func) == ("torch.no_grad()" not in names)


def _decorators(node: FunctionNode) -> list[str]:
    return [ast.unparse(decorator) for decorator in node.decorator_list]


def _accessor(node: FunctionNode) -> str | None:
    """Return what of a property ``@name.setter`` sets."""
    names = _decorators(node)
    kinds = {f"{node.name}.{kind}": slot for kind, slot in _ACCESSORS.items()}
    return kinds.get(names[0]) if len(names) == 1 else None


def _mangled(cls: str, name: str) -> str:
    private = name.startswith("__") and not name.endswith("__")
    return f"_{cls.lstrip('_')}{name}" if private else name
