"""What the text of an override stands for, and whether it fits what it replaces.

Runs in the kernel. In order: a Python literal; ``{expression}`` or ``$name`` of the notebook;
true, false or none in any case; else text.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import numbers
import re
import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NoReturn

from ddp_magic.errors import OverrideError
from ddp_magic.line.splitting import pieces
from ddp_magic.masking import MASK, looks_secret, mask_text

__all__ = ["Value", "described", "evaluate", "is_code", "require_fit"]

_WORDS = {"true": True, "false": False, "none": None}
_CONTAINERS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    ((list, tuple), "[1, 2]"),
    (dict, "{'name': 1}"),
    ((set, frozenset), "{1, 2}"),
)


@dataclass(frozen=True, kw_only=True)
class Value:
    """What an override's text stands for, and by which rule."""

    value: object
    kind: Literal["literal", "expression", "word", "text"]


def evaluate(target: str, text: str, user_ns: dict[str, Any]) -> Value:
    """Return what the text of ``target=text`` stands for.

    Raises:
        OverrideError: It is a bare list, an expression that fails, or text that looks like code.
    """
    parts = pieces(text)
    if len(parts) > 1:
        inside = ", ".join(part.strip() for part in parts)
        raise OverrideError(
            f"`{_shown(target, text)}` is a bare list, which is kept for trying several values. "
            f"Write {_shown(target, f'[{inside}]')} for a list, or quotes around text."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' in a literal is the user's affair
            return Value(value=ast.literal_eval(text), kind="literal")
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    if text.startswith("$"):
        if not all(part.isidentifier() for part in text[1:].split(".")):
            _refuse_code(target, text, "is no variable")
        return Value(value=_result(target, text, text[1:], user_ns), kind="expression")
    if text.startswith("{"):
        return Value(value=_result(target, text, _source(target, text), user_ns), kind="expression")
    if text.lower() in _WORDS:
        return Value(value=_WORDS[text.lower()], kind="word")
    if re.match(r"""[(\['"]|[a-zA-Z]{1,2}['"]""", text):
        _refuse_code(target, text, "is no Python literal")
    if re.search(r"[{}$]", text):
        raise OverrideError(
            f"`{_shown(target, text)}` is text around an expression, which is not filled in. "
            f"Write {target}={{f'run-{{seed}}'}} with an f-string, or put plain text in quotes."
        )
    return Value(value=text, kind="text")


def _refuse_code(target: str, text: str, problem: str) -> NoReturn:
    raise OverrideError(
        f"`{_shown(target, text)}` {problem}. Write {target}={{expression}} to have an "
        f"expression evaluated in the notebook, or {target}='...' for text."
    )


def _source(target: str, text: str) -> str:
    """Return the expression in braces; a dict or set that is no literal is one with them."""
    for source in (text[1:-1].strip(), text):
        try:
            ast.parse(source, mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        return source
    _refuse_code(target, text, "is no Python expression")


def _result(target: str, text: str, source: str, user_ns: dict[str, Any]) -> object:
    code = compile(source, f"<{target}>", "eval", dont_inherit=True)
    try:
        return eval(code, user_ns)
    except Exception as error:
        if isinstance(error, NameError) and error.name in code.co_names:
            near = difflib.get_close_matches(error.name, map(str, user_ns), 1)
            raise OverrideError(
                f"`{_shown(target, text)}` uses {error.name}, which is not defined in the "
                f"notebook. {f'Did you mean {near[0]}?' if near else 'Run its cell first.'}"
            ) from None
        raise OverrideError(
            f"`{_shown(target, text)}` could not be evaluated: {type(error).__name__}: {error}. "
            "Try the expression in a cell first."
        ) from None


def require_fit(
    target: str, text: str, value: Value, old: object, user_ns: dict[str, Any], *, what: str = ""
) -> None:
    """Refuse a value that cannot be meant for what it replaces; None and objects always may.

    Args:
        target: The override's left side.
        text: Its right side as written.
        value: What that stands for.
        old: What it replaces.
        user_ns: Where a variable is looked up that the text may be meant for.
        what: How `old` is described instead of by itself.

    Raises:
        OverrideError: It does not fit.
    """
    if _fits(value, old):
        return
    _, _, shown = _shown(target, text).partition("=")
    given = "text" if isinstance(value.value, str) else described("", value.value, brief=True)
    raise OverrideError(
        f"`{target}` is {what or described(target, old)} and `{shown}` is {given}. "
        f"{_remedy(target, text, value, old, user_ns)}"
    )


def _fits(value: Value, old: object) -> bool:
    new = value.value
    number = type(new) is not bool and isinstance(new, numbers.Number)
    if old is None or new is None:
        return True
    if isinstance(old, (bool, numbers.Number)) and isinstance(new, str):
        return False
    if value.kind == "expression":
        return True
    if isinstance(old, bool):
        return isinstance(new, bool)
    if isinstance(old, numbers.Number):
        return number
    if isinstance(old, str):
        return isinstance(new, str)
    for types, _ in _CONTAINERS:
        if isinstance(old, types):
            return isinstance(new, types)
    return value.kind != "text" and not is_code(old)


def is_code(old: object) -> bool:
    """Whether a value is a class, a function or a module, which only an object can replace."""
    return isinstance(old, (type, ModuleType)) or inspect.isroutine(old)


def _remedy(target: str, text: str, value: Value, old: object, user_ns: dict[str, Any]) -> str:
    if isinstance(old, str):
        quoted = "'...'" if looks_secret(target) else repr(text)
        return f"For text write {target}={quoted}."
    if value.kind == "text" and mask_text(text) == text:
        if text.isidentifier() and text in user_ns:
            return f"For the variable write {target}={{{text}}}."
        if text.lower().lstrip("+-") in ("inf", "nan", "infinity"):
            return f"For the number write {target}={{float('{text}')}}."
        if not text.isidentifier() and _is_expression(text):
            return f"For the value of the expression write {target}={{{text}}}."
    if isinstance(old, bool):
        meant = bool(value.value) if isinstance(value.value, (int, float)) else not old
        return f"Write {target}={meant}."
    if isinstance(old, numbers.Number):
        return f"Write a number, as in {target}={5 if isinstance(old, int) else 0.5}."
    for types, example in _CONTAINERS:
        if isinstance(old, types):
            return f"Write one in brackets, as in {target}={example}."
    return f"For an object of the notebook write {target}={{name}}."


def _is_expression(text: str) -> bool:
    try:
        names = {n.id for n in ast.walk(ast.parse(text, mode="eval")) if isinstance(n, ast.Name)}
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return bool(names)


def described(name: str, value: object, *, brief: bool = False) -> str:
    """Say what a value is, for a person: ``a float (0.1)``; secrets are not shown."""
    kind = "text" if type(value) is str else type(value).__name__
    article = "" if kind == "text" else "an " if kind[0].lower() in "aeiou" else "a "
    if isinstance(value, type):
        return "a class"
    plain = type(value) in (bool, int, float, complex, str)
    if brief or not plain or (isinstance(value, str) and looks_secret(name)):
        return f"{article}{kind}"
    shown = mask_text(repr(value))
    return f"{article}{kind} ({shown if len(shown) <= 40 else shown[:37] + '...'})"


def _shown(target: str, text: str) -> str:
    hidden = looks_secret(target) and not text.startswith(("{", "$"))
    return f"{target}={MASK if hidden else mask_text(text)}"
