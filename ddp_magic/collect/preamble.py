"""What comes first in the module: the notebook's setup cells; runs in the kernel.

A setup cell runs again in each rank. So what it has made here does not travel: values that hold
such an object name it, and until the cell has run in the rank, ``None`` stands where the cell will
put it.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.code import facts
from ddp_magic.collect.definitions import How, Item
from ddp_magic.collect.hiding import hide, holds_key
from ddp_magic.collect.imports import import_line
from ddp_magic.collect.lines import refilled, set_up, taken
from ddp_magic.collect.setup import in_order, is_shared, live, may_change, seeded
from ddp_magic.errors import CollectError
from ddp_magic.sourcemap import COMMENT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from types import CodeType

    from ddp_magic.collect.emit import Emitter
    from ddp_magic.collect.history import History
    from ddp_magic.collect.notebook import Notebook
    from ddp_magic.collect.setup import Setup
    from ddp_magic.collect.texts import Texts
    from ddp_magic.overrides import Bound

__all__ = ["Preamble"]

_CONTAINERS = (dict, list, set)
_LONGEST = 100_000
"""Containers with more items are not searched for what a cell has put there."""
_LATER = "None"
"""Stands for what a setup cell has not put there yet."""


class Preamble:
    """Emits setup cells, each with what it needs before it.

    Args:
        notebook: The live shell.
        texts: Names their cells for this run.
        history: What cells imported.
        emitter: Takes the items.

    Attributes:
        setups: In the order in which they run.
    """

    def __init__(
        self, notebook: Notebook, texts: Texts, history: History, emitter: Emitter
    ) -> None:
        self.setups = [_labelled(setup, texts) for setup in in_order(notebook.setups)]
        self._seeded: set[str] = set()
        self._space = space = notebook.user_ns
        self._emitter = emitter
        self._names: dict[str, set[str]] = {}
        self._holding: dict[str, set[str]] = {}
        self._again: dict[str, None] = {}
        for setup in self.setups:
            own = [name for name in setup.own if not import_line(name, space[name], history)]
            emitter.take_as_bound(own)
            self._promise(setup)

    @property
    def labels(self) -> list[str]:
        """The cells."""
        return [setup.cell.label for setup in self.setups]

    @property
    def notes(self) -> list[str]:
        """What the user should see of them before the run."""
        if not self.setups:
            return []
        cells = ", ".join(self.labels)
        if len(self.setups) == 1:
            return [f"The setup cell {cells} runs first in every worker."]
        return [f"The setup cells {cells} run first in every worker, in this order."]

    def reads(self, setup: Setup) -> set[str]:
        """Return the notebook's names that a setup cell reads and does not make itself.

        What such a name held before the cell ran here goes along, if it can.
        """
        for name, value in setup.before.items():
            key = f"{name} before {setup.cell.label}"
            text = f"{name} = {taken(key)}"
            if not self._emitter.emit_value(key, value, How.VALUE, text):
                del self._emitter.failures[key]
        return {n for n in setup.body.reads - setup.binds if self._emitter.wanted(n)}

    def add(self, setup: Setup, reached: Iterable[CodeType], names: Collection[str]) -> None:
        """Put a setup cell into the module, behind all that it needs.

        Args:
            setup: The cell.
            reached: The code that it may run.
            names: The notebook's names that this reads.

        Raises:
            CollectError: It reads what cannot be sent.
        """
        label = setup.cell.label
        failures = self._emitter.failures
        direct = setup.body.reads - setup.binds
        failed = [failures[n] for n in sorted(direct & failures.keys())]
        if failed:
            told = f"The setup cell {label} needs it, and runs first in every worker."
            raise CollectError("\n".join([*failed, told]))
        if setup.seeds:
            self._seeded |= seeded(reached, self._space)
        self._names[label] = {*names, *setup.body.reads}
        self._emit_text(setup)
        self._keep_promise(setup)
        changed = direct & setup.changes
        changed |= {n for code in reached if may_change(code) for n in facts(code).reads}
        holding = self._holding[label] & {*names, *direct}
        for name in sorted({*(changed - setup.binds), *holding}):
            self._refill(name, label)

    def _refill(self, name: str, label: str) -> None:
        """Give a plain container what it holds in the notebook: the cell has added that again."""
        value = self._space.get(name)
        if type(value) in _CONTAINERS:
            key = f"content of {name} after {label}"
            content: object = copy.copy(value)
            if not self._emitter.emit_value(key, content, How.STATE, refilled(name, key)):
                raise CollectError(self._emitter.failures[key])

    def finish(self) -> None:
        """Give names that the notebook has set again since their setup cell its value again."""
        for name in self._again:
            self._emitter.emit(name)

    def not_seeded(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the state of the process without the generators that setup cells seed.

        A rank may seed them with its own number, and goes on from there.
        """
        return {name: kept for name, kept in state.items() if name not in self._seeded}

    def override(self, bound: Bound) -> None:
        """Let setup cells read an override that was just emitted.

        Raises:
            CollectError: It is a value that can stand in one place only.
        """
        readers = [s for s in self.setups if bound.root in self._names[s.cell.label]]
        if not bound.root or not readers:
            return
        items, label = self._emitter.items, readers[0].cell.label
        item = items[-1]
        if item.nbytes:
            raise CollectError(
                f"{bound.root} is read by the setup cell {label}, for which the line can give a "
                f"plain value only. Set {bound.root} in a cell."
            )
        at = next(i for i, it in enumerate(items) if it.how is How.SETUP and it.name == label)
        items.insert(at, replace(item, name=f"{item.name}, for the setup cell"))

    def _promise(self, setup: Setup) -> None:
        """Say of what the cell makes that it is not there yet."""
        placed = {id(live(path, self._space)) for path in setup.paths}
        made = set(map(id, setup.fresh.values()))
        holding = self._holding[setup.cell.label] = set[str]()
        for name, value in self._space.items():
            if type(value) in _CONTAINERS and len(value) <= _LONGEST:
                held = made.intersection(map(id, _values(value)))
                placed |= held
                holding.update([name] if held and self._emitter.wanted(name) else [])
        for obj in setup.fresh.values():
            self._emitter.made[id(obj)] = _LATER if id(obj) in placed else ""

    def _keep_promise(self, setup: Setup) -> None:
        """Name from now on what the cell has made in the rank."""
        for path, obj in setup.fresh.items():
            if live(path, self._space) is obj and not is_shared(obj):
                self._emitter.made[id(obj)] = path
                if isinstance(obj, (FunctionType, type)) and path.isidentifier():
                    self._emitter.objects[path] = obj
            else:
                self._emitter.made.pop(id(obj), None)
        self._emitter.take_as_bound(setup.own)
        for name in sorted(setup.binds - setup.own.keys()):
            if self._emitter.wanted(name) and self._emitter.forget(name):
                self._again[name] = None

    def _emit_text(self, setup: Setup) -> None:
        """Add the cell's own text; as a value where that has a key, or awaits at top level."""
        label, text = setup.cell.label, setup.cell.body
        if not (holds_key(text) or setup.body.code.co_flags & inspect.CO_COROUTINE):
            item = Item(
                name=label,
                how=How.SETUP,
                text=text,
                label=label,
                first_line=setup.cell.first_line,
            )
            self._emitter.items.append(item)
            return
        shown = "".join(f"{COMMENT}{line}\n" for line in hide(text).rstrip("\n").split("\n"))
        call = set_up(label, setup.cell.first_line)
        self._emitter.emit_value(label, text, How.SETUP, shown + call)
        self._emitter.items[-1] = replace(self._emitter.items[-1], label=label)


def _values(container: Any) -> Iterable[Any]:
    """Return what a plain container holds, without keys."""
    return container.values() if isinstance(container, dict) else container


def _labelled(setup: Setup, texts: Texts) -> Setup:
    return replace(setup, cell=replace(setup.cell, label=texts.label(setup.filename)))
