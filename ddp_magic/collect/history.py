"""What the cells that ran did besides binding names, asked for by name; runs in the kernel."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from functools import cached_property
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect import statements
from ddp_magic.collect.code import facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from ddp_magic.collect.cells import Cells
    from ddp_magic.collect.notebook import Notebook
    from ddp_magic.collect.statements import Statements
    from ddp_magic.collect.texts import Texts

__all__ = ["History"]

_NUMBER = re.compile(r"\[(\d+)\]")


class History:
    """Questions of one run to the cells.

    Args:
        notebook: The live shell.
        texts: Names the cells.
        cells: What ran.
    """

    def __init__(self, notebook: Notebook, texts: Texts, cells: Cells) -> None:
        self._notebook = notebook
        self.texts = texts
        self._cells = cells
        self._setups = {setup.filename for setup in notebook.setups}
        self._imports: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._stars: set[str] = set()
        for _, found in self._read(dict.fromkeys([*cells.importing, *cells.magic])):
            for name, module, attribute in found.imports:
                self._imports[name].append((module, attribute))
            self._stars.update(found.stars)

    def imported_from(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield module and attribute that a cell may have imported a name from."""
        yield from self._imports.get(name, ())
        for star in self._stars:
            module: Any = sys.modules.get(star)
            public = getattr(module, "__all__", None)
            if name in public if public is not None else not name.startswith("_"):
                yield star, name

    def names_imported(self, names: Mapping[str, Any]) -> set[str]:
        """Return those names that a cell may have imported from a module."""
        found = set(self._imports.keys() & names.keys())
        for star in self._stars:
            module: Any = sys.modules.get(star)
            public = getattr(module, "__all__", None)
            known = vars(module).keys() if module and public is None else set(public or ())
            found |= {n for n in known & names.keys() if public is not None or n[:1] != "_"}
        return found

    @property
    def roots(self) -> AbstractSet[str]:
        """The names that statements begin with which may set, or call, what belongs to them."""
        return self._cells.roots

    def beginning(self, roots: Iterable[str]) -> Iterator[tuple[str, Statements]]:
        """Yield label and statements of the cells that may change what these names stand for.

        In the order in which they ran last.
        """
        yield from self._read({*self._cells.beginning(roots), *self._cells.magic})

    def assigned_in(self, name: str) -> str:
        """Return the last cell that visibly set a name, or an empty string."""
        if not name.isidentifier():
            return ""
        found = sorted(self._cells.binding(name), key=self._when, reverse=True)
        labelled = ((label, read) for each in found for label, read in self._read([each]))
        return next((label for label, read in labelled if name in read.binds), "")

    def ran(self) -> Iterator[tuple[str, str]]:
        """Yield file name and text of every cell, in the order in which they ran last."""
        for filename, text in sorted(self._cells.all(), key=lambda cell: self._when(cell[0])):
            found = statements.read(text) if filename in self._cells.magic else None
            yield filename, text
            for body in found.timed if found else ():
                yield filename, self._notebook.transform(body)

    def label(self, filename: str) -> str:
        """Return a cell's name for people."""
        return self.texts.label(filename)

    @cached_property
    def seeded(self) -> bool:
        """Whether a cell has seeded a random generator, by itself or in a function it calls.

        Setup cells do that in the workers too.
        """
        cells = {*self._cells.seeding, *self._cells.magic} - self._setups
        calls = (call for _, read in self._read(cells) for call in read.calls)
        return any(self._seeds(call.function) for call in calls)

    def _seeds(self, function: str) -> bool:
        live = self._notebook.user_ns.get(function)
        inside = facts(live.__code__).names if isinstance(live, FunctionType) else ()
        return any(map(statements.seeds, [function, *inside]))

    def _read(self, filenames: Iterable[str]) -> Iterator[tuple[str, Statements]]:
        for filename in sorted(filenames, key=self._when):
            waiting = [self._cells.text(filename)]
            while waiting:
                found = statements.read(waiting.pop())
                if found is not None:
                    yield self.texts.label(filename), found
                    waiting += map(self._notebook.transform, found.timed)

    def _when(self, filename: str) -> int:
        """Return the number of the cell's last execution: In[3]."""
        number = _NUMBER.search(self._notebook.label(filename) or "")
        return int(number[1]) if number else 0
