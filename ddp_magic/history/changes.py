"""Runs in the kernel: what is different between the code of two runs, definition by definition.

The order of definitions in a generated module, the cells that they stood in and what the module
does to load them are no changes of the program.
"""

from __future__ import annotations

import ast
import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ddp_magic.collect.texts import first_line, parse

if TYPE_CHECKING:
    from ddp_magic.history.records import RunRecord

__all__ = ["Change", "changes", "definitions"]

_OURS = re.compile(r'__import__\("ddp_magic\.[\w.]+", fromlist=\["\w+"\]\)\.')
_LOADED = re.compile(r"# (.+?)(?:, Cell In\[\d+\])?")
_INNER = re.compile(r"(begin|keep|finish|main)\(|.*\btake\(\"override ")
_IMPORTS = "imports"
_LINES = 4000
"""Longer texts are not compared line by line: that takes a time that grows with the square."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One definition that is not the same in both.

    Attributes:
        name: What is defined: ``Trainer``; ``the cell`` for the body.
        kind: What happened to it.
        lines: A unified diff without its heads.
    """

    name: str
    kind: Literal["changed", "added", "removed"]
    lines: tuple[str, ...]


def changes(old: RunRecord, new: RunRecord) -> list[Change]:
    """Return the definitions that differ, the cell itself first."""
    before = {"the cell": old.body.strip("\n")} | definitions(old.module)
    after = {"the cell": new.body.strip("\n")} | definitions(new.module)
    found: list[Change] = []
    for name in dict.fromkeys([*before, *after]):
        a, b = before.get(name, ""), after.get(name, "")
        if a != b:
            kind = "changed" if a and b else "removed" if a else "added"
            found.append(Change(name=name, kind=kind, lines=_diff(a, b)))
    return found


def definitions(module: str) -> dict[str, str]:
    """Return the text of each definition by its name; of a text that is cut, the whole."""
    try:
        tree = parse(module)
    except (RecursionError, MemoryError):
        tree = None
    if tree is None:
        return {"the module": module}
    lines = module.split("\n")
    found: dict[str, str] = {}
    for node in tree.body:
        first = first_line(node)
        text = "\n".join(lines[first - 1 : node.end_lineno])
        ours = _OURS.search(text) is not None
        text = _OURS.sub("", text)
        if isinstance(node, ast.If) or (ours and _INNER.match(text)):
            continue
        if ours and (above := _LOADED.fullmatch(lines[first - 2])):
            text += f"  # {above[1]}"
        name = _name(node, text)
        found[name] = f"{found[name]}\n{text}" if name in found else text
    if _IMPORTS in found:
        found[_IMPORTS] = "\n".join(sorted(found[_IMPORTS].split("\n")))
    return found


def _name(node: ast.stmt, text: str) -> str:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return node.name
        case ast.Import() | ast.ImportFrom():
            return _IMPORTS
        case ast.Assign():
            return ", ".join(map(ast.unparse, node.targets))
        case _:
            return text.partition("\n")[0][:80]


def _diff(old: str, new: str) -> tuple[str, ...]:
    before, after = old.splitlines(), new.splitlines()
    if len(before) + len(after) > _LINES:
        return (f"@@ {len(before)} lines, now {len(after)}: too many to compare @@",)
    return tuple(difflib.unified_diff(before, after, lineterm="", n=3))[2:]
