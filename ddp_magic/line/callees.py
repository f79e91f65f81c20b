"""What the notebook or the cell knows of a function that the cell calls; runs in the kernel.

Nothing of the user's runs: attributes are looked up without their descriptors.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter, Signature
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from ddp_magic.line.callsites import signature

if TYPE_CHECKING:
    from collections.abc import Collection

    from ddp_magic.line.calls import Call

__all__ = ["Callees"]

_Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class _Instance:
    """An instance that a call in the cell makes, known by its class alone."""

    cls: object


@dataclass(frozen=True)
class _Method:
    """A function whose first parameter the call does not pass."""

    function: object


@dataclass(frozen=True, kw_only=True)
class Callees:
    """Finds the parameters of what the notebook or the cell itself defines.

    Attributes:
        tree: The cell's body.
        user_ns: The notebook's namespace.
        own: Names that the cell binds before it reads them.
        owner: Where the tree is a method's body: its first parameter, and the class.
    """

    tree: ast.Module
    user_ns: dict[str, Any]
    own: Collection[str]
    owner: tuple[str, type] | None = None

    def signature(self, call: Call) -> Signature | None:
        """Return a called function's parameters; None where the notebook does not define it."""
        with contextlib.suppress(Exception):  # a proxy may refuse even isinstance
            return self._signature(self._value(call.node.func, call.local))
        return None

    def live(self, call: Call) -> object:
        """Return the object that is called, whoever defines it; None where it is not known."""
        return self.found(call.node.func, call.local)

    def found(self, node: ast.expr, local: frozenset[str] = frozenset()) -> object:
        """Return the notebook's object that an expression of the cell is; None elsewhere."""
        with contextlib.suppress(Exception):
            found = self._value(node, local)
            found = found.function if isinstance(found, _Method) else found
            return None if isinstance(found, (ast.AST, _Instance)) else found
        return None

    def kind(self, node: ast.expr) -> type | None:
        """Return the class of what an expression of the cell gives, if the notebook defines it."""
        with contextlib.suppress(Exception):
            found = self._value(node, frozenset())
            cls = found.cls if isinstance(found, _Instance) else type(found)
            return cls if isinstance(cls, type) else None
        return None

    def _signature(self, found: object) -> Signature | None:
        match found:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return _written(found.args)
            case ast.ClassDef():
                return _written_init(found)
            case _Method(function=function):
                return _without_first(self._signature(function))
            case _Instance(cls=cls):
                return self._signature(_member(cls, "__call__", bound=True))
            case _ if isinstance(found, type) or inspect.isroutine(found):
                return signature(found, self._module)
            case _:
                called = signature(found, self._module)  # functools.partial
                member = _member(type(found), "__call__", bound=True)
                return called if called is not None else self._signature_of_member(member)

    def _signature_of_member(self, found: object) -> Signature | None:
        is_function = isinstance(found, _Method) and isinstance(found.function, FunctionType)
        return self._signature(found) if is_function else None

    @property
    def _module(self) -> object:
        return self.user_ns.get("__name__", "__main__")

    def _value(self, node: ast.expr, local: frozenset[str]) -> object:
        """Return what an expression is, as far as that is certain; None elsewhere."""
        match node:
            case ast.Name(id=name):
                if name in local:
                    return None
                return self._made.get(name) if name in self.own else self.user_ns.get(name)
            case ast.Attribute(value=value, attr=attribute):
                return _attribute(self._value(value, local), attribute)
            case ast.Call(func=function):
                cls = self._value(function, local)
                return _Instance(cls) if isinstance(cls, (type, ast.ClassDef)) else None
            case _:
                return None

    @cached_property
    def _made(self) -> dict[str, object]:
        """What the cell itself defines or makes, by names that it binds once."""
        stored: Counter[str] = Counter()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                stored[node.id] += 1
            elif isinstance(node, _Definition):
                stored[node.name] += 1
        made: dict[str, object] = {}
        if self.owner and not stored[self.owner[0]]:
            made[self.owner[0]] = _Instance(self.owner[1])
        for statement in self.tree.body:
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    decorated = isinstance(statement, ast.ClassDef) and statement.decorator_list
                    if stored[statement.name] == 1 and not decorated:
                        made[statement.name] = statement
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)):
                    cls = self._called(function, made)
                    if stored[name] == 1 and isinstance(cls, (type, ast.ClassDef)):
                        made[name] = _Instance(cls)
                case _:
                    pass
        return made

    def _called(self, function: ast.expr, made: dict[str, object]) -> object:
        if not isinstance(function, ast.Name):
            return None
        return made.get(function.id) if function.id in self.own else self.user_ns.get(function.id)


def _attribute(found: object, name: str) -> object:
    match found:
        case None:
            return None
        case _Instance(cls=cls):
            return _member(cls, name, bound=True)
        case ast.ClassDef():
            return _member(found, name, bound=False)
        case ModuleType():
            return vars(found).get(name)
        case _ if isinstance(found, type):
            return _member(found, name, bound=False)
        case _:
            return _member(type(found), name, bound=True)


def _member(cls: object, name: str, *, bound: bool) -> object:
    """Return a class's function, as an instance gives it or as the class itself does."""
    if isinstance(cls, ast.ClassDef):
        hits = [
            node
            for node in cls.body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.name == name
            and not node.decorator_list
        ]
        found: object = hits[0] if len(hits) == 1 else None
    else:
        found = inspect.getattr_static(cls, name, None)
    if isinstance(found, staticmethod):
        return found.__func__
    if isinstance(found, classmethod):
        return _Method(found.__func__)
    if isinstance(found, (FunctionType, ast.FunctionDef, ast.AsyncFunctionDef)):
        return _Method(found) if bound else found
    return None


def _without_first(found: Signature | None) -> Signature | None:
    parameters = [*found.parameters.values()] if found is not None else []
    if found is None or not parameters:
        return None
    takes_all = parameters[0].kind is Parameter.VAR_POSITIONAL
    return found if takes_all else found.replace(parameters=parameters[1:])


def _written_init(cls: ast.ClassDef) -> Signature | None:
    init = _member(cls, "__init__", bound=False)
    if isinstance(init, ast.FunctionDef):
        return _without_first(_written(init.args))
    return None if cls.bases or cls.keywords else Signature()


def _written(arguments: ast.arguments) -> Signature:
    """Return the parameters of a ``def`` in the cell.

    A default that is no literal counts as None, which any value may replace.
    """
    positional = [*arguments.posonlyargs, *arguments.args]
    plain = len(positional) - len(arguments.defaults)
    defaults = [*[None] * plain, *arguments.defaults]
    found = [
        _parameter(
            each,
            Parameter.POSITIONAL_ONLY
            if each in arguments.posonlyargs
            else Parameter.POSITIONAL_OR_KEYWORD,
            default,
        )
        for each, default in zip(positional, defaults, strict=True)
    ]
    if arguments.vararg:
        found.append(Parameter(arguments.vararg.arg, Parameter.VAR_POSITIONAL))
    found.extend(
        _parameter(each, Parameter.KEYWORD_ONLY, default)
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    )
    if arguments.kwarg:
        found.append(Parameter(arguments.kwarg.arg, Parameter.VAR_KEYWORD))
    return Signature(found)


def _parameter(each: ast.arg, kind: Any, default: ast.expr | None) -> Parameter:
    value: object = Parameter.empty
    if default is not None:
        try:
            value = ast.literal_eval(default)
        except (ValueError, TypeError, MemoryError, RecursionError):
            value = None
    annotation = ast.unparse(each.annotation) if each.annotation else Parameter.empty
    return Parameter(each.arg, kind, default=value, annotation=annotation)
