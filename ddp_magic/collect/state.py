"""State that is no name's value: library attributes, settings, random generators; in the kernel.

What a cell changed in an imported thing is found in the cells' text and sent by its live value. A
patch that was undone is then no patch. ``%%ddp_setup`` is for what this cannot see.
"""

from __future__ import annotations

import ast
import copy
import os
import re
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.definitions import How, Item
from ddp_magic.collect.hiding import hide
from ddp_magic.collect.imports import import_line
from ddp_magic.collect.lines import refilled, taken
from ddp_magic.collect.packages import STANDARD, is_used, with_own
from ddp_magic.collect.private import keep_keys
from ddp_magic.pickling.functions import Submodules
from ddp_magic.pickling.objects import importable

if TYPE_CHECKING:
    from collections.abc import Collection

    from ddp_magic.collect.emit import Emitter
    from ddp_magic.collect.history import History
    from ddp_magic.collect.statements import Statements

__all__ = ["State", "process_state", "search_path"]

_LAUNCHERS = ("os.environ", "sys.path", "sys.modules", "sys.stdin", "sys.stdout", "sys.stderr")
_NOT_REPEATED = re.compile(r"set_device$|set_start_method$|^(atexit|signal)\.")
_CONTAINERS = (dict, list, set)
_DEFINED = (ModuleType, type, FunctionType, BuiltinFunctionType)
"""What can be imported though no cell says from where."""
_OF_NOTEBOOKS = frozenset({"IPython", "ipykernel", "ipywidgets", "matplotlib_inline", "google"})
"""Packages whose settings are the notebook's: in a worker they would make a shell."""


class State:
    """Emits what cells have changed in libraries, once per target.

    Attributes:
        notes: What cannot go along.
        modules: Submodules that what is emitted names, and that must be imported for it.
    """

    def __init__(
        self,
        space: dict[str, Any],
        history: History,
        emitter: Emitter,
        setups: Collection[str] = (),
    ) -> None:
        self._space = space
        self._history = history
        self._emitter = emitter
        self._done: set[str] = set()
        self._used_by: tuple[set[str], set[str]] = (set(), set(STANDARD))
        self._packages: dict[str, str] = {}
        imported = history.names_imported(space)
        for root in history.roots & space.keys():
            plain = not isinstance(space[root], _DEFINED) and root not in imported
            line = None if plain else import_line(root, space[root], history)
            package = line.split()[1].partition(".")[0] if line else ""
            if package and package not in _OF_NOTEBOOKS:
                self._packages[root] = package
        found = list(history.beginning(self._packages)) if self._packages else []
        again = [cell for label, cell in found if label in setups]
        places = (n for n, (label, _) in enumerate(found) if label in setups)
        self._found = [each for each in found if each[0] not in setups]
        self._before_setups = next(places, len(found))
        self._late = {target for cell in again for target in cell.targets}
        self._late |= {call.function.rpartition(".")[0] for cell in again for call in cell.calls}
        self.notes: list[str] = []
        self.modules: dict[str, None] = {}
        self._submodules = Submodules()

    def emit(self, packages: set[str], *, early: bool = False) -> None:
        """Emit what belongs to packages that workers import (or to the standard library).

        Args:
            packages: Those packages.
            early: Setup cells follow: only what was done before them and what they leave alone.
        """
        used = self._used(packages)
        held = self._late - self._done if early else set[str]()
        self._done |= held
        self._emit(self._found[: self._before_setups] if early else self._found, used)
        self._done -= held

    def _emit(self, found: list[tuple[str, Statements]], used: set[str]) -> None:
        for number, (label, cell) in enumerate(found):
            for target in cell.targets:
                if self._is_due(target, used):
                    self._emit_target(target, label)
            for position, call in enumerate(cell.calls):
                key = f"{call.function} #{number}.{position}"
                if call.is_setting and call.certain and self._is_due(call.function, used, key=key):
                    self._emit_setting(call.function, call.node, label)
                holder = call.function.rpartition(".")[0]
                if not call.is_setting and holder and self._is_due(holder, used):
                    self._emit_content(holder)

    def _used(self, packages: set[str]) -> set[str]:
        """Return the packages whose state matters: a patch of what an import uses does, too."""
        if self._used_by[0] != packages:
            count = len(sys.modules)
            used = {*with_own(frozenset(packages), count), *STANDARD}
            known = frozenset(used - STANDARD)
            others = set(self._packages.values()) - used
            used |= {other for other in others if is_used(other, known, count)}
            self._used_by = (set(packages), used)
        return self._used_by[1]

    def _is_due(self, target: str, used: set[str], key: str = "") -> bool:
        if (key or target) in self._done or target.startswith(_LAUNCHERS):
            return False
        if self._packages.get(_root(target)) not in used:
            return False
        self._done.add(key or target)
        library = self._space[_root(target)]
        if isinstance(library, ModuleType):
            names = frozenset(re.findall(r"\w+", target))
            self.modules |= dict.fromkeys(self._submodules.used(library.__name__, names))
        return True

    def _emit_target(self, target: str, label: str) -> None:
        if hide(target) != target:
            self.notes.append(f"{hide(target)}, set in {label}, is not sent to the workers.")
            return
        root = _root(target)
        try:
            live = eval(target, self._space)
        except AttributeError:
            self._emit_removed(target, root, label)
            return
        except Exception:
            return
        if isinstance(live, ModuleType) or self._is_original(live, target, root):
            return
        if target.endswith("]") and not self._takes_items(target):
            return
        self._emitter.emit(root)
        if not self._emitter.emit_value(target, live, How.STATE, f"{target} = {taken(target)}"):
            self.notes.append(self._emitter.failures.pop(target))

    def _takes_items(self, target: str) -> bool:
        """Whether it can have been set: the name may mean something else by now."""
        holder = eval(_holder(target), self._space)
        return hasattr(type(holder), "__setitem__")

    def _is_original(self, live: Any, target: str, root: str) -> bool:
        """Whether a library's own function or class is in its place again."""
        owner = self._space[root]
        home = getattr(owner, "__name__" if isinstance(owner, ModuleType) else "__module__", "")
        return (
            importable(live)
            and live.__qualname__.rpartition(".")[2] == target.rpartition(".")[2]
            and live.__module__.partition(".")[0] == str(home).partition(".")[0]
        )

    def _emit_removed(self, target: str, root: str, label: str) -> None:
        holder, _, name = target.rpartition(".")
        if holder == root and isinstance(self._space[root], ModuleType):
            self._emitter.emit(root)
            text = f"{holder}.__dict__.pop({name!r}, None)"
            self._emitter.items.append(Item(name=target, how=How.CALL, text=text, label=label))

    def _emit_content(self, target: str) -> None:
        """Emit what an imported plain container holds now, in place."""
        try:
            live = eval(target, self._space)
        except Exception:
            return
        if type(live) in _CONTAINERS and self._emitter.emit(_root(target)):
            key = f"content of {target}"
            content: object = copy.copy(live)
            if not self._emitter.emit_value(key, content, How.STATE, refilled(target, key)):
                self.notes.append(self._emitter.failures.pop(key))

    def _emit_setting(self, function: str, call: ast.Call, label: str) -> None:
        text = ast.unparse(call)
        if _NOT_REPEATED.search(function):
            return
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        parts = [part for argument in arguments for part in ast.walk(argument)]
        if any(isinstance(part, (ast.Call, ast.Await, ast.NamedExpr)) for part in parts):
            self.notes.append(f"{hide(text)} in {label} is not repeated in the workers.")
            return
        names = {part.id for part in parts if isinstance(part, ast.Name)} & self._space.keys()
        root = function.partition(".")[0]
        if all(map(self._emitter.emit, sorted(names))) and self._emitter.emit(root):
            line = keep_keys(self._emitter, text, self._space)
            shown = hide(text) if line != text else ""
            self._emitter.items.append(
                Item(name=function, how=How.CALL, text=line, label=label, shown=shown)
            )


def _holder(target: str) -> str:
    """Return what a subscript is of.

    >>> _holder("lib.options['a']['b']")
    "lib.options['a']"
    """
    node = ast.parse(target, mode="eval").body
    return ast.unparse(node.value) if isinstance(node, ast.Subscript) else target


def _root(target: str) -> str:
    return re.split(r"[.\[]", target, maxsplit=1)[0]


def process_state(*, seeded: bool) -> dict[str, Any]:
    """Return the state of random generators, if the notebook seeded them, and of decimal.

    The same in every rank, as after a fork. Generators that were never seeded are left alone: each
    rank draws its own numbers.
    """
    state: dict[str, Any] = {}
    modules: dict[str, Any] = dict(sys.modules)
    if seeded and "random" in modules:
        state["random"] = modules["random"].getstate()
    if seeded and "numpy" in modules:
        state["numpy"] = modules["numpy"].random.get_state()
    if seeded and "torch" in modules:
        state["torch"] = bytes(modules["torch"].get_rng_state().tolist())
    decimal = modules.get("decimal")
    if decimal and repr(decimal.getcontext()) != repr(decimal.DefaultContext):
        state["decimal"] = decimal.getcontext()
    return state


def search_path() -> list[str]:
    """Return where the notebook imports from, independent of the working directory."""
    return [os.path.abspath(entry) for entry in sys.path]
