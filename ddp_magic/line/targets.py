"""Which variable, parameter, keyword or path an override's left side means; runs in the kernel."""

from __future__ import annotations

import ast
import builtins
import inspect
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ddp_magic.errors import OverrideError
from ddp_magic.line import callsites, fields, refusals, suggestions
from ddp_magic.line.callees import Callees
from ddp_magic.line.calls import Call, find_calls
from ddp_magic.line.first_use import bound_first
from ddp_magic.line.paths import Missing, Place, follow, is_field, note_of_field
from ddp_magic.line.settable import require_settable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from inspect import Signature

    from ddp_magic.line.callsites import CallSite, Passing
    from ddp_magic.line.parameters import Parameters

__all__ = ["Cell", "Target"]

_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True, kw_only=True)
class Target:
    """What an override replaces.

    Attributes:
        label: ``lr``, ``Trainer(lr)`` or ``cfg.optim.lr``.
        name: The variable's or the parameter's name, or the path.
        calls: The calls that pass the parameter; none for a variable or a path.
        place: What a path leads to.
        replaced: The values that the override replaces, as far as they are known.
        declared: The parameter's annotation.
        note: What the user should know of it.
    """

    label: str
    name: str
    calls: tuple[CallSite, ...] = ()
    place: Place | None = None
    replaced: tuple[object, ...] = ()
    declared: object = _EMPTY
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The cell as overrides see it.

    Attributes:
        tree: The cell's body.
        reads: Notebook globals that the body or the collected code reads.
        stores: Globals that the body binds.
        user_ns: The notebook's namespace.
        shift: What to add to a line of the tree for the cell's line.
        trainer: What the calls of --trainer take, by path.
    """

    tree: ast.Module
    reads: frozenset[str]
    stores: frozenset[str]
    user_ns: dict[str, Any]
    shift: int
    trainer: Mapping[str, Parameters] = field(default_factory=dict[str, "Parameters"])

    @cached_property
    def own(self) -> dict[str, int]:
        """Names that the cell binds before it reads them, with the line."""
        return {name: line + self.shift for name, line in bound_first(self.tree).items()}

    @cached_property
    def callees(self) -> Callees:
        """What is known of the functions that the cell calls."""
        return Callees(tree=self.tree, user_ns=self.user_ns, own=self.own)

    @cached_property
    def _sorted_calls(
        self,
    ) -> tuple[dict[str, tuple[Signature, list[Call]]], dict[str, list[Call]]]:
        known: dict[str, tuple[Signature, list[Call]]] = {}
        foreign: dict[str, list[Call]] = {}
        for call in find_calls(self.tree):
            ours = self.trainer.get(call.path)
            signature = ours.signature if ours else self.callees.signature(call)
            if signature is not None and call.path:
                first, calls = known.setdefault(call.path, (signature, []))
                if [*first.parameters] == [*signature.parameters]:
                    calls.append(call)
                    continue
            foreign.setdefault(call.path or f"#{call.number}", []).append(call)
        return known, foreign

    @property
    def callables(self) -> dict[str, tuple[Signature, list[Call]]]:
        """The calls of what the notebook or the cell defines, with its parameters, by path."""
        return self._sorted_calls[0]

    @property
    def foreign(self) -> dict[str, list[Call]]:
        """All other calls, by path."""
        return self._sorted_calls[1]

    def target(self, written: str, text: str) -> Target:
        """Return the one thing that is meant.

        Args:
            written: The override's left side.
            text: Its right side, for the corrected line in messages.

        Raises:
            OverrideError: Nothing fits, several do, a call hides it, or it cannot be changed.
        """
        return self._dotted(written, text) if "." in written else self._plain(written, text)

    def _plain(self, name: str, text: str) -> Target:
        variable = self.is_variable(name)
        passings = self._passings(name)
        clear = [p for p in passings if not p.vague]
        clear = [p for p in clear if not p.passes_local(name)] or clear
        if variable:
            clear = [p for p in clear if not p.passes_global(name)]
        if name in self.own and (clear or name in self.reads):
            refusals.refuse_own(self, name, text, clear)
        held = [] if variable else fields.held(self, name)
        if len(clear) + variable + len(held) > 1:
            refusals.refuse_several(name, text, clear, variable=variable, held=held)
        if variable:
            known = (self.user_ns[name],) if name in self.user_ns else ()
            return Target(label=name, name=name, replaced=known)
        if clear:
            return self._parameter(name, clear[0], text)
        if held:
            return self._dotted(held[0], text)
        if not passings or suggestions.near(self, name):
            refusals.refuse_unknown(self, name, text)
        return self._parameter(name, passings[0], text)

    def _dotted(self, written: str, text: str) -> Target:
        head, _, name = written.rpartition(".")
        passings = self._passings(name, head)
        clear = [p for p in passings if not p.vague]
        found = self.find(written)
        if isinstance(found, Place) and clear and self._is_own_thing(found, text):
            refusals.refuse_two_ways(self, written, text, clear[0])
        if len(clear) > 1:
            refusals.refuse_several(name, text, clear, variable=False)
        if clear:
            return self._parameter(name, clear[0], text)
        if isinstance(found, Place):
            require_settable(found, text, self.user_ns)
            note = note_of_field(found) if is_field(found) else ""
            return Target(
                label=written, name=written, place=found, replaced=(found.old,), note=note
            )
        if not passings:
            refusals.refuse_path(self, written, text, found)
        return self._parameter(name, passings[0], text)

    def _is_own_thing(self, place: Place, text: str) -> bool:
        """Whether a class attribute is there for itself, and not to describe the parameter."""
        try:
            require_settable(place, text, self.user_ns)
        except OverrideError:
            return False
        return not is_field(place)

    def find(self, written: str) -> Place | Missing | None:
        """Follow a path from a variable that workers read; None where its head is none."""
        root = written.partition(".")[0]
        if not self.is_variable(root) or root not in self.user_ns:
            return None
        return follow(written, self.user_ns)

    def is_variable(self, name: str) -> bool:
        """Whether workers read a variable of this name that the cell does not set first."""
        known = name in self.user_ns or not hasattr(builtins, name)
        return name in self.reads and name not in self.own and known

    def _passings(self, name: str, callee: str | None = None) -> list[Passing]:
        known = (
            self._passed_on(path, name, calls)
            or self._held(callsites.passing(path, name, signature, calls, self.shift), name)
            for path, (signature, calls) in self.callables.items()
            if callee in (None, path)
        )
        foreign = (
            callsites.written("" if path[0] == "#" else path, name, calls, self.shift)
            for path, calls in self.foreign.items()
            if callee in (None, path)
        )
        found = [p for p in (*known, *foreign) if p is not None]
        return [p for p in found if not p.vague or not p.splats or self._may_pass(p, name)]

    def _passed_on(self, path: str, name: str, calls: list[Call]) -> Passing | None:
        """Return how a trainer's ``**`` takes what it has no parameter for."""
        ours = self.trainer.get(path)
        if ours is None or not ours.open or name in ours.signature.parameters:
            return None
        return callsites.passed_on(path, calls, self.shift)

    def _held(self, passing: Passing | None, name: str) -> Passing | None:
        """Return the passing as it is where a trainer takes the name in a dict of its own."""
        ours = self.trainer.get(passing.callee) if passing else None
        if passing is None or ours is None:
            return passing
        if name in ours.held:
            first = replace(passing.sites[0], inside=ours.holder)  # the head's own call
            passing = replace(passing, sites=(first,))
        return replace(passing, callee=ours.label or passing.callee)

    def _may_pass(self, passing: Passing, name: str) -> bool:
        """Whether a ``**`` may pass the keyword, as far as the notebook's dicts tell."""
        values = [self._value(node, passing.local) for node in passing.splats]
        return any(type(value) is not dict or name in value for value in values)

    def _parameter(self, name: str, passing: Passing, text: str) -> Target:
        if passing.hidden:
            refusals.refuse_hidden(self, name, text, passing)
        return Target(
            label=passing.label(name),
            name=name,
            calls=passing.sites,
            replaced=(
                passing.default,
                *(self._value(node, passing.local) for node in passing.given),
            ),
            declared=passing.declared,
        )

    def _value(self, node: ast.expr, local: frozenset[str]) -> object:
        """Return what an argument is, where the cell alone tells; `Parameter.empty` elsewhere."""
        if isinstance(node, ast.Name):
            known = node.id not in self.stores and node.id not in local
            return self.user_ns.get(node.id, _EMPTY) if known else _EMPTY
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, MemoryError, RecursionError):
            return _EMPTY
