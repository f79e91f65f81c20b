"""Makes a notebook that fails smaller, as long as it fails in the same way."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.generated.notebook import Notebook

__all__ = ["shrink"]

_FIELDS = ("decorator_list", "bases", "keywords", "elts", "args", "targets", "names", "handlers")


def shrink(notebook: Notebook, fails: Callable[[Notebook], bool], tries: int = 600) -> Notebook:
    """Return a small notebook that still fails.

    Args:
        notebook: One that fails.
        fails: Whether another one fails in the same way.
        tries: How many are tried at most.
    """
    seen: set[str] = set()
    left = tries
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(notebook):
            if smaller.text in seen:
                continue
            seen.add(smaller.text)
            left -= 1
            if left < 0:
                return notebook
            if fails(smaller):
                notebook, progress = smaller, True
                break
    return notebook


def _smaller(notebook: Notebook) -> Iterator[Notebook]:
    if notebook.overrides:
        yield replace(notebook, overrides=())
    count = len(notebook.cells)
    for size in sorted({count // 2, 3, 1}, reverse=True):
        for number in range(0, count - size + 1, max(size, 1)):
            rest = notebook.cells[:number] + notebook.cells[number + size :]
            yield replace(notebook, cells=rest)
    for number, cell in reversed(list(enumerate(notebook.cells))):
        for text in _smaller_texts(cell):
            cells = (*notebook.cells[:number], text, *notebook.cells[number + 1 :])
            yield replace(notebook, cells=cells)
    for text in _smaller_texts(notebook.body):
        yield replace(notebook, body=text)


def _smaller_texts(text: str) -> Iterator[str]:
    magic, newline, rest = text.partition("\n") if text.startswith("%%") else ("", "", text)
    head = magic + newline
    if magic:
        yield rest
    try:
        tree = ast.parse(rest)
    except SyntaxError:
        yield from _without_lines(text)
        return
    lines = rest.split("\n")
    for first, last, filler in _statements(tree):
        yield head + "\n".join([*lines[: first - 1], *filler, *lines[last:]])
    yield from (head + smaller for smaller in _simpler(rest))


def _without_lines(text: str) -> Iterator[str]:
    lines = text.split("\n")
    for number in range(len(lines)):
        yield "\n".join(lines[:number] + lines[number + 1 :])


def _statements(tree: ast.Module) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the lines of statements, outer ones first, and what may stand in their place."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if not isinstance(block, list):
                continue
            for statement in block:
                decorators = getattr(statement, "decorator_list", [])
                first = min([statement.lineno, *(d.lineno for d in decorators)])
                needed = len(block) == 1 and not isinstance(node, ast.Module)
                if needed and isinstance(statement, ast.Pass):
                    continue
                filler = [" " * statement.col_offset + "pass"] if needed else []
                yield first, statement.end_lineno or first, filler


def _simpler(text: str) -> Iterator[str]:
    """Yield the text with one element of an expression less, or an expression as a number."""
    count = sum(1 for _ in _edits(ast.parse(text)))
    for number in range(count):
        tree = ast.parse(text)
        for index, edit in enumerate(_edits(tree)):
            if index == number:
                edit()
                break
        try:
            changed = ast.unparse(tree)
            ast.parse(changed)
        except (SyntaxError, ValueError, TypeError, IndexError):
            continue
        if changed != ast.unparse(ast.parse(text)) and len(changed) <= len(text):
            yield changed


def _edits(tree: ast.Module) -> Iterator[Callable[[], object]]:
    for node in list(ast.walk(tree)):
        for name in _FIELDS:
            items = getattr(node, name, None)
            if isinstance(items, list) and items:
                for index in range(len(items)):
                    yield lambda items=items, index=index: items.pop(index)
        if isinstance(node, (ast.Return, ast.Assign)) and not isinstance(node.value, ast.Constant):
            yield lambda node=node: setattr(node, "value", ast.Constant(0))
