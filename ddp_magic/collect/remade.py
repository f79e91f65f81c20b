"""Whether a decorator or an Enum's type would make of a statement what it has made; in the kernel.

`dataclasses.dataclass` and `enum` are known: they are run once more on what the class is made of,
and what they make is compared. No code of the notebook's runs.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.matching import Unproved, evaluates_to, same_literal
from ddp_magic.collect.members import AUTOMATIC

if TYPE_CHECKING:
    from ddp_magic.collect.members import Written

__all__ = ["check_dataclass", "check_enum", "dataclass_options"]

_CHANGING = frozenset({"__new__", "__init__", "_generate_next_value_", "_missing_", "_ignore_"})
_OF_MEMBERS = frozenset({"_name_", "_value_", "_sort_order_", "__objclass__"})
_EXPRESSIONS = (
    ast.Constant, ast.Tuple, ast.UnaryOp, ast.BinOp, ast.Name, ast.Attribute, ast.Call,
    ast.operator, ast.unaryop, ast.expr_context,
)  # fmt: skip
_FIELD = (
    "name", "type", "default", "init", "repr", "hash", "compare", "kw_only", "_field_type",
)  # fmt: skip
_REPLACING = ("slots", "weakref_slot")


def dataclass_options(expr: ast.expr, space: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a decorator gives `dataclasses.dataclass`; None if it is another decorator."""
    call = expr if isinstance(expr, ast.Call) else ast.Call(expr, [], [])
    if not evaluates_to(call.func, dataclasses.dataclass, space) or call.args:
        return None
    options: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None or not isinstance(keyword.value, ast.Constant):
            return None
        options[keyword.arg] = keyword.value.value
    return None if any(options.get(name) for name in _REPLACING) else options


def check_dataclass(
    cls: type,
    written: Written,
    options: dict[str, Any],
    space: dict[str, Any],
    *,
    documented: bool,
) -> Written:
    """Compare a dataclass with one made of the same fields; return what else is written.

    Args:
        cls: The class.
        written: What its statement binds.
        options: What the decorator is given.
        space: The notebook's namespace.
        documented: Whether its docstring is the statement's.

    Raises:
        Unproved: Something is not provably the same.
    """
    own = {n: _field(v, space) if isinstance(v, ast.expr) else vars(cls).get(n)
           for n, v in written.items()}  # fmt: skip
    annotations = dict(vars(cls).get("__annotations__", {}))
    place = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    plain = {**place, **own, "__annotations__": annotations}
    try:
        made: Any = dataclasses.dataclass(**options)(type(cls.__name__, _stand_ins(cls), plain))
    except (TypeError, ValueError):
        raise Unproved("its fields are not what its text says") from None
    if not documented and made.__doc__ != cls.__doc__:
        raise Unproved("its docstring was changed")
    theirs, ours = vars(cls), vars(made)
    if theirs.keys() - AUTOMATIC != ours.keys() - AUTOMATIC:
        raise Unproved("attributes were added or removed")
    for name in ours.keys() - written.keys() - AUTOMATIC:
        if not _same_generated(name, theirs[name], ours[name]):
            raise Unproved(f"{name} was replaced")
    return _without_fields(written, cls)


def _field(expr: ast.expr, space: dict[str, Any]) -> Any:
    """Return the default that an expression in the body stands for."""
    if not isinstance(expr, ast.Call):
        try:
            return ast.literal_eval(expr)
        except (ValueError, TypeError, SyntaxError):
            raise Unproved("a default value is no plain literal") from None
    if not evaluates_to(expr.func, dataclasses.field, space) or expr.args:
        raise Unproved("a default value is no plain literal")
    given: dict[str, Any] = {}
    for keyword in expr.keywords:
        if keyword.arg == "default_factory" and isinstance(
            keyword.value, (ast.Name, ast.Attribute)
        ):
            given["default_factory"] = _named(keyword.value, space)
        elif keyword.arg and isinstance(keyword.value, (ast.Constant, ast.UnaryOp, ast.Tuple)):
            given[keyword.arg] = _field(keyword.value, space)
        else:
            raise Unproved("a field is made of more than literals and names")
    return dataclasses.field(**given)


def _named(expr: ast.expr, space: dict[str, Any]) -> Any:
    try:
        return eval(compile(ast.Expression(expr), "<field>", "eval"), space)
    except Exception:
        raise Unproved("a default factory means something else now") from None


def _stand_ins(cls: type) -> tuple[type, ...]:
    """Return bases of the same fields, so that no class of the notebook gets a subclass."""
    names = ("__dataclass_fields__", "__dataclass_params__")
    held = [{n: vars(b)[n] for n in names if n in vars(b)} for b in cls.__mro__[1:]]
    base: tuple[type, ...] = ()
    if any("__post_init__" in vars(b) for b in cls.__mro__[1:]):
        held.append({"__post_init__": None})
    for attributes in reversed([each for each in held if each]):
        base = (type("Base", base, attributes),)
    return base


def _same_generated(name: str, live: Any, made: Any) -> bool:
    if name == "__dataclass_fields__":
        return live.keys() == made.keys() and all(_same_field(live[key], made[key]) for key in made)
    if isinstance(made, FunctionType) and isinstance(live, FunctionType):
        inner = (getattr(live, "__wrapped__", live), getattr(made, "__wrapped__", made))
        return inner[0].__code__ == inner[1].__code__
    return live is made or repr(live) == repr(made)


def _same_field(live: Any, made: Any) -> bool:
    plain = all(_same_part(getattr(live, n), getattr(made, n)) for n in _FIELD)
    return plain and live.default_factory is made.default_factory


def _same_part(live: Any, made: Any) -> bool:
    return live is made or (type(live) is type(made) and repr(live) == repr(made))


def _without_fields(written: Written, cls: Any) -> Written:
    """Compare what fields left in the class, and return what is left to compare."""
    for name, value in written.items():
        if isinstance(value, ast.Call):
            default = cls.__dataclass_fields__[name].default
            same = name not in vars(cls) or _same_part(vars(cls)[name], default)
        else:
            same = not isinstance(value, ast.expr) or same_literal(value, vars(cls).get(name))
        if not same:
            raise Unproved(f"{name} is not a literal, or was changed")
    return _functions(written)


def _functions(written: Written) -> Written:
    return {n: v for n, v in written.items() if not isinstance(v, ast.expr)}


def check_enum(cls: Any, written: Written, space: dict[str, Any]) -> Written:
    """Compare an Enum's members with members made again; return what else is written.

    Raises:
        Unproved: Something is not provably the same.
    """
    if _CHANGING & written.keys() or any(b.__module__ == "__main__" for b in cls.__mro__[1:]):
        raise Unproved("says itself how its members are made")
    metaclass: Any = type(cls)
    namespace = metaclass.__prepare__(cls.__name__, cls.__bases__)
    for name, expr in written.items():
        if isinstance(expr, ast.expr):
            namespace[name] = _value(expr, space, namespace)
    made: Any = metaclass(cls.__name__, cls.__bases__, namespace)
    if _members_of(cls) != _members_of(made):
        raise Unproved("its members are not what its text says")
    functions = _functions(written)
    known = {*cls.__members__, *functions, *AUTOMATIC}
    theirs, ours = vars(cls), vars(made)
    if theirs.keys() - known != ours.keys() - known:
        raise Unproved("attributes were added or removed")
    for name in ours.keys() - known:
        plain = isinstance(ours[name], (dict, list)) or theirs[name] == ours[name]
        if not plain:
            raise Unproved(f"{name} was replaced")
    return functions


def _members_of(cls: Any) -> list[tuple[str, str, str, frozenset[str]]]:
    return [
        (name, m._name_, f"{type(m._value_).__name__} {m._value_!r}",
         frozenset(vars(m).keys() - _OF_MEMBERS))
        for name, m in cls.__members__.items()
    ]  # fmt: skip


def _value(expr: ast.expr, space: dict[str, Any], earlier: dict[str, Any]) -> Any:
    """Evaluate a member's value: literals, ``auto()`` and earlier members."""
    for part in ast.walk(expr):
        is_auto = isinstance(part, ast.Call) and evaluates_to(part.func, enum.auto, space)
        if not isinstance(part, _EXPRESSIONS) or (isinstance(part, ast.Call) and not is_auto):
            raise Unproved("a member is no plain literal")
        if isinstance(part, ast.Call) and (part.args or part.keywords):
            raise Unproved("a member is no plain literal")
    called = {n for p in ast.walk(expr) if isinstance(p, ast.Call) for n in ast.walk(p.func)}
    free = [p for p in ast.walk(expr) if isinstance(p, (ast.Name, ast.Attribute))]
    if any(p not in called and getattr(p, "id", None) not in earlier for p in free):
        raise Unproved("a member is no plain literal")
    try:
        return eval(compile(ast.Expression(expr), "<member>", "eval"), space, earlier)
    except Exception:
        raise Unproved("a member is no plain literal") from None
