"""Draws a notebook, and keeps a model of what its names hold.

A `Thing` knows how code may use it. Idioms and bodies are texts with holes:

============  ====================================================================================
``$F $G``     a name for a function; ``$C $D`` for a class, ``$X $Y`` for anything else; the same
              letter twice is the same name
``$N``        a name that was never used before
``?any``      an expression that gives something that there is; ``?fn ?cls ?obj ?list ?dict ?int
              ?mod`` something of this kind; a digit behind tells several apart and repeats one
``?call``     an expression that calls something; in a function only what stands lower in `ORDER`
``?val``      a literal
``#``         a small number
============  ====================================================================================
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.generated.notebook import Notebook

__all__ = ["ORDER", "Thing", "Writer", "cls", "data", "fn", "obj"]

FUNCTIONS = ["f", "g", "h", "make", "step"]
CLASSES = ["A", "B", "C", "Node", "Trainer"]
DATA = ["a", "b", "c", "n", "items", "table", "cfg", "total"]
ODD = ["größe", "_x", "_", "id", "list", "len", "values", "take", "property", "In"]
ORDER = ["f", "A", "g", "B", "h", "C", "make", "Node", "step", "Trainer"]
"""Code of a definition calls only names further left: nothing recurses without an end."""
_HOLE = re.compile(r"\$([FGCDXYZ])|\$N(\d?)|\?([a-z]+)(\d?)|#")
_LITERALS = [
    "0", "1", "-3", "True", "None", "2.5", "float('inf')", "1 << 70", "'text'", "''", "'it\\'s'",
    "'naïve ☃'", "b'raw'", "(1, 'two')", "()", "frozenset({3})", "1j", "...", "range(4)",
    "slice(1, 3)", "-0.0", "'a' * 1200", "2 ** 1100", "((1, 2), (3,))", "float('nan')", "False",
]  # fmt: skip


@dataclass(eq=False)
class Thing:
    """Something of the notebook.

    Attributes:
        kind: What it is.
        calls: Expressions that use it, with ``@`` in its place.
        changes: Statements that change it.
        parts: What can be reached from it, by what is written behind it.
        makes: For a class, what its instances can do: arguments of `Thing`.
        frozen: Whether its identity means nothing.
    """

    kind: str
    calls: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    parts: dict[str, Thing] = field(default_factory=dict)
    makes: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    frozen: bool = False


def fn(*calls: str) -> Thing:
    """A callable."""
    return Thing("fn", calls or ("@()",))


def data(kind: str = "val", *calls: str, changes: Sequence[str] = ()) -> Thing:
    """A value."""
    return Thing(kind, calls, tuple(changes), frozen=kind in ("val", "int"))


def obj(*calls: str, changes: Sequence[str] = ()) -> Thing:
    """An instance."""
    return Thing("obj", calls, tuple(changes))


def cls(*makes: str, uses: Sequence[str] = (), changes: Sequence[str] = ()) -> Thing:
    """A class: how it is made, and what its instances can do."""
    return Thing("cls", tuple(makes) or ("@()",), (), makes=(tuple(uses), tuple(changes)))


class Writer:
    """Draws from a random generator, which hypothesis may drive."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.names: dict[str, Thing] = {}
        self.used: Counter[str] = Counter()
        self._cells: list[list[str]] = [[]]
        self._fresh = 0

    # ------------------------------------------------------------------ choosing

    def pick(self, options: Sequence[Any]) -> Any:
        """Return one of them."""
        return options[self.random.randrange(len(options))]

    def chance(self, percent: int) -> bool:
        """Whether something that happens so often happens now."""
        return self.random.randrange(100) < percent

    def new_name(self, letter: str) -> str:
        """Return a name to bind: often one that is bound already."""
        if self.chance(4):
            return str(self.pick(ODD))
        pool = {"F": FUNCTIONS, "G": FUNCTIONS, "C": CLASSES, "D": CLASSES}.get(letter, DATA)
        return str(self.pick(pool))

    def fresh(self) -> str:
        """Return a name that is used once only."""
        self._fresh += 1
        return f"old{self._fresh}"

    # ------------------------------------------------------------------ what there is

    def things(self, *kinds: str, below: str | None = None) -> list[tuple[str, Thing]]:
        """Return expressions with what they give.

        Args:
            kinds: Only these.
            below: Only names left of this one in `ORDER`.
        """
        found: list[tuple[str, Thing]] = []
        for name, thing in self.names.items():
            if below is None:
                _reach(name, thing, 2, found)
            elif name in ORDER and _level(name) < _level(below):
                found.append((name, thing))
        return [pair for pair in found if not kinds or pair[1].kind in kinds]

    def some(self, *kinds: str, below: str | None = None) -> tuple[str, Thing] | None:
        """Return one of `things`."""
        found = self.things(*kinds, below=below)
        return self.pick(found) if found else None

    def literal(self) -> str:
        """Return a literal."""
        return str(self.pick(_LITERALS))

    def number(self) -> str:
        """Return a small number."""
        return str(self.random.randrange(1, 6))

    def anything(self) -> str:
        """Return an expression that gives something: rarely a literal."""
        found = self.some()
        return self.literal() if found is None or self.chance(10) else found[0]

    def call(self, below: str | None = None) -> str:
        """Return an expression that calls something."""
        usable = [(r, t) for r, t in self.things(below=below) if t.calls]
        if not usable:
            return f"({self.literal()}, {self.number()})"
        ref, thing = self.pick(usable)
        return self.fill(str(self.pick(thing.calls)).replace("@", ref))

    # ------------------------------------------------------------------ writing

    def fill(self, text: str, names: dict[str, str] | None = None, below: str | None = None) -> str:
        """Fill a text's holes; new names are added to `names`.

        Raises:
            LookupError: There is nothing of a kind that it needs.
        """
        names = {} if names is None else names
        lines = []
        for line in text.split("\n"):
            inside = line.startswith((" ", "@"))
            lines.append(_HOLE.sub(lambda hole: self._hole(hole, names, inside, below), line))  # noqa: B023
        return "\n".join(lines)

    def _hole(
        self, hole: re.Match[str], names: dict[str, str], inside: bool, below: str | None
    ) -> str:
        key = hole[0]
        if key == "#":
            return self.number()
        if key in names:
            return names[key]
        made = self._filling(hole, inside, below or names.get("$F") or names.get("$C"))
        if hole[1] or hole[4] or key.startswith("$N"):
            names[key] = made
        return made

    def _filling(self, hole: re.Match[str], inside: bool, below: str | None) -> str:
        kind = hole[3]
        if hole[1]:
            return self.new_name(hole[1])
        if kind is None:
            return self.fresh()
        if kind == "any":
            return self.anything()
        if kind == "val":
            return self.literal()
        if kind == "call":
            lowest = (below if below in ORDER else ORDER[0]) if inside else None
            return self.call(lowest)
        found = self.some(kind)
        if found is None and kind == "int":
            return self.number()
        if found is None:
            raise LookupError(kind)
        return found[0]

    def say(self, text: str) -> None:
        """Add statements to the notebook."""
        self._cells[-1].append(text)

    def bind(self, name: str, thing: Thing) -> None:
        """Remember what a name holds now."""
        self.names[name] = thing

    def cut(self) -> None:
        """Begin a new cell."""
        if self._cells[-1]:
            self._cells.append([])

    def cells(self) -> list[str]:
        """Return the texts of the cells so far."""
        return ["\n".join(cell) for cell in self._cells if cell]

    def run_again(self) -> None:
        """Run an earlier cell once more."""
        done = [cell for cell in self._cells if cell]
        if done:
            self.cut()
            self._cells[-1] = list(self.pick(done))
            self._cells.append([])

    def finish(self, body: str, **more: Any) -> Notebook:
        """Return the notebook."""
        return Notebook(cells=tuple(self.cells()), body=body, used=tuple(self.used), **more)


def _level(name: str) -> int:
    return ORDER.index(name) if name in ORDER else -1


def _reach(ref: str, thing: Thing, depth: int, found: list[tuple[str, Thing]]) -> None:
    found.append((ref, thing))
    if depth:
        for step, part in thing.parts.items():
            _reach(ref + step, part, depth - 1, found)
