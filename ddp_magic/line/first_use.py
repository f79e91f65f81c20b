"""Whether the cell itself binds a name before it reads it; runs in the kernel."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["bound_first", "uses"]


def bound_first(tree: ast.Module) -> dict[str, int]:
    """Return the names whose first use at the cell's own level binds them, with that line.

    An override of such a name could only be lost. What functions of the cell do counts for
    nothing here: they run later, if at all. Which branch is taken does not count either: a binding
    in any of them does.
    """
    return _bound(uses(tree))


def _bound(uses: Iterator[tuple[str, int, bool]]) -> dict[str, int]:
    first: dict[str, tuple[int, bool]] = {}
    for name, line, binds in uses:
        first.setdefault(name, (line, binds))
    return {name: line for name, (line, binds) in first.items() if binds}


def uses(node: ast.AST, local: frozenset[str] = frozenset()) -> Iterator[tuple[str, int, bool]]:
    """Yield name, line and whether it is bound, in the order of evaluation.

    Args:
        node: Where to look.
        local: Names that belong to a class body or a comprehension around it.
    """
    if isinstance(node, ast.Name):
        if node.id not in local:
            yield node.id, node.lineno, not isinstance(node.ctx, ast.Load)
        return
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield from uses(ast.Name(node.target.id, ast.Load(), lineno=node.lineno), local)
    outer, inner = _children(node)
    for child in outer:
        yield from uses(child, local)
    own = {name for child in inner for name in _bound(uses(child, frozenset()))}
    for child in inner:
        yield from uses(child, local | own)
    for name in _names(node):
        if name not in local:
            yield name, getattr(node, "lineno", 0), True


def _children(node: ast.AST) -> tuple[list[ast.AST], list[ast.AST]]:
    """Return the parts that run now, in order, and those that do so with names of their own."""
    match node:
        case ast.Assign():
            return [node.value, *node.targets], []
        case ast.AnnAssign():
            return ([node.value, node.target] if node.value is not None else []), []
        case ast.NamedExpr():
            return [node.value, node.target], []
        case ast.For() | ast.AsyncFor():
            return [node.iter, node.target, *node.body, *node.orelse], []
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [*node.decorator_list, *_defaults(node.args)], []
        case ast.Lambda():
            return _defaults(node.args), []
        case ast.ClassDef():
            return [*node.decorator_list, *node.bases, *node.keywords], [*node.body]
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            return [], [*node.generators, node.elt]
        case ast.DictComp():
            return [], [*node.generators, node.key, node.value]
        case ast.comprehension():
            return [node.iter, node.target, *node.ifs], []
        case _:
            return [*ast.iter_child_nodes(node)], []


def _defaults(arguments: ast.arguments) -> list[ast.AST]:
    return [default for default in [*arguments.defaults, *arguments.kw_defaults] if default]


def _names(node: ast.AST) -> list[str]:
    """Return the names that a node binds otherwise than by an `ast.Name`."""
    match node:
        case ast.Import() | ast.ImportFrom():
            return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar():
            return [node.name] if node.name else []
        case ast.MatchMapping():
            return [node.rest] if node.rest else []
        case _:
            return []
