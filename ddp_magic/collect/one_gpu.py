"""What puts every rank on one GPU: a device's number in a value or in text; runs in the kernel.

Reads text roughly and for a note only: what just one rank does, and what only compares, is left
out.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ddp_magic.collect.cells import Cells
    from ddp_magic.collect.definitions import Definitions

__all__ = ["Place", "lines_naming_one", "named_one", "places"]

Place: TypeAlias = tuple[str, ast.AST, "frozenset[int] | None"]
"""A cell's label, its tree, and the lines that are reached (None for all)."""

_ONE_GPU = re.compile(r"cuda:\d+")
_FIXING = re.compile(r"cuda:\d|device_ids|\b(?:set_device|cuda|to)\(\d")


def named_one(obj: Any) -> str:
    """Return the one GPU that a string or a `torch.device` names, or an empty text."""
    if type(obj) is str:
        return obj if _ONE_GPU.fullmatch(obj) else ""
    kind = type(obj)
    if kind.__module__ == "torch" and kind.__name__ == "device":
        return str(obj) if obj.type == "cuda" and obj.index is not None else ""
    return ""


def places(definitions: Definitions, cells: Cells) -> Iterator[Place]:
    """Yield the cells behind what was collected, if a GPU's number may stand in them."""
    for label, lines in sorted(definitions.texts.items()):
        filename = definitions.filenames.get(label)
        if filename and any(map(_FIXING.search, lines.values())):
            cell = cells.cell(filename, definitions.flags)
            if cell:
                yield label, cell.tree, frozenset(lines)


def lines_naming_one(place: Place) -> Iterator[str]:
    """Yield a phrase for each reached line of a cell that names a GPU by its number."""
    label, tree, lines = place
    for line, what in _fixed(tree):
        if lines is None or line in lines:
            yield f"{what} stands in {label}, line {line}"


def _fixed(tree: ast.AST) -> list[tuple[int, str]]:
    """Return line and text of what names a GPU by its number, if every rank comes by."""
    found: list[tuple[int, str]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        found += _fixed_here(node)
        waiting += _passed_by_all(node)
    return sorted(found)


def _fixed_here(node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Constant(value=str(text)) if _ONE_GPU.fullmatch(text):
            yield node.lineno, f'"{text}"'
        case ast.Call(func=ast.Attribute(attr="set_device" | "cuda" | "to" as name)):
            match node.args:
                case [ast.Constant(value=int(number)), *_] if type(number) is int:
                    yield node.lineno, f"{name}({number})"
                case _:
                    pass
        case ast.keyword(arg="device_ids", value=ast.List(elts=[ast.Constant(value=int(number))])):
            yield node.value.lineno, f"device_ids=[{number}]"
        case _:
            pass


def _passed_by_all(node: ast.AST) -> Iterable[ast.AST]:
    """Return the parts of a node, without what only some rank does, keys and comparisons."""
    match node:
        case ast.Compare():
            return ()
        case ast.Dict(values=values):
            return values  # map_location={"cuda:0": f"cuda:{rank}"}
        case ast.If(test=test) | ast.IfExp(test=test) if "rank" in ast.unparse(test).lower():
            return ()
        case _:
            return ast.iter_child_nodes(node)
