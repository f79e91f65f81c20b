"""What each statement of a cell reads, binds and changes when it runs; runs in the kernel."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddp_magic.line.first_use import uses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Step", "reads_path", "root_of", "steps"]

_CHANGE = frozenset({"add", "append", "appendleft", "extend", "insert", "setdefault", "update"})


@dataclass(frozen=True)
class Step:
    """What one statement, or one part of it, does.

    Attributes:
        values: What is evaluated.
        binds: Names that get a new value.
        changes: Attributes, items and containers that get a part of it.
    """

    values: tuple[ast.AST, ...]
    binds: frozenset[str]
    changes: tuple[ast.expr, ...] = ()


def steps(body: Iterable[ast.stmt]) -> Iterator[Step]:
    """Yield what statements do, those in branches and loops one by one."""
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Tuple(elts=left)], value=ast.Tuple(elts=right)) if len(
                left
            ) == len(right) and not any(isinstance(part, ast.Starred) for part in (*left, *right)):
                pairs = [_assigned([to], [value]) for to, value in zip(left, right, strict=True)]
                yield from pairs
            case ast.Assign(targets=targets, value=value):
                yield _assigned(targets, [value])
            case ast.AnnAssign(target=target, value=value):
                yield _assigned([target], [value] if value else [], bare=value is None)
            case ast.AugAssign(target=target, value=value):
                read = ast.Name(target.id, ast.Load()) if isinstance(target, ast.Name) else target
                yield _assigned([target], [value, ast.copy_location(read, target)])
            case ast.For() | ast.AsyncFor():
                yield _assigned([statement.target], [statement.iter])
                yield from steps([*statement.body, *statement.orelse])
            case ast.With() | ast.AsyncWith():
                for item in statement.items:
                    bound = [item.optional_vars] if item.optional_vars else []
                    yield _assigned(bound, [item.context_expr])
                yield from steps(statement.body)
            case ast.If() | ast.While():
                yield _plain(statement.test)
                yield from steps([*statement.body, *statement.orelse])
            case ast.Try() | ast.TryStar():
                handled = [s for handler in statement.handlers for s in handler.body]
                yield from steps([*statement.body, *handled, *statement.orelse])
                yield from steps(statement.finalbody)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=target, attr=attribute))) if (
                attribute in _CHANGE and root_of(target)
            ):
                yield Step((statement,), frozenset(), (target,))
            case _:
                yield _plain(statement)


def _assigned(
    targets: Sequence[ast.expr], values: Sequence[ast.expr], *, bare: bool = False
) -> Step:
    parts = [p for t in targets for p in (t.elts if isinstance(t, (ast.Tuple, ast.List)) else [t])]
    changes = [p for p in parts if isinstance(p, (ast.Attribute, ast.Subscript)) and root_of(p)]
    bound = {name for t in targets for name, _, binds in uses(t) if binds}
    walrus = {name for value in values for name, _, binds in uses(value) if binds}
    return Step(tuple(values), frozenset() if bare else frozenset(bound | walrus), tuple(changes))


def _plain(node: ast.AST) -> Step:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return Step((node,), frozenset({node.name}))
    return Step((node,), frozenset(name for name, _, binds in uses(node) if binds))


def root_of(node: ast.expr) -> str:
    """Return the variable that ``cfg.optim["lr"]`` begins with; empty where it is none."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def reads_path(value: ast.AST, path: str) -> bool:
    """Whether it reads the very place, or unpacks the dict around it, outside functions."""
    around = path.rpartition(".")[0]
    for node in _now(value):
        match node:
            case ast.Attribute() | ast.Subscript() if _path(node) == path:
                return True
            case ast.keyword(arg=None, value=inner) if _path(inner) == around:
                return True
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                if any(key is None and _path(inner) == around for key, inner in pairs):
                    return True
            case _:
                pass
    return False


def _path(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case (
            ast.Attribute(value=value, attr=step)
            | ast.Subscript(value=value, slice=ast.Constant(value=str(step) | int(step)))
        ):
            return f"{_path(value)}.{step}"
        case _:
            return ""


def _now(node: ast.AST) -> Iterator[ast.AST]:
    """Walk over what runs now, without the bodies of functions."""
    yield node
    inner: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        inner = [node.args, *node.decorator_list]
    elif isinstance(node, ast.Lambda):
        inner = [node.args]
    for child in inner:
        yield from _now(child)
