"""Overridden arguments in the body's calls; runs in every worker."""

from __future__ import annotations

import ast
from typing import TypedDict

__all__ = ["Argument", "put"]


class _Call(TypedDict):
    number: int
    position: int | None
    inside: str


class Argument(TypedDict):
    """An override as `script` has written it."""

    key: str
    name: str
    calls: list[_Call]


def put(tree: ast.Module, arguments: list[Argument]) -> None:
    """Replace or add the arguments in the tree, whose calls are counted as the kernel has done."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for argument in arguments:
        for site in argument["calls"]:
            call = calls[site["number"]]
            if site["inside"]:
                _put_inside(call, argument["key"], argument["name"], site["inside"])
            else:
                _put(call, argument["key"], argument["name"], site["position"])


def _put(call: ast.Call, key: str, name: str, position: int | None) -> None:
    if position is not None:
        call.args[position] = _value(key, call.args[position])
        return
    for keyword in call.keywords:
        if keyword.arg == name:
            keyword.value = _value(key, keyword.value)
            return
    added = ast.keyword(arg=name, value=_value(key, call.func))
    call.keywords.append(ast.copy_location(added, call.func))


def _put_inside(call: ast.Call, key: str, name: str, holder: str) -> None:
    """Add an entry to the dict that stands behind a keyword; the last one of a name counts."""
    (held,) = (k.value for k in call.keywords if k.arg == holder and isinstance(k.value, ast.Dict))
    held.keys.append(ast.copy_location(ast.Constant(name), held))
    held.values.append(_value(key, held))


def _value(key: str, place: ast.expr) -> ast.expr:
    """Return a call that gives the value, located like what it replaces."""
    text = f'__import__("ddp_magic.worker.values", fromlist=["argument"]).argument({key!r})'
    value = ast.parse(text, mode="eval").body
    for node in ast.walk(value):
        ast.copy_location(node, place)
    return value
