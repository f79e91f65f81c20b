"""Follows live code from the cell's body to all that it reaches; runs in the kernel."""

from __future__ import annotations

import builtins
import sys
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect import certain, computed, rules
from ddp_magic.collect.body import read_body
from ddp_magic.collect.cells import Cells
from ddp_magic.collect.code import facts
from ddp_magic.collect.definitions import Definitions, How, Item, Reached
from ddp_magic.collect.drift import changed_on_disk
from ddp_magic.collect.emit import Emitter
from ddp_magic.collect.environ import variables_set
from ddp_magic.collect.history import History
from ddp_magic.collect.lines import FINAL, finished, taken
from ddp_magic.collect.listing import Listing
from ddp_magic.collect.named import names_of
from ddp_magic.collect.overriding import emit_override
from ddp_magic.collect.preamble import Preamble
from ddp_magic.collect.private import keep_arguments, keep_body
from ddp_magic.collect.state import State, process_state, search_path
from ddp_magic.collect.texts import Texts
from ddp_magic.futures import future_flags
from ddp_magic.pickling.functions import Submodules
from ddp_magic.pickling.objects import made_by_hand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.collect.code import Facts
    from ddp_magic.collect.notebook import Cell, Notebook
    from ddp_magic.overrides import Bound
    from ddp_magic.rundir import RunDir

__all__ = ["Collector"]


class Collector:
    """Collects for one run: `gather`, then `finish` once the overrides are known.

    Args:
        cell: The cell that is being run.
        notebook: The live shell.
        run: Where values go.
        cells: What ran in the notebook, as an earlier run has seen it; what is new is added.
    """

    def __init__(
        self, cell: Cell, notebook: Notebook, run: RunDir, cells: Cells | None = None
    ) -> None:
        self._cell = cell
        self._notebook = notebook
        self._flags = future_flags(notebook.flags)
        cells = cells or Cells(notebook)
        self._texts = Texts(notebook, self._flags, cells)
        self._history = History(notebook, self._texts, cells)
        self._emitter = Emitter(cell, notebook, run, self._history, cells)
        self._preamble = Preamble(notebook, self._texts, self._history, self._emitter)
        self._state = State(notebook.user_ns, self._history, self._emitter, self._preamble.labels)
        self._seen: set[CodeType] = set()
        self._names: set[str] = set()
        self._guessed: set[str] = set()
        self._modules: dict[str, None] = {}
        self._submodules = Submodules()
        self._imported: set[str] = set()
        self._by_string = False

    def gather(self) -> Reached:
        """Collect what the body reaches.

        Raises:
            SyntaxError: The body is not Python.
            CollectError: The body cannot run in a worker, or reads what cannot be sent.
        """
        self._body = read_body(self._cell, self._notebook)
        rules.refuse_addresses(self._body.tree, "The cell")
        rules.refuse_second_group(self._body.tree)
        self._add_setups()
        reads = {n for n in self._body.reads if self._emitter.wanted(n)}
        self._follow(self._body.code, reads)
        self._run_queue()
        certain.refuse(self._emitter, reads, self._body, self._seen, self._texts)
        rules.refuse_reached(self._body.tree, self._seen, self._names_in_code(), self._texts)
        self._shown = keep_body(self._emitter, self._body.text)
        self._argv = keep_arguments(self._emitter, sys.argv)
        return Reached(
            names=frozenset(self._names | self._guessed),
            tree=self._body.tree,
            stores=frozenset(self._body.stores),
        )

    def finish(self, overrides: Sequence[Bound], *, dry: bool = False) -> Definitions:
        """Add the overrides' values and return all; write no value if `dry`.

        Raises:
            CollectError: An override's value cannot be sent.
            PlaceError: The disk is full.
        """
        for bound in overrides:
            emit_override(self._emitter, bound)
            self._preamble.override(bound)
        self._run_queue()
        emitter = self._emitter
        state = self._preamble.not_seeded(process_state(seeded=self._history.seeded))
        emitter.emit_value(FINAL, state, How.FINAL, finished())
        sent = emitter.segments.close(dry=dry)
        listing = self._listing()
        held = emitter.modules and self._submodules.below(emitter.modules, self._names_in_code())
        return Definitions(
            cell=self._cell,
            body=self._shown,
            items=tuple(emitter.items),
            overrides=tuple(overrides),
            texts=listing.texts,
            classes=listing.classes,
            filenames=self._texts.filenames,
            flags=self._flags,
            modules=(*self._modules, *self._state.modules, *held),
            path=tuple(search_path()),
            argv=self._argv,
            segments=tuple(emitter.segments.names),
            left_out={**self._hidden(), **emitter.failures},
            notes=(*self._notes(), *self._computed(overrides), *sent),
            setups=tuple(self._preamble.labels),
            process=tuple(state),
            objects=emitter.objects,
            packages=frozenset(self._packages()),
            environ=variables_set(self._seen),
        )

    def _listing(self) -> Listing:
        listing = Listing(self._texts, self._cell, self._body.text)
        listing.add_sources(self._emitter.items)
        listing.add_cells(setup.cell for setup in self._preamble.setups)
        listing.add_code(self._seen)
        listing.add_values(self._emitter.by_value)
        return listing

    def _add_setups(self) -> None:
        """Put the setup cells first, each behind what it needs."""
        for setup in self._preamble.setups:
            self._follow(setup.body.code, self._preamble.reads(setup))
            self._run_queue(early=True)
            self._preamble.add(setup, self._seen, self._names)
        self._preamble.finish()

    def _run_queue(self, *, early: bool = False) -> None:
        """Follow queued code until nothing new turns up."""
        queue = self._emitter.queue
        items = -1
        while queue or items != len(self._emitter.items):
            items = len(self._emitter.items)
            while queue:
                code = queue.pop()
                if code not in self._seen:
                    self._follow(code, {n for n in facts(code).reads if self._emitter.wanted(n)})
            self._emit_by_string()
            self._emit_names()
            self._state.emit(self._packages(), early=early)

    def _follow(self, code: CodeType, reads: set[str]) -> None:
        said = facts(code)
        self._seen.add(code)
        self._names |= reads
        self._by_string |= said.by_string
        self._emitter.words |= said.words
        for name in sorted(reads):
            self._emitter.emit(name)
        self._add_display(said)
        self._add_modules(said, reads)

    def _emit_by_string(self) -> None:
        """Emit what strings name, once any code looks names up by string; never a failure."""
        while self._by_string:
            found = {n for n in self._emitter.words if self._emitter.wanted(n)}
            new = sorted(n for n in found if not self._emitter.known(n))
            self._guessed |= found
            if not new:
                return
            for name in new:
                self._emitter.emit(name)

    def _emit_names(self) -> None:
        """Bind the names of what went by value: a worker may pickle it by reference."""
        for name in list(names_of(self._emitter.by_value, self._notebook.user_ns)):
            if self._emitter.wanted(name) and not self._emitter.known(name):
                self._guessed.add(name)
                self._emitter.emit(name)

    def _add_display(self, said: Facts) -> None:
        """Import what IPython puts among the builtins of a notebook."""
        if "display" in said.reads and not self._emitter.known("display"):
            shown: Any = getattr(builtins, "display", None)
            if "display" not in self._notebook.user_ns and shown is not None:
                text = "from IPython.display import display"
                self._emitter.items.append(Item(name="display", how=How.IMPORT, text=text))

    def _add_modules(self, said: Facts, reads: set[str]) -> None:
        for name in reads:
            value = self._notebook.user_ns[name]
            if isinstance(value, ModuleType):
                found = self._submodules.used(value.__name__, said.names)
                self._modules.update(dict.fromkeys(found))
        for name in said.imports:
            self._imported.add(name.partition(".")[0])
            module = sys.modules.get(name)
            key = f"module {name}"
            if module and made_by_hand(module) and not self._emitter.known(key):
                self._emitter.emit_value(key, module, How.STATE, taken(key))

    def _names_in_code(self) -> frozenset[str]:
        return frozenset(name for code in self._seen for name in facts(code).names)

    def _packages(self) -> set[str]:
        lines = [item.text for item in self._emitter.items if item.how is How.IMPORT]
        imported = {line.split()[1].partition(".")[0] for line in lines}
        return imported | self._imported | self._emitter.packages

    def _hidden(self) -> dict[str, str]:
        """Say of IPython's own names why a worker has none of them."""
        read = {name for code in self._seen for name in facts(code).reads}
        own = {n for n in read if self._notebook.hidden(n) and not hasattr(builtins, n)}
        return dict.fromkeys(own, "IPython's own names stay in the notebook.")

    def _computed(self, overrides: Sequence[Bound]) -> list[str]:
        names = {item.name for item in self._emitter.items}
        return computed.notes(overrides, self._history, names, self._notebook.user_ns)

    def _notes(self) -> list[str]:
        out = [
            f"{name} stays behind, and code that reads it will fail: {why}"
            for name, why in self._emitter.failures.items()
            if name not in self._guessed - self._names
        ]
        return [*self._preamble.notes, *out, *changed_on_disk(self._packages()), *self._state.notes]
