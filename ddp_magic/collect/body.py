"""The cell's body: parsed, compiled, refused where workers cannot run it; runs in the kernel."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddp_magic.collect import code as codes
from ddp_magic.collect.binding import reads_unbound
from ddp_magic.collect.texts import parse
from ddp_magic.errors import CollectError
from ddp_magic.futures import future_flags, futures_first

if TYPE_CHECKING:
    from types import CodeType, FunctionType

    from ddp_magic.collect.notebook import Cell, Notebook

__all__ = ["Body", "read_body"]

_MAGICS = frozenset(
    {"run_line_magic", "run_cell_magic", "system", "getoutput", "magic", "set_next_input"}
)


@dataclass(frozen=True, kw_only=True)
class Body:
    """What stands below the %%ddp line.

    Attributes:
        text: As the worker compiles it: the cell's own text, lines and all.
        tree: Parsed; line numbers are the cell's.
        code: Compiled.
        called: Functions of the notebook that run with it, whose calls do not stand in the tree.
    """

    text: str
    tree: ast.Module
    code: CodeType
    called: tuple[FunctionType, ...] = ()

    @property
    def reads(self) -> set[str]:
        """Names of the notebook that it reads before it certainly binds them."""
        return reads_unbound(self.tree) & codes.reads(self.code)

    @property
    def stores(self) -> set[str]:
        """Names that it binds."""
        return set(codes.facts(self.code).stores)


def read_body(cell: Cell, notebook: Notebook) -> Body:
    """Parse and check the cell's body.

    Raises:
        SyntaxError: It is not Python; with the cell's name and line numbers.
        CollectError: It has what only a notebook can run, or nothing.
    """
    text = cell.headed(_python(cell, notebook))
    shift = cell.begins - 1
    flags = future_flags(notebook.flags) | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = compile(text, cell.label, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    except SyntaxError as error:
        raise _in_cell(error, cell, shift) from None
    ast.increment_lineno(tree, shift)
    if cell.head:
        futures_first(tree)
    try:
        code = compile(tree, cell.label, "exec", flags, dont_inherit=True)
    except SyntaxError as error:
        raise _in_cell(error, cell, 0) from None
    if not tree.body:
        raise CollectError(
            "There is nothing to run below the %%ddp line. Write the training call there."
        )
    _refuse_input(tree, notebook)
    return Body(text=text, tree=tree, code=code, called=cell.called)


def _python(cell: Cell, notebook: Notebook) -> str:
    """Return the body's text, or what IPython makes of it where that means something else."""
    raw, made = parse(cell.body), notebook.transform(cell.body)
    tree = parse(made)
    blank = len(cell.body) - len(cell.body.lstrip("\n"))
    for call in ast.walk(tree) if tree else ():
        if isinstance(call, ast.Call) and _is_magic(call):
            _refuse_magic(cell, call.lineno + (blank if raw is None else 0))
    same = made.strip() == cell.body.strip()
    if raw and tree and (same or ast.dump(raw) == ast.dump(tree)):
        return cell.body
    if tree is None or raw is not None:
        return cell.body if tree is None else made
    return "\n" * blank + made  # IPython drops blank lines above the first statement


def _is_magic(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=attr):
            return attr in _MAGICS
        case _:
            return False


def _refuse_magic(cell: Cell, number: int) -> None:
    lines = cell.body.split("\n")
    line = lines[number - 1].strip() if number <= len(lines) else ""
    where = f"line {number + cell.first_line - 1}"
    if "%%ddp" in line or line.startswith("%ddp"):
        raise CollectError(
            f"A %%ddp cell cannot hold another one ({where}: {line}). Give it a cell of its own."
        )
    raise CollectError(
        f"{line} ({where}) is an IPython line, and workers are plain Python. "
        "Move it to a cell above this one."
    )


def _refuse_input(tree: ast.Module, notebook: Notebook) -> None:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="input")) if "input" not in notebook.user_ns:
                raise CollectError(
                    f"The cell calls input() in line {node.lineno}, and workers have no "
                    "keyboard. Ask in a cell above this one and use the answer here."
                )
            case _:
                pass


def _in_cell(error: SyntaxError, cell: Cell, shift: int) -> SyntaxError:
    """Return the error with the cell's name and line numbers, and with the line's text."""
    error.filename = cell.label
    if error.lineno is not None:
        error.lineno += shift
    if error.end_lineno is not None:
        error.end_lineno += shift
    if error.text is None and error.lineno is not None:
        error.text = dict(enumerate(cell.body.split("\n"), cell.first_line)).get(error.lineno)
    error.args = (
        error.msg,
        (
            error.filename,
            error.lineno,
            error.offset,
            error.text,
            error.end_lineno,
            error.end_offset,
        ),
    )
    return error
