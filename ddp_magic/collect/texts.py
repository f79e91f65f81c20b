"""The text of what ran in the notebook, by code object; runs in the kernel.

IPython and ipykernel put every executed cell into `linecache` under the file name that its code
has. That is what ran: never the .ipynb, whose cells may have been edited or deleted since.
"""

from __future__ import annotations

import ast
import functools
import linecache
import warnings
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

from ddp_magic.collect import code as codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddp_magic.collect.notebook import Notebook

__all__ = ["CellText", "FunctionNode", "Texts", "first_line", "methods", "parse", "unwrapped"]

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class CellText:
    """One executed cell.

    Attributes:
        label: As ``Cell In[3]``.
        lines: Its lines, each with its newline.
        tree: What they parse to.
        code: All code objects that compiling it gives today.
    """

    label: str
    lines: tuple[str, ...]
    tree: ast.Module
    code: frozenset[CodeType]

    def text(self, node: ast.stmt) -> str | None:
        """Return the lines of a statement; None if it does not begin its line."""
        if node.col_offset:
            return None
        return "".join(self.lines[first_line(node) - 1 : node.end_lineno])


class Texts:
    """Finds cells by the file names of their code, and names them for people."""

    def __init__(self, notebook: Notebook, flags: int) -> None:
        self._notebook = notebook
        self._flags = flags
        self._cells: dict[str, CellText | None] = {}
        self._labels: dict[str, str] = {}
        self._taken: set[str] = set()

    def label(self, filename: str) -> str:
        """Return the cell's name, or the file name where it is no cell's.

        Two silent cells may have one number; each keeps a name of its own.
        """
        if filename not in self._labels:
            plain = label = self._notebook.label(filename) or filename
            count = 1
            while label in self._taken:
                count += 1
                label = f"{plain} ({count})"
            self._taken.add(label)
            self._labels[filename] = label
        return self._labels[filename]

    @property
    def filenames(self) -> dict[str, str]:
        """The file name of each cell's label given so far."""
        return {label: name for name, label in self._labels.items() if label != name}

    def all(self) -> Iterator[tuple[str, str]]:
        """Yield label and text of every cell that ran."""
        for filename, text in self._all():
            yield self.label(filename), text

    def _all(self) -> Iterator[tuple[str, str]]:
        for filename, entry in list(linecache.cache.items()):
            if len(entry) == 4 and entry[1] is None and self._notebook.label(filename):
                yield filename, "".join(entry[2])

    def cell(self, filename: str) -> CellText | None:
        """Return the cell behind a code object's file name."""
        if filename not in self._cells:
            entry = linecache.cache.get(filename)
            lines = tuple(entry[2]) if entry and len(entry) == 4 and entry[1] is None else ()
            self._cells[filename] = self._compiled(filename, lines) if lines else None
        return self._cells[filename]

    def _compiled(self, filename: str, lines: tuple[str, ...]) -> CellText | None:
        text = "".join(lines)
        tree = parse(text)
        if tree is None:
            return None
        flags = self._flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        with warnings.catch_warnings(action="ignore"):
            code = compile(text, filename, "exec", flags, dont_inherit=True)
        return CellText(
            label=self.label(filename),
            lines=lines,
            tree=tree,
            code=frozenset(codes.nested(code)),
        )

    def function(self, func: FunctionType) -> tuple[CellText, FunctionNode] | None:
        """Return the top-level statement that provably made a function."""
        cell = self.cell(func.__code__.co_filename)
        if cell is None or func.__code__ not in cell.code:
            return None
        hits = [
            node
            for node in cell.tree.body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.name == func.__code__.co_name
            and first_line(node) == func.__code__.co_firstlineno
        ]
        return (cell, hits[0]) if len(hits) == 1 else None

    def definition(self, code: CodeType) -> tuple[CellText, FunctionNode] | None:
        """Return the ``def`` at any depth that begins where the code does."""
        cell = self.cell(code.co_filename)
        for node in ast.walk(cell.tree) if cell else ():
            if (
                isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
                and first_line(node) == code.co_firstlineno
                and node.name == code.co_name
            ):
                assert cell is not None
                return cell, node
        return None

    def class_statement(self, cls: type) -> tuple[CellText, ast.ClassDef] | None:
        """Return the statement that seems to have made a class; its members prove it or not.

        A class without methods of its own says nothing of where it was made: then it is the last
        class statement of that name.
        """
        for func in methods(cls):
            cell = self.cell(func.__code__.co_filename)
            for node in _class_statements(cell, cls.__name__):
                if first_line(node) <= func.__code__.co_firstlineno <= (node.end_lineno or 0):
                    assert cell is not None
                    return cell, node
        if any(self.cell(func.__code__.co_filename) for func in methods(cls)):
            return None
        for filename in reversed([name for name, _ in self._all()]):
            cell = self.cell(filename)
            for node in _class_statements(cell, cls.__name__):
                assert cell is not None
                return cell, node
        return None

    def lines(self, code: CodeType) -> dict[int, str]:
        """Return the cell's lines that the code stands on, and no others."""
        cell = self.cell(code.co_filename)
        if cell is None:
            return {}
        found = self.definition(code)
        numbers = (n for part in codes.nested(code) for _, _, n in part.co_lines() if n)
        last = found[1].end_lineno if found else max(numbers, default=code.co_firstlineno)
        first = code.co_firstlineno
        return dict(enumerate(cell.lines[first - 1 : last], first))


def _class_statements(cell: CellText | None, name: str) -> list[ast.ClassDef]:
    body = cell.tree.body if cell else []
    return [node for node in body if isinstance(node, ast.ClassDef) and node.name == name][::-1]


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> ast.Module | None:
    """Parse a cell's text, top-level ``await`` allowed; None if it does not parse."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        with warnings.catch_warnings(action="ignore"):
            return compile(text, "<cell>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError):
        return None


def first_line(node: ast.stmt) -> int:
    """Return the first line of a statement, its decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def methods(cls: type) -> Iterator[FunctionType]:
    """Yield the functions in a class's own dict, without their decorators."""
    for value in vars(cls).values():
        yield from unwrapped(value)


def unwrapped(value: Any) -> list[FunctionType]:
    """Return the functions behind a method, property or wrapper."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, property):
        accessors = (value.fget, value.fset, value.fdel)
        return [f for f in accessors if isinstance(f, FunctionType)]
    found: list[FunctionType] = []
    while isinstance(value, FunctionType) and value not in found:
        found.append(value)
        value = getattr(value, "__wrapped__", None)
    return found[-1:]
