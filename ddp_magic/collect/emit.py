"""Decides how each name travels and in which order; runs in the kernel.

The order of the items is the order of need: whatever a line evaluates, and whatever code runs while
a value is unpickled, stands above it.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect import code as codes
from ddp_magic.collect.definitions import How, Item
from ddp_magic.collect.explain import explain
from ddp_magic.collect.imports import import_line, imported_objects
from ddp_magic.collect.lines import taken
from ddp_magic.collect.literals import is_literal
from ddp_magic.collect.mentions import annotations_of, defaults_of, strings_in
from ddp_magic.collect.progress import Progress
from ddp_magic.collect.provable import Proof, Unproved, names_at_definition
from ddp_magic.collect.segments import Segments, WriteError
from ddp_magic.collect.texts import methods
from ddp_magic.collect.waiting import Waiting
from ddp_magic.pickling import Sender

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ddp_magic.collect.cells import Cells
    from ddp_magic.collect.history import History
    from ddp_magic.collect.notebook import Cell, Notebook
    from ddp_magic.pickling import BlobWriter
    from ddp_magic.rundir import RunDir

__all__ = ["Emitter"]

_NEVER = frozenset({"__name__", "__builtins__", "__builtin__", "__file__", "__spec__"})


class Emitter:
    """Turns names of the notebook into items.

    Attributes:
        space: The notebook's namespace.
        items: What the module holds so far.
        queue: Code that workers may run, whose names are to be followed.
        words: Identifiers in collected strings, for code that looks names up by string.
        failures: Why a name cannot be sent.
        objects: What went by source, by name.
        by_value: Functions and classes that went by value.
        made: Objects (by id) that the worker's setup cells make, and what gives them there.
        anew: Objects (by id) that the cell's head makes anew, and what goes into them before.
    """

    def __init__(
        self, cell: Cell, notebook: Notebook, run: RunDir, history: History, cells: Cells
    ) -> None:
        self._notebook = notebook
        self.space = notebook.user_ns
        self.anew = cell.anew
        self._texts = history.texts
        self._history = history
        self._proofs = cells.proofs
        self._states: dict[str, Progress] = {}
        self._whys: dict[str, str] = {}
        self.packages: set[str] = set()
        self.modules: set[str] = set()
        self.made: dict[int, str] = {}
        self.segments = Segments(run, self._sender)
        self.items: list[Item] = []
        self.queue = Waiting()
        self.words: set[str] = set()
        self.failures: dict[str, str] = {}
        self.objects: dict[str, Any] = {}
        self.by_value: list[FunctionType | type] = []

    def _sender(self, blobs: BlobWriter) -> Sender:
        return Sender(
            main=self.space,
            blobs=blobs,
            definition=self._definition,
            filename=self._texts.label,
            by_value=self._note_by_value,
            packages=self.packages,
            modules=self.modules,
            imported=imported_objects(self.space, self._history, self.emit),
            made=self.made,
            anew=self.anew,
        )

    def wanted(self, name: str) -> bool:
        """Whether a name is the notebook's own: bound, and not IPython's."""
        return name in self.space and name not in _NEVER and not self._notebook.hidden(name)

    def known(self, name: str) -> bool:
        """Whether the name has been emitted, or has failed."""
        return name in self._states

    def take_as_bound(self, names: Iterable[str]) -> None:
        """Emit no such names: a setup cell binds them."""
        self._states.update(dict.fromkeys(names, Progress.DONE))

    def forget(self, name: str) -> bool:
        """Let a name be emitted again; returns whether it was."""
        self.objects.pop(name, None)
        return self._states.pop(name, None) is not None

    def emit(self, name: str) -> bool:
        """Put a name into the module, with all that it needs; False if it cannot be sent."""
        state = self._states.get(name)
        if state is Progress.STARTED:
            self._demote(name)
        if state is not None:
            return state is not Progress.FAILED
        value = self.space[name]
        line = import_line(name, value, self._history)
        if line:
            return self._add(Item(name=name, how=How.IMPORT, text=line))
        if self._emit_source(name, value):
            return True
        if is_literal(name, value):
            self._note_words(value)
            label = self._history.assigned_in(name)
            kind = type(value).__name__
            text = f"{name} = {value!r}"
            return self._add(Item(name=name, how=How.LITERAL, text=text, label=label, kind=kind))
        return self.emit_value(name, value)

    def emit_value(self, name: str, value: Any, how: How = How.VALUE, text: str = "") -> bool:
        """Put a value into the module that is not a notebook name's own; False if it cannot be.

        Args:
            name: What to call it; a key of `failures` where it fails.
            value: The value.
            how: What the module does with it.
            text: The statement; by default the name is bound.
        """
        self._states[name] = Progress.BY_VALUE
        label = self._history.assigned_in(name)
        while True:
            count, mark = len(self.segments.names), len(self.queue)
            try:
                segment = self.segments.draft(value)
            except WriteError as error:
                self.queue.drop(mark)
                self._states[name] = Progress.FAILED
                self.failures[name] = explain(name, value, error, label)
                return False
            self._emit_read_while_loading()
            if len(self.segments.names) == count:
                break
        self.segments.add(name, segment)
        self._note_words(value)
        return self._add(
            Item(
                name=name,
                how=how,
                text=text or f"{name} = {taken(name)}",
                label=label,
                kind="class" if isinstance(value, type) else type(value).__qualname__,
                nbytes=segment.nbytes,
                why=self._whys.get(name, ""),
            )
        )

    def _emit_read_while_loading(self) -> None:
        """Emit what definitions read: unpickling may run them."""
        while (name := self.queue.next_name()) is not None:
            if self.wanted(name) and not self.known(name):
                self.emit(name)

    def _emit_source(self, name: str, obj: Any) -> bool:
        if name in self.objects:
            return True
        if not isinstance(obj, (FunctionType, type)) or name in self._whys:
            return False
        try:
            proof = self._proofs.prove(name, obj, self._texts, self.space)
        except Unproved as reason:
            self._whys[name] = str(reason)
            return False
        self._states[name] = Progress.STARTED
        for needed in sorted(names_at_definition(proof.node) - {name}):
            if not self.wanted(needed):
                continue
            sent = self.emit(needed)
            if not sent or self._states.get(needed) is Progress.BY_VALUE:
                begun = "is still being written" if sent else "cannot be sent"
                self._whys[name] = f"needs {needed}, which {begun}"
                self._states[name] = Progress.BY_VALUE
        if self._states[name] is Progress.BY_VALUE:
            del self._states[name]
            return False
        self._add_source(name, obj, proof)
        return True

    def _add_source(self, name: str, obj: Any, proof: Proof) -> None:
        self.objects[name] = obj
        self.queue.add(*(func.__code__ for func in proof.code))
        self._note_words(annotations_of(obj, *proof.code))
        self._note_words(defaults_of(proof.code))
        self._add(
            Item(
                name=name,
                how=How.SOURCE,
                text=proof.text,
                label=proof.label,
                first_line=min([proof.node.lineno, *(d.lineno for d in proof.node.decorator_list)]),
                kind="class" if isinstance(obj, type) else "function",
            )
        )

    def _add(self, item: Item) -> bool:
        self._states[item.name] = Progress.DONE
        self.items.append(item)
        return True

    def _definition(self, obj: Any) -> str | None:
        """Name what the module defines by source, before the value that refers to it."""
        name = getattr(obj, "__name__", None)
        if not isinstance(name, str) or getattr(obj, "__module__", None) != "__main__":
            return None
        if self.space.get(name) is not obj:
            return None
        if self._states.get(name) is Progress.STARTED:
            self._demote(name)
        return name if self._emit_source(name, obj) else None

    def _demote(self, name: str) -> None:
        """Send by value what is needed to define itself: a value is made first and filled later."""
        self._states[name] = Progress.BY_VALUE
        self._whys[name] = "is needed while it is being defined"

    def _note_by_value(self, obj: FunctionType | type) -> None:
        self.by_value.append(obj)
        if isinstance(obj, type):
            self._note_words(annotations_of(obj, *methods(obj)))
        elif obj.__globals__ is self.space:
            self.queue.add(obj.__code__)

    def _note_words(self, value: Any) -> None:
        for text in strings_in(value):
            self.words.update(codes.words(text))
