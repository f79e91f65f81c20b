"""A %%ddp_setup cell, as collection knows it: read, refused, ordered; runs in the kernel."""

from __future__ import annotations

import ast
import dis
import inspect
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect import code as codes
from ddp_magic.collect import rules, statements
from ddp_magic.collect.body import read_body
from ddp_magic.collect.texts import parse
from ddp_magic.errors import CollectError
from ddp_magic.pickling.objects import importable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import CodeType

    from ddp_magic.collect.body import Body
    from ddp_magic.collect.notebook import Cell, Notebook

__all__ = ["Setup", "in_order", "is_shared", "live", "may_change", "read_setup", "seeded"]

GENERATORS = frozenset({"random", "numpy", "torch"})
_VALUES = (int, float, complex, str, bytes, type(None), type(Ellipsis), ModuleType)
_ROOTS = frozenset({"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FAST", "LOAD_DEREF"})
_OF_ONE = frozenset({"seed", "manual_seed"})
_CHANGING = frozenset(
    {"add", "append", "clear", "discard", "extend", "insert", "pop", "remove", "setdefault"}
    | {"reverse", "sort", "update"}
)
_FUTURE = (
    "from __future__ (line {}) holds for the whole session, and a setup cell for itself. Put it "
    "into a cell of its own above this one; it then holds in the workers too."
)
_GROUP = (
    "The cell calls init_process_group() in line {}, and it runs in the notebook too, which is in "
    "no group of workers. Call it in the %%ddp cell."
)
_NESTED = "A %%ddp_setup cell cannot hold a %%ddp line (line {}: {}). Give that a cell of its own."
_NOTHING = (
    "There is nothing to run below the %%ddp_setup line. "
    "Write there what each worker is to do before all else."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """A cell that ran in the notebook and runs first in every rank.

    Attributes:
        cell: Its text below the magic line; lines are counted as in the cell's code.
        body: That, parsed.
        filename: The file name of its code in this kernel.
        binds: Names that it has bound.
        own: What it has bound and the notebook still has: each rank makes its own.
        fresh: Objects that it has made, by a name or path that it has set: ``Store.conn``.
        before: What names that it reads and binds held before it ran here.
        seeds: Whether no later cell has seeded random generators again.
    """

    cell: Cell
    body: Body
    filename: str
    binds: frozenset[str]
    own: Mapping[str, Any]
    fresh: Mapping[str, Any]
    before: Mapping[str, Any]
    seeds: bool = True

    @property
    def number(self) -> str:
        """What its label says in brackets: ``4`` of ``Cell In[4]``."""
        return self.cell.label.rpartition("[")[2].rstrip("]")

    @property
    def paths(self) -> tuple[str, ...]:
        """Attributes and items that its statements set, as ``Store.conn``."""
        said = statements.read(self.cell.body)
        return said.targets if said else ()

    @property
    def changes(self) -> set[str]:
        """Names whose objects it may change in place: a method is called, or they are passed on."""
        found: set[str] = {path.partition(".")[0].partition("[")[0] for path in self.paths}
        for node in ast.walk(self.body.tree):
            if isinstance(node, ast.Call):
                passed = [*node.args, *(keyword.value for keyword in node.keywords)]
                found |= {argument.id for argument in passed if isinstance(argument, ast.Name)}
                if isinstance(node.func, ast.Attribute):
                    roots = (n.id for n in ast.walk(node.func) if isinstance(n, ast.Name))
                    found.update(roots)
        return found


def read_setup(cell: Cell, notebook: Notebook) -> Body:
    """Parse and check a setup cell's body, before it runs anywhere.

    Raises:
        SyntaxError: It is not Python.
        CollectError: It has what workers cannot run, or what must not run here, or nothing.
    """
    tree = parse(cell.body)
    if tree is None:
        for number, line in enumerate(cell.body.split("\n"), cell.first_line):
            if line.lstrip().startswith(("%%ddp", "%ddp")):
                raise CollectError(_NESTED.format(number, line.strip()))
    elif not tree.body:
        raise CollectError(_NOTHING)
    body = read_body(cell, notebook)
    for node in ast.walk(body.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            raise CollectError(_FUTURE.format(node.lineno))
    rules.refuse_addresses(body.tree, "The cell")
    line = rules.group_made(body.tree)
    if line is not None:
        raise CollectError(_GROUP.format(line))
    return body


def in_order(setups: Sequence[Setup]) -> list[Setup]:
    """Return the setups as they first ran, but each behind those whose names it reads.

    A cell that was edited may read what a later one binds. Where cells need each other, the order
    in which they first ran stands.
    """
    binder = {name: setup for setup in setups for name in setup.own}
    needs = {
        setup: [binder[n] for n in sorted(setup.body.reads) if binder.get(n, setup) is not setup]
        for setup in setups
    }
    done: list[Setup] = []

    def add(setup: Setup) -> None:
        for needed in sorted(needs[setup], key=setups.index):
            if needed not in done and setup not in _reached(needed, needs):
                add(needed)
        if setup not in done:
            done.append(setup)

    for setup in setups:
        add(setup)
    return done


def _reached(start: Setup, needs: Mapping[Setup, Sequence[Setup]]) -> set[Setup]:
    found, waiting = {start}, [start]
    while waiting:
        new = [setup for setup in needs[waiting.pop()] if setup not in found]
        found.update(new)
        waiting += new
    return found


def is_shared(value: Any) -> bool:
    """Whether a value means the same wherever it is made: plain, or a library's own."""
    if isinstance(value, _VALUES) or (isinstance(value, (tuple, frozenset)) and not value):
        return True
    return isinstance(value, (type, FunctionType, BuiltinFunctionType)) and importable(value)


def live(path: str, space: dict[str, Any]) -> Any:
    """Return what a name or path stands for, None where it stands for nothing."""
    try:
        return eval(path, space)
    except Exception:
        return None


def may_change(code: CodeType) -> bool:
    """Whether a function may change a container that it reads as a global."""
    if not code.co_flags & inspect.CO_NEWLOCALS:
        return False  # of a cell's own code the text says which
    steps = (step.opname for part in codes.nested(code) for step in dis.get_instructions(part))
    return not _CHANGING.isdisjoint(codes.facts(code).names) or "STORE_SUBSCR" in steps


def seeded(reached: Iterable[CodeType], space: Mapping[str, Any]) -> set[str]:
    """Return the libraries whose random generators the code seeds, of `GENERATORS`."""
    return {name for code in reached for part in codes.nested(code) for name in _seeds(part, space)}


def _seeds(code: CodeType, space: Mapping[str, Any]) -> Iterator[str]:
    root = ""
    for step in dis.get_instructions(code):
        said = str(step.argval)
        if step.opname in _ROOTS:
            root = said
        if not statements.seeds(said) or step.opname.startswith(("STORE", "IMPORT")):
            continue
        value = space.get(root, root)
        if root != said and said in _OF_ONE and not isinstance(value, (ModuleType, str)):
            continue  # a generator of its own, as a torch.Generator
        home = _home(value).partition(".")[0]
        package = {"np": "numpy"}.get(home, home)
        if package in GENERATORS:
            yield package
        elif package != "__main__":  # a library's seed_everything()
            yield from GENERATORS


def _home(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, ModuleType):
        return value.__name__
    owner = type(getattr(value, "__self__", None))  # numpy.random.seed has no module of its own
    return str(getattr(value, "__module__", None) or owner.__module__)
