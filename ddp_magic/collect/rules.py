"""What the cell must not do because the launcher has done it; runs in the kernel.

Looks at text, and errs on the side of letting a cell run.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ddp_magic.collect.code import facts
from ddp_magic.errors import CollectError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import CodeType

    from ddp_magic.collect.texts import Texts

__all__ = ["group_made", "refuse_addresses", "refuse_reached", "refuse_second_group"]

_ADDRESSES = ("MASTER_ADDR", "MASTER_PORT")
_SPAWNS = frozenset({"spawn", "start_processes"})  # of torch.multiprocessing
_WORDS = frozenset({*_ADDRESSES, "tcp"})  # "tcp://host:29500" is an address too


def refuse_addresses(tree: ast.AST, where: str, shift: int = 0) -> None:
    """Refuse code that sets the address which the launcher has given to the workers.

    Args:
        tree: The body or a function that it reaches.
        where: Whose it is, for the message: ``The cell`` or ``setup() in Cell In[3]``.
        shift: What to add to the tree's line numbers.

    Raises:
        CollectError: It does.
    """
    for name, line in _addresses(tree):
        raise CollectError(
            f"{where} sets {name} (line {line + shift}), which the workers have got from their "
            "launcher. Remove that; init_process_group() then finds the other workers by itself."
        )


def _addresses(node: ast.AST) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "MASTER_" in ast.unparse(child.test):
            continue  # "if it is not set yet" is harmless
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue  # each function that is reached is looked at by itself
        yield from _set_here(child)
        yield from _addresses(child)


def _set_here(node: ast.AST) -> Iterator[tuple[str, int]]:
    match node:
        case ast.Assign(targets=targets):
            for target in targets:
                match target:
                    case ast.Subscript(value=holder, slice=ast.Constant(value=str(name))) if (
                        name in _ADDRESSES and _is_environ(holder)
                    ):
                        yield name, node.lineno
                    case _:
                        pass
        case ast.Call(func=ast.Attribute(value=holder, attr="update")) if _is_environ(holder):
            yield from ((n, node.lineno) for n in _updated(node) if n in _ADDRESSES)
        case ast.Call(
            func=ast.Attribute(attr="putenv") | ast.Name(id="putenv"),
            args=[ast.Constant(value=str(name)), *_],
        ) if name in _ADDRESSES:
            yield name, node.lineno
        case ast.Call(keywords=keywords) if any(_is_tcp(keyword) for keyword in keywords):
            # every worker would wait for somebody to open a store there: pytorch's workers of
            # torchrun are clients only
            yield "init_method", node.lineno
        case _:
            pass


def _is_tcp(keyword: ast.keyword) -> bool:
    value = keyword.value
    if isinstance(value, ast.JoinedStr) and value.values:
        value = value.values[0]
    text = value.value if isinstance(value, ast.Constant) else None
    return keyword.arg == "init_method" and isinstance(text, str) and text.startswith("tcp://")


def _updated(call: ast.Call) -> Iterator[str]:
    yield from (keyword.arg for keyword in call.keywords if keyword.arg)
    for argument in call.args:
        match argument:
            case ast.Dict(keys=keys):
                yield from (str(k.value) for k in keys if isinstance(k, ast.Constant))
            case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
                yield from (keyword.arg for keyword in keywords if keyword.arg)
            case _:
                pass


def _is_environ(node: ast.expr) -> bool:
    return ast.unparse(node) in ("os.environ", "environ")


def refuse_reached(
    body: ast.Module, seen: Collection[CodeType], called: Collection[str], texts: Texts
) -> None:
    """Refuse the cell or a function that does what the launcher has done, if it may be called.

    Args:
        body: The cell's.
        seen: The body's code and that of all functions that it reaches.
        called: All names in that code.
        texts: Of the notebook.

    Raises:
        CollectError: There is one.
    """
    joins = "init_process_group" in called
    if joins:
        _refuse_spawns(body, "The cell")
    for code in seen:
        said = facts(code)
        spawns = joins and not said.names.isdisjoint(_SPAWNS)
        if not spawns and said.words.isdisjoint(_WORDS):
            continue
        found = texts.definition(code)
        if found and (code.co_name in called or code.co_name.startswith("__")):
            cell, node = found
            where = f"{code.co_name}() in {cell.label}"
            for statement in node.body:
                refuse_addresses(statement, where)
            if spawns:
                _refuse_spawns(node, where)


def _refuse_spawns(tree: ast.AST, where: str) -> None:
    """Refuse torch's own way to start ranks, in code that makes a process group.

    In each worker it would start as many processes again, which take part in the wrong group: they
    hang, or each worker trains a model of its own.
    """
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
        called = ast.unparse(call.func)
        given = {keyword.arg for keyword in call.keywords}
        if called.rpartition(".")[2] in _SPAWNS and given & {"args", "nprocs"}:
            raise CollectError(
                f"{where} calls {called}() (line {call.lineno}), which starts processes of its "
                "own, and %%ddp has started the workers already. Call "
                f"{ast.unparse(call.args[0])}() itself there, with int(os.environ['RANK']) for its "
                "rank."
            )


def refuse_second_group(tree: ast.Module) -> None:
    """Refuse a second ``init_process_group`` in code that certainly runs after the first.

    Raises:
        CollectError: There is one.
    """
    first: int | None = None
    for statement in _straight_line(tree.body):
        for call in _calls(statement):
            name = ast.unparse(call.func).rpartition(".")[2]
            if name == "destroy_process_group":
                first = None
            elif name == "init_process_group" and first is not None:
                raise CollectError(
                    f"The cell calls init_process_group() in line {first} and again in line "
                    f"{call.lineno}, and a worker can be in one default group only. Remove one, "
                    "or call destroy_process_group() between them."
                )
            elif name == "init_process_group":
                first = call.lineno


def group_made(tree: ast.Module) -> int | None:
    """Return the line of an ``init_process_group`` that certainly runs, None if there is none."""
    calls = (call for statement in _straight_line(tree.body) for call in _calls(statement))
    named = (call.lineno for call in calls if "init_process_group" in ast.unparse(call.func))
    return next(named, None)


def _straight_line(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, (ast.With, ast.Try)):
            yield from _straight_line(statement.body)
            if isinstance(statement, ast.Try):
                yield from _straight_line(statement.finalbody)
        elif isinstance(statement, (ast.Expr, ast.Assign, ast.AnnAssign)):
            yield statement


def _calls(statement: ast.stmt) -> list[ast.Call]:
    found = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return sorted(found, key=lambda call: (call.lineno, call.col_offset))
