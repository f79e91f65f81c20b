"""Which variable or parameter an override's left side means; runs in the kernel."""

from __future__ import annotations

import ast
import builtins
import difflib
import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from ddp_magic.errors import OverrideError
from ddp_magic.line import callsites
from ddp_magic.line.first_use import bound_first
from ddp_magic.line.literals import is_code
from ddp_magic.masking import MASK, looks_secret

if TYPE_CHECKING:
    from inspect import Signature

    from ddp_magic.line.callsites import CallSite, Passing

__all__ = ["Cell", "Target", "shown"]

_EMPTY = inspect.Parameter.empty
_NEAR = 0.7


@dataclass(frozen=True, kw_only=True)
class Target:
    """What an override replaces.

    Attributes:
        label: ``lr`` or ``Trainer(lr)``.
        name: The variable's or the parameter's name.
        calls: The calls that pass the parameter; none for a variable.
        replaced: The values that the override replaces, as far as they are known.
        declared: The parameter's annotation.
    """

    label: str
    name: str
    calls: tuple[CallSite, ...] = ()
    replaced: tuple[object, ...] = ()
    declared: object = _EMPTY


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The cell as overrides see it.

    Attributes:
        tree: The cell's body.
        reads: Notebook globals that the body or the collected code reads.
        stores: Globals that the body binds.
        user_ns: The notebook's namespace.
        shift: What to add to a line of the tree for the cell's line.
    """

    tree: ast.Module
    reads: frozenset[str]
    stores: frozenset[str]
    user_ns: dict[str, Any]
    shift: int

    @cached_property
    def own(self) -> dict[str, int]:
        """Names that the cell binds before it reads them, with the line."""
        return {name: line + self.shift for name, line in bound_first(self.tree).items()}

    @cached_property
    def calls(self) -> dict[str, list[ast.Call]]:
        """The cell's calls by plain name."""
        return callsites.calls(self.tree)

    @cached_property
    def callables(self) -> dict[str, Signature]:
        """The notebook's own callables that the cell calls by name."""
        module = self.user_ns.get("__name__", "__main__")
        found = {
            name: callsites.signature(self.user_ns[name], module)
            for name in self.calls
            if name in self.user_ns and name not in self.own
        }
        return {name: signature for name, signature in found.items() if signature is not None}

    def target(self, written: str, text: str) -> Target:
        """Return the one thing that is meant.

        Args:
            written: The override's left side.
            text: Its right side, for the corrected line in messages.

        Raises:
            OverrideError: Nothing fits, several do, or a call hides it.
        """
        head, dot, name = written.rpartition(".")
        if dot:
            if head not in self.callables:
                self._refuse_path(written, text)
            passings = [p for p in [self._passing(head, name)] if p is not None]
        else:
            found = (self._passing(callee, written) for callee in self.callables)
            passings = [p for p in found if p is not None]
        variable = not dot and self._is_variable(written)
        if variable:
            passings = [p for p in passings if not _passes_variable(p, written)]
        if variable or not all(p.vague for p in passings):
            passings = [p for p in passings if not p.vague]
        if not dot and written in self.own and (passings or written in self.reads):
            self._refuse_own(written, text, passings)
        if len(passings) + variable > 1:
            _refuse_several(written, text, passings, variable=variable)
        if variable:
            return Target(label=written, name=written, replaced=self._values(written))
        if not passings or (passings[0].vague and self._near(written)):
            self._refuse_unknown(written, text)
        return self._parameter(name, passings[0])

    def _is_variable(self, name: str) -> bool:
        known = name in self.user_ns or not hasattr(builtins, name)
        return name in self.reads and name not in self.own and known

    def _values(self, name: str) -> tuple[object, ...]:
        return (self.user_ns[name],) if name in self.user_ns else ()

    def _passing(self, callee: str, name: str) -> Passing | None:
        return callsites.passing(
            callee, name, self.callables[callee], self.calls[callee], self.shift
        )

    def _parameter(self, name: str, passing: Passing) -> Target:
        label = f"{passing.callee}({name})"
        if passing.hidden:
            raise OverrideError(
                f"{name} may be a parameter of {passing.callee}, but {passing.hidden}. "
                f"Write it in the cell, as {passing.callee}({name}=...), to have it overridden."
            )
        return Target(
            label=label,
            name=name,
            calls=passing.sites,
            replaced=(passing.default, *(self._value(node) for node in passing.given)),
            declared=passing.declared,
        )

    def _value(self, node: ast.expr) -> object:
        """Return what an argument is, where the cell alone tells; `Parameter.empty` elsewhere."""
        if isinstance(node, ast.Name) and node.id not in self.stores:
            return self.user_ns.get(node.id, _EMPTY)
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, MemoryError, RecursionError):
            return _EMPTY

    # refusals

    def _refuse_own(self, name: str, text: str, passings: list[Passing]) -> NoReturn:
        others = [f"{p.callee}.{shown(name, text)}" for p in passings]
        choice = f", or write {' or '.join(others)} for the parameter" if others else ""
        raise OverrideError(
            f"The cell itself sets {name} in line {self.own[name]}, so an override would be lost. "
            f"Change it there{choice}."
        )

    def _refuse_path(self, written: str, text: str) -> NoReturn:
        head = written.partition(".")[0]
        if head in self.user_ns and callsites.signature(self.user_ns[head], "__main__"):
            raise OverrideError(
                f"{shown(written, text)} means a call of {head}, and the cell does not call "
                f"{head} by name. Call it in the cell, or set the value where it is called."
            )
        if head in self.user_ns:
            raise OverrideError(
                f"{written} is a path into {head}, and only variables and parameters can be "
                f"overridden. Set it in a cell ({written} = ...), or override the whole {head}."
            )
        self._refuse_unknown(written, text)

    def _refuse_unknown(self, written: str, text: str) -> NoReturn:
        head, _, name = written.rpartition(".")
        if head in self.callables:
            known = callsites.keywords(self.callables[head])
            message = f"{head} has no parameter {name}"
            _refuse_misspelt(message, name, known, f"{head}.{{}}={text}")
        foreign = self._foreign_keyword(written)
        if foreign:
            raise OverrideError(
                f"{written} is an argument of {foreign}, which this notebook does not define. "
                f"Set {written} in a cell, pass {written}={written} here, and override that."
            )
        if written in self.own:
            self._refuse_own(written, text, [])
        if written in self.user_ns:
            raise OverrideError(
                f"{shown(written, text)} would change nothing: nothing that this cell runs reads "
                f"the variable {written}. Set what was made from it, or use it in the cell."
            )
        message = f"{written} is neither a variable that this cell uses nor a parameter it passes"
        _refuse_misspelt(message, written, self._known(), f"{{}}={text}")

    def _known(self) -> list[str]:
        """Return what can be overridden, to suggest it."""
        parameters = {p for s in self.callables.values() for p in callsites.keywords(s)}
        read = {name for name in self.reads if self._is_variable(name)}
        return sorted(parameters | {n for n in read if not is_code(self.user_ns.get(n))})

    def _near(self, written: str) -> list[str]:
        return difflib.get_close_matches(written, self._known(), 1, _NEAR)

    def _foreign_keyword(self, name: str) -> str:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and any(k.arg == name for k in node.keywords):
                return ast.unparse(node.func)
        return ""


def shown(name: str, text: str) -> str:
    """Return an override as messages show it."""
    return f"{name}={MASK if looks_secret(name) else text}"


def _passes_variable(passing: Passing, name: str) -> bool:
    """Whether every call passes the variable of the same name: overriding that is enough."""
    same = [isinstance(node, ast.Name) and node.id == name for node in passing.given]
    return not passing.hidden and len(same) == len(passing.sites) and all(same)


def _refuse_several(name: str, text: str, passings: list[Passing], *, variable: bool) -> NoReturn:
    labels = ["the variable"] * variable + [f"{p.callee}({name})" for p in passings]
    chosen = " or ".join(f"{p.callee}.{shown(name, text)}" for p in passings)
    remedy = f"Write {chosen} for the parameter"
    if variable:
        remedy += f", or set {name} in a cell for the variable"
    raise OverrideError(f"{name} could mean {' or '.join(labels)}. {remedy}.")


def _refuse_misspelt(message: str, name: str, known: list[str], line: str) -> NoReturn:
    near = difflib.get_close_matches(name, known, 1, _NEAR)
    if near:
        raise OverrideError(f"{message}. Did you mean {line.format(near[0])}?")
    there = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    remedy = f"What can be overridden: {there}" if known else "Nothing here can be overridden"
    raise OverrideError(f"{message}. {remedy}.")
