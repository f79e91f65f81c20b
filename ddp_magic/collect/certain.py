"""Which names a body is sure to read, those in the notebook's functions included; runs in kernel.

What cannot be sent and is read for sure is refused before anything starts. Sure is what runs
whenever the cell runs to its end: no branch, nothing that an ``except`` may catch, nothing behind
a way out. A loop counts as run.
"""

from __future__ import annotations

import abc
import ast
import contextlib
import inspect
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

from ddp_magic.collect.code import facts
from ddp_magic.collect.framework_calls import FrameworkCalls
from ddp_magic.errors import CollectError
from ddp_magic.line.callees import Callees
from ddp_magic.line.calls import Call

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from ddp_magic.collect.body import Body
    from ddp_magic.collect.emit import Emitter
    from ddp_magic.collect.texts import Texts

__all__ = ["refuse", "sure"]

Space: TypeAlias = "dict[str, Any]"
_WAYS_OUT = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_NOT_YET = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
"""Calling these runs none of their code."""
_SKIPPED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.GeneratorExp)


def refuse(
    emitter: Emitter, reads: Collection[str], body: Body, seen: Collection[CodeType], texts: Texts
) -> None:
    """Refuse what cannot be sent, if the body reads it or calls what is sure to read it.

    Args:
        emitter: What could not be sent.
        reads: The notebook's names that the body reads.
        body: The cell's body.
        seen: All code that the workers get.
        texts: The notebook's cells.

    Raises:
        CollectError: There is any; all are named.
    """
    failures = emitter.failures
    failed = [failures[name] for name in sorted(failures.keys() & set(reads))]
    if failures and not failed:
        readers = _sure_reads(body, texts, emitter.space)
        stored = {name for code in seen for name in facts(code).stores}
        names = sorted(failures.keys() & readers.keys() - stored)
        failed = [f"{failures[name]} ({readers[name]}() reads it.)" for name in names]
    if failed:
        raise CollectError("\n".join(failed))


def _sure_reads(body: Body, texts: Texts, space: Space) -> dict[str, str]:
    """Return the names that functions read for sure, each with the first such function."""
    found: dict[str, str] = {}
    seen: set[CodeType] = set()
    own = body.stores
    for func in body.called:
        if func.__name__ == "<lambda>":  # one expression, and so taken as a whole
            found.update(dict.fromkeys(facts(func.__code__).reads, "a lambda"))
    library = FrameworkCalls()
    waiting = [*body.called, *_called(body.tree, own, space, None, library)]
    while waiting or (library.trains and library.functions):
        func = (waiting or library.functions).pop()
        made = texts.definition(func.__code__) if func.__globals__ is space else None
        if made is None or func.__code__ in seen or func.__code__.co_flags & _NOT_YET:
            continue
        code, node = func.__code__, made[1]
        seen.add(code)
        local = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
        for part in sure(node.body):
            match part:
                case ast.Name(id=name, ctx=ast.Load()) if name in space and name not in local:
                    found.setdefault(name, func.__qualname__)
                case _:
                    pass
        inner = ast.Module(node.body, [])
        waiting.extend(_called(inner, local, space, _owner(func, space), library))
    return {name: reader for name, reader in found.items() if name not in own}


def _called(
    tree: ast.Module,
    own: Collection[str],
    space: Space,
    owner: tuple[str, type] | None,
    library: FrameworkCalls,
) -> Iterator[FunctionType]:
    """Yield the functions of the notebook that code is sure to call; note what it passes on."""
    callees = Callees(tree=tree, user_ns=space, own=own, owner=owner)
    for part in sure(tree.body):
        if isinstance(part, ast.Call):
            library.see(part, callees)
            live = callees.live(Call(number=0, node=part, path="", local=frozenset()))
            yield from _functions(live)


def _functions(live: object) -> Iterator[FunctionType]:
    with contextlib.suppress(Exception):  # a proxy may refuse even isinstance
        if isinstance(live, type):
            plain = type(live) in (type, abc.ABCMeta) and live.__new__ is object.__new__
            live = live.__init__ if plain else None
        if isinstance(live, FunctionType):
            yield live


def _owner(func: FunctionType, space: Space) -> tuple[str, type] | None:
    """Return a method's first parameter and its class, if no other class can be meant."""
    cls = space.get(func.__qualname__.partition(".")[0])
    if (
        not isinstance(cls, type)
        or cls.__subclasses__()
        or vars(cls).get(func.__name__) is not func
    ):
        return None
    return (func.__code__.co_varnames[0], cls) if func.__code__.co_argcount else None


def sure(statements: Iterable[ast.stmt]) -> Iterator[ast.expr]:
    """Yield the expressions that are evaluated whenever the statements run to their end."""
    for statement in statements:
        yield from _of_statement(statement)
        if any(isinstance(part, _WAYS_OUT) for part in ast.walk(statement)):
            return


def _of_statement(statement: ast.stmt) -> Iterator[ast.expr]:
    match statement:
        case ast.If() | ast.Match():
            yield from _of(statement.test if isinstance(statement, ast.If) else statement.subject)
        case ast.With() | ast.AsyncWith():
            managers = [item.context_expr for item in statement.items]
            for manager in managers:
                yield from _of(manager)
            if not any("suppress" in ast.unparse(manager) for manager in managers):
                yield from sure(statement.body)
        case ast.Try() | ast.TryStar():
            yield from sure([] if statement.handlers else statement.body)
            yield from sure(statement.finalbody)
        case _ if isinstance(statement, _LOOPS):
            yield from _of(statement.test if isinstance(statement, ast.While) else statement.iter)
            yield from sure(statement.body)
        case _ if isinstance(statement, _SKIPPED):
            return
        case _:
            for child in ast.iter_child_nodes(statement):
                yield from _of(child)


def _of(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.expr):
        yield node
    match node:
        case _ if isinstance(node, _SKIPPED):
            return
        case ast.BoolOp(values=[first, *_]) | ast.IfExp(test=first):
            yield from _of(first)
        case ast.ListComp() | ast.SetComp() | ast.DictComp():
            yield from _of(node.generators[0].iter)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _of(child)
