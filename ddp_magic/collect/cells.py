"""Every cell that ran, remembered from run to run; in the kernel.

IPython and ipykernel put each executed cell into `linecache` under the file name that its code
has. That is what ran: never the .ipynb, whose cells may have been edited or deleted since. Cells
are looked at when they are new, roughly; only those that matter to a run are ever parsed, so that a
long notebook costs no more than a short one.
"""

from __future__ import annotations

import ast
import linecache
import re
import warnings
from collections import defaultdict
from typing import TYPE_CHECKING

from ddp_magic.collect.proofs import Proofs
from ddp_magic.collect.texts import CellText, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from ddp_magic.collect.notebook import Notebook

__all__ = ["Cells"]

_WORD = r"[^\W\d]\w*"
_SUITE = r"(?:^|;)[ \t]*"
_ROOT = re.compile(rf"{_SUITE}(?:del[ ]|await[ ])?[(\[]?({_WORD})[ \t]*[.\[]", re.MULTILINE)
"""What a statement begins with, as ``torch`` in ``torch.backends.cudnn.benchmark = True``."""
_TUPLE = re.compile(rf",[ \t]*({_WORD})[ \t]*[.\[][^=\n(]*=(?!=)")
"""Likewise further targets, as in ``a, torch.x = 1, 2``."""
_BOUND = re.compile(rf"{_SUITE}({_WORD})[ \t]*(?:=(?!=)|:[^=\n]*=(?!=)|[-+*/@|&^%]=)", re.MULTILINE)
_IMPORTS = re.compile(r"\bfrom\b[^\n]*\bimport\b")
_SEED = re.compile(r"seed\w*[ \t]*\(")
_MAGIC = "run_cell_magic("
_IN_MAGIC = re.compile(r"\\n|['\"]")
"""Where lines begin in the text of a cell below a cell magic, which is a string of one line."""


class Cells:
    """The executed cells of one notebook.

    Args:
        notebook: The live shell.

    Attributes:
        importing: Cells with ``from ... import``.
        magic: Cells that are cell magics, as ``%%time``.
        seeding: Cells that may seed a random generator.
        proofs: What was proved of what they define.
    """

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self._texts: dict[str, str] = {}
        self._others: set[str] = set()
        self._compiled: dict[tuple[str, int], CellText | None] = {}
        self._beginning: dict[str, set[str]] = defaultdict(set)
        self._binding: dict[str, list[str]] = defaultdict(list)
        self.importing: list[str] = []
        self.magic: list[str] = []
        self.seeding: list[str] = []
        self.proofs = Proofs()

    def update(self) -> None:
        """Look at the cells that ran since the last time."""
        known, others = self._texts, self._others
        for filename in [f for f in linecache.cache if f not in known and f not in others]:
            entry = linecache.cache[filename]
            if len(entry) == 4 and entry[1] is None and self._notebook.label(filename):
                self._add(filename, "".join(entry[2]))
            else:
                others.add(filename)

    def _add(self, filename: str, text: str) -> None:
        self._texts[filename] = text
        if _MAGIC in text:
            text = _IN_MAGIC.sub("\n", text)
        for root in {*_ROOT.findall(text), *_TUPLE.findall(text)}:
            self._beginning[root].add(filename)
        for name in set(_BOUND.findall(text)):
            self._binding[name].append(filename)
        if _IMPORTS.search(text):
            self.importing.append(filename)
        if _MAGIC in text:
            self.magic.append(filename)
        elif _SEED.search(text):
            self.seeding.append(filename)

    def all(self) -> Iterator[tuple[str, str]]:
        """Yield file name and text of every cell that ran."""
        yield from self._texts.items()

    def text(self, filename: str) -> str:
        """Return a cell's text."""
        return self._texts[filename]

    @property
    def roots(self) -> AbstractSet[str]:
        """The names that statements begin with which go on with a dot or a bracket."""
        return self._beginning.keys()

    def beginning(self, roots: Iterable[str]) -> set[str]:
        """Return the cells that have statements which begin with one of the names."""
        return set().union(*(self._beginning.get(root, ()) for root in roots))

    def binding(self, name: str) -> list[str]:
        """Return the cells that seem to assign to a name, in the order of their first run."""
        found = self._binding.get(name)
        return found or [f for f, text in self._texts.items() if name in text]

    def cell(self, filename: str, flags: int) -> CellText | None:
        """Return the cell behind a code object's file name, compiled with these flags."""
        key = (filename, flags)
        if key not in self._compiled:
            text = self._texts.get(filename) or _unlisted(filename)
            self._compiled[key] = _compiled(filename, text, flags) if text else None
        return self._compiled[key]


def _unlisted(filename: str) -> str:
    """Return the text of code that is no cell's, as of a doctest or of another shell."""
    entry = linecache.cache.get(filename)
    return "".join(entry[2]) if entry and len(entry) == 4 and entry[1] is None else ""


def _compiled(filename: str, text: str, flags: int) -> CellText | None:
    tree = parse(text)
    if tree is None:
        return None
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    # IPython compiles statement by statement: a method call on what is imported beside it is
    # another instruction, and `from __future__` may stand anywhere
    modules = [ast.Module([node], []) for node in tree.body]
    with warnings.catch_warnings(action="ignore"):
        code = tuple(compile(m, filename, "exec", flags, dont_inherit=True) for m in modules)
    return CellText(filename=filename, text=text, tree=tree, compiled=code)
