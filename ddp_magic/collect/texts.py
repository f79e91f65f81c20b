"""The text of what ran in the notebook, by code object; runs in the kernel."""

from __future__ import annotations

import ast
import functools
import warnings
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

from ddp_magic.collect import code as codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddp_magic.collect.cells import Cells
    from ddp_magic.collect.notebook import Notebook

__all__ = ["CellText", "FunctionNode", "Texts", "first_line", "methods", "parse", "unwrapped"]

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(kw_only=True)
class CellText:
    """One executed cell; what is asked of it is worked out once.

    Attributes:
        filename: The file name of its code.
        text: Its text.
        tree: What that parses to.
        compiled: What compiling it gives today, statement by statement.
        label: As ``Cell In[3]``: of its last run, as far as is known in this one.
    """

    filename: str
    text: str
    tree: ast.Module
    compiled: tuple[CodeType, ...]
    label: str = ""

    @functools.cached_property
    def lines(self) -> list[str]:
        """Its lines, each with its newline."""
        return self.text.splitlines(keepends=True)

    @functools.cached_property
    def code(self) -> frozenset[CodeType]:
        """All code objects in it."""
        return frozenset(part for code in self.compiled for part in codes.nested(code))

    @functools.cached_property
    def statements(self) -> dict[tuple[str, int], list[ast.stmt]]:
        """The top-level definitions, by name and first line."""
        found: dict[tuple[str, int], list[ast.stmt]] = {}
        for node in self.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.setdefault((node.name, first_line(node)), []).append(node)
        return found

    @functools.cached_property
    def functions(self) -> dict[tuple[str, int], FunctionNode]:
        """The functions at any depth, by name and first line."""
        return {
            (node.name, first_line(node)): node
            for node in ast.walk(self.tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }

    def classes(self, name: str) -> list[ast.ClassDef]:
        """Return the top-level classes of a name, the last one first."""
        found = (node for node in self.tree.body if isinstance(node, ast.ClassDef))
        return [node for node in found if node.name == name][::-1]

    def definition(self, node: ast.stmt) -> str | None:
        """Return the lines of a statement; None if it does not begin its line."""
        if node.col_offset:
            return None
        return "".join(self.lines[first_line(node) - 1 : node.end_lineno])


class Texts:
    """Finds cells by the file names of their code, and names them for people; for one run.

    Args:
        notebook: The live shell.
        flags: The session's ``__future__`` flags.
        cells: What ran.
    """

    def __init__(self, notebook: Notebook, flags: int, cells: Cells) -> None:
        self._notebook = notebook
        self.flags = flags
        self._cells = cells
        self._labels: dict[str, str] = {}
        self._taken: set[str] = set()
        cells.update()

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
        for filename, text in self._cells.all():
            yield self.label(filename), text

    def cell(self, filename: str) -> CellText | None:
        """Return the cell behind a code object's file name."""
        found = self._cells.cell(filename, self.flags)
        if found is not None:
            found.label = self.label(filename)
        return found

    def function(self, func: FunctionType) -> tuple[CellText, FunctionNode] | None:
        """Return the top-level statement that provably made a function."""
        code = func.__code__
        cell = self.cell(code.co_filename)
        if cell is None or code not in cell.code:
            return None
        hits = cell.statements.get((code.co_name, code.co_firstlineno), [])
        node = hits[0] if len(hits) == 1 else None
        known = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        return (cell, node) if known else None

    def definition(self, code: CodeType) -> tuple[CellText, FunctionNode] | None:
        """Return the ``def`` at any depth that begins where the code does."""
        cell = self.cell(code.co_filename)
        node = cell.functions.get((code.co_name, code.co_firstlineno)) if cell else None
        return (cell, node) if cell and node else None

    def class_statement(self, cls: type) -> tuple[CellText, ast.ClassDef] | None:
        """Return the statement that seems to have made a class; its members prove it or not.

        A class without methods of its own says nothing of where it was made: then it is the last
        class statement of that name.
        """
        known = False
        for func in methods(cls):
            cell, line = self.cell(func.__code__.co_filename), func.__code__.co_firstlineno
            known |= cell is not None
            for node in cell.classes(cls.__name__) if cell else ():
                if first_line(node) <= line <= (node.end_lineno or 0):
                    assert cell is not None
                    return cell, node
        if known:
            return None
        for filename, text in reversed(list(self._cells.all())):
            cell = self.cell(filename) if cls.__name__ in text else None
            for node in cell.classes(cls.__name__) if cell else ():
                assert cell is not None
                return cell, node
        return None

    def span(self, code: CodeType) -> range:
        """Return the numbers of the cell's lines that the code stands on."""
        found = self.definition(code)
        last = found[1].end_lineno if found else None
        if last is None:
            numbers = (n for part in codes.nested(code) for _, _, n in part.co_lines() if n)
            last = max(numbers, default=code.co_firstlineno)
        return range(code.co_firstlineno, last + 1)


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
    if type(value) is FunctionType and not value.__dict__:
        return [value]
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
