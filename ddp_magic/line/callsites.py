"""How the cell's calls pass a parameter or a keyword; runs in the kernel."""

from __future__ import annotations

import ast
import functools
import inspect
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.line.calls import Call

__all__ = [
    "SETS",
    "CallSite",
    "Passing",
    "keywords",
    "passed_on",
    "passing",
    "signature",
    "written",
]

SETS = "also sets"
"""In `Passing.hidden`, what a call does that binds a name inside the argument."""
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, kw_only=True)
class CallSite:
    """A call in the cell whose argument is overridden.

    Attributes:
        number: Which of the cell's calls it is, in the order of `ast.walk`.
        position: Index among the positional arguments of the one to replace; None to set the
            keyword, replacing it where it is given.
        inside: The keyword whose dict it is set in; empty where it is a keyword itself.
    """

    number: int
    position: int | None
    inside: str = ""


@dataclass(frozen=True, kw_only=True)
class Passing:
    """How the calls of one function pass one parameter.

    Attributes:
        callee: The function as the cell calls it: ``Trainer``, ``model.train``; empty where that
            cannot be written.
        lines: Lines of the calls.
        sites: Every call that gets the override.
        given: What the calls pass for it, where they do.
        local: Names that mean something of their own at one of the calls.
        default: Its default; `Parameter.empty` without one.
        declared: Its annotation; `Parameter.empty` without one.
        hidden: Why it cannot be overridden; empty where it can.
        vague: Whether a ``**`` may pass or take it, but nothing says that it does.
        splats: What stands behind ``**`` in the calls.
    """

    callee: str
    lines: tuple[int, ...]
    sites: tuple[CallSite, ...] = ()
    given: tuple[ast.expr, ...] = ()
    local: frozenset[str] = frozenset()
    default: object = Parameter.empty
    declared: object = Parameter.empty
    hidden: str = ""
    vague: bool = False
    splats: tuple[ast.expr, ...] = ()

    def label(self, parameter: str) -> str:
        """Return what is overridden: ``Trainer(lr)``."""
        return f"{self.callee or '(...)'}({parameter})"

    def passes_global(self, name: str) -> bool:
        """Whether every call passes the variable of this name: overriding that is enough."""
        return name not in self.local and self._passes(name)

    def passes_local(self, name: str) -> bool:
        """Whether every call is in a function that has got the argument itself."""
        return name in self.local and self._passes(name)

    def _passes(self, name: str) -> bool:
        same = [isinstance(node, ast.Name) and node.id == name for node in self.given]
        return not self.hidden and len(same) == len(self.sites) and all(same)

    @property
    def where(self) -> str:
        """Where the calls stand: ``line 3``, ``lines 3 and 5``."""
        *others, last = [str(line) for line in dict.fromkeys(self.lines)]
        return f"lines {', '.join(others)} and {last}" if others else f"line {last}"


def signature(value: object, module: object) -> Signature | None:
    """Return the parameters of a class or function that the notebook defines, None for others.

    Args:
        value: What the notebook's name stands for.
        module: The notebook's ``__name__``, usually ``__main__``.
    """
    try:
        defined = value
        while isinstance(defined, functools.partial):
            defined = defined.func
        # isroutine also knows functools.lru_cache's; it looks at types alone
        if not isinstance(defined, type) and not inspect.isroutine(defined):
            return None
        if getattr(defined, "__module__", None) != module:
            return None
        return inspect.signature(value)  # pyright: ignore[reportArgumentType]
    except Exception:  # a proxy may refuse even isinstance, a metaclass or a signature anything
        return None


def keywords(parameters: Signature) -> list[str]:
    """Return the parameters that a call can pass by name."""
    return [p.name for p in parameters.parameters.values() if p.kind in _NAMED]


def passing(
    callee: str, parameter: str, parameters: Signature, calls: Sequence[Call], shift: int
) -> Passing | None:
    """Say how calls of a function of the notebook pass a parameter; None where it has none such.

    Args:
        callee: What the cell calls it.
        parameter: The parameter's name.
        parameters: The function's signature.
        calls: Its calls.
        shift: What to add to a line of the tree for the cell's line, in messages.
    """
    found = parameters.parameters.get(parameter)
    if found is None or found.kind not in (*_NAMED, Parameter.POSITIONAL_ONLY):
        taken = {p.kind: p.name for p in parameters.parameters.values()}
        if Parameter.VAR_KEYWORD not in taken:
            return None
        hidden = f"**{taken[Parameter.VAR_KEYWORD]} hides it"
        unsaid = Passing(callee=callee, lines=_lines(calls, shift), hidden=hidden, vague=True)
        return written(callee, parameter, calls, shift) or unsaid
    before = list(parameters.parameters)[: list(parameters.parameters).index(parameter)]
    index = len(before) if found.kind is not Parameter.KEYWORD_ONLY else None
    sites = [(call, *_site(call, parameter, index)) for call in calls]
    for call, site, value in sites:
        if hidden := _hidden(call, site, value, found.kind, shift):
            splats = tuple(_splats(call))
            lines = _lines(calls, shift)
            return Passing(callee=callee, lines=lines, hidden=hidden, splats=splats)
    given = tuple(value for _, _, value in sites if value is not None)
    return Passing(
        callee=callee,
        lines=_lines(calls, shift),
        sites=tuple(site for _, site, _ in sites if site is not None),
        given=given,
        local=frozenset().union(*(call.local for call in calls)),
        default=found.default if len(given) < len(sites) else Parameter.empty,
        declared=found.annotation,
    )


def _hidden(
    call: Call, site: CallSite | None, value: ast.expr | None, kind: object, shift: int
) -> str:
    """Say why an argument of a call cannot be replaced, or nothing."""
    where = f"the call in line {call.node.lineno + shift}"
    if site is None:
        return f"{where} hides it behind * or **"
    if kind is Parameter.POSITIONAL_ONLY and site.position is None:
        return f"{where} leaves out what has no keyword"
    return "" if value is None else _bound_inside(value, where)


def written(callee: str, keyword: str, calls: Sequence[Call], shift: int) -> Passing | None:
    """Say where calls of one function write a keyword; None where none does or may pass it."""
    sites = [(c, k.value) for c in calls for k in c.node.keywords if k.arg == keyword]
    if not sites:
        splats = tuple(splat for call in calls for splat in _splats(call))
        if not splats:
            return None
        splatting = [call for call in calls if _splats(call)]
        hidden = f"the call in line {splatting[0].node.lineno + shift} hides it behind **"
        lines = _lines(splatting, shift)
        return Passing(callee=callee, lines=lines, hidden=hidden, vague=True, splats=splats)
    calls = [call for call, _ in sites]
    lines = _lines(calls, shift)
    hidden = [_bound_inside(v, f"the call in line {c.node.lineno + shift}") for c, v in sites]
    if any(hidden):
        return Passing(callee=callee, lines=lines, hidden=max(hidden))
    return Passing(
        callee=callee,
        lines=lines,
        sites=tuple(CallSite(number=call.number, position=None) for call in calls),
        given=tuple(value for _, value in sites),
        local=frozenset().union(*(call.local for call in calls)),
    )


def passed_on(callee: str, calls: Sequence[Call], shift: int) -> Passing:
    """Say how calls pass a keyword that only a ``**`` of theirs takes."""
    sites = tuple(CallSite(number=call.number, position=None) for call in calls)
    return Passing(callee=callee, lines=_lines(calls, shift), sites=sites, vague=True)


def _lines(calls: Sequence[Call], shift: int) -> tuple[int, ...]:
    return tuple(call.node.lineno + shift for call in calls)


def _splats(call: Call) -> list[ast.expr]:
    return [keyword.value for keyword in call.node.keywords if keyword.arg is None]


def _bound_inside(value: ast.expr, where: str) -> str:
    """Refuse to replace ``lr=(rate := 0.1)``: what reads `rate` would fail."""
    for node in ast.walk(value):
        if isinstance(node, ast.NamedExpr):
            return f"{where} {SETS} {node.target.id} there"
    return ""


def _site(call: Call, parameter: str, index: int | None) -> tuple[CallSite | None, ast.expr | None]:
    """Return where a call passes the parameter and what; no site where that is hidden."""
    node = call.node
    stars = [at for at, value in enumerate(node.args) if isinstance(value, ast.Starred)]
    plain = min(stars, default=len(node.args))
    if index is not None and index < plain:
        return CallSite(number=call.number, position=index), node.args[index]
    by_keyword = CallSite(number=call.number, position=None)
    for keyword in node.keywords:
        if keyword.arg == parameter:
            return by_keyword, keyword.value
    if (index is not None and stars) or _splats(call):
        return None, None
    return by_keyword, None
