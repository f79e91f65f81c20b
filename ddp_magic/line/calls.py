"""The calls in the cell, each with what its function is called there; runs in the kernel."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Call", "find_calls", "path_of"]

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the cell.

    Attributes:
        number: Which of the tree's calls it is, in the order of `ast.walk`. Positions do not tell:
            two calls in one f-string have the same ones up to Python 3.11.
        node: The call.
        path: Its function as an override writes it: ``Trainer``, ``model.train``; empty where it
            cannot be written.
        local: Names that mean something of their own here: of a function or comprehension around.
    """

    number: int
    node: ast.Call
    path: str
    local: frozenset[str]


def find_calls(tree: ast.Module) -> list[Call]:
    """Return all calls in the order of the text, those in nested functions included."""
    walked = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    numbers = {node: number for number, node in enumerate(walked)}
    found = [
        Call(number=numbers[node], node=node, path=path_of(node.func), local=local)
        for node, local in _calls(tree, frozenset())
    ]
    return sorted(found, key=lambda c: (c.node.lineno, c.node.col_offset, c.number))


def path_of(function: ast.expr) -> str:
    """Return a function's text without arguments and subscripts.

    >>> path_of(ast.parse("Trainer(cfg).runs[0].train", mode="eval").body)
    'Trainer.runs.train'
    """
    match function:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            base = path_of(value)
            return f"{base}.{attribute}" if base else ""
        case ast.Call(func=inner) | ast.Subscript(value=inner) | ast.Await(value=inner):
            return path_of(inner)
        case _:
            return ""


def _calls(node: ast.AST, local: frozenset[str]) -> Iterator[tuple[ast.Call, frozenset[str]]]:
    if isinstance(node, ast.Call):
        yield node, local
    outside, inside, own = _parts(node)
    for child in outside:
        yield from _calls(child, local)
    for child in inside:
        yield from _calls(child, local | own)


def _parts(node: ast.AST) -> tuple[list[ast.AST], list[ast.AST], frozenset[str]]:
    """Return children that see the names around the node, those that see its own too, and these."""
    if isinstance(node, _FUNCTIONS):
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        children = [child for child in ast.iter_child_nodes(node) if child not in body]
        return children, [*body], _own(node, body)
    if isinstance(node, _COMPREHENSIONS):
        first = node.generators[0].iter
        targets = [generator.target for generator in node.generators]
        return [first], _within(node, first), frozenset(_stored(targets))
    return [*ast.iter_child_nodes(node)], [], frozenset()


def _within(node: _Comprehension, first: ast.expr) -> list[ast.AST]:
    made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    parts = [part for g in node.generators for part in (g.iter, *g.ifs) if part is not first]
    return [*parts, *made]


def _own(node: _Function, body: Iterable[ast.AST]) -> frozenset[str]:
    """Return a function's local names: its parameters, and what it binds without ``global``."""
    arguments = [part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)]
    shared = {
        name
        for part in ast.walk(node)
        if isinstance(part, (ast.Global, ast.Nonlocal))
        for name in part.names
    }
    return frozenset(arguments) | (frozenset(_stored(body)) - shared)


def _stored(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names that the nodes bind, without those of functions and classes inside."""
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Import() | ast.ImportFrom():
                yield from (a.asname or a.name.partition(".")[0] for a in node.names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name
            case _:
                pass
        if not isinstance(node, _SCOPES):
            yield from _stored(ast.iter_child_nodes(node))
