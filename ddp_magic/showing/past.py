"""What the cells that ran have bound, set and called, for --show; runs in the kernel.

Reads every cell, which collection takes care not to do.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect import statements
from ddp_magic.collect.code import facts
from ddp_magic.pickling.objects import importable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from ddp_magic.collect.statements import Call

__all__ = ["Past", "recall"]

_NUMBER = re.compile(r"\[(\d+)\]")
_CARRIED = re.compile(r"(os\.environ|sys\.path|sys\.modules|os\.(chdir|putenv)|random)\b")
_PROCESS = frozenset(
    {
        *("atexit", "codecs", "copyreg", "faulthandler", "gc", "locale", "logging", "mimetypes"),
        *("multiprocessing", "resource", "signal", "socket", "sys", "threading", "warnings"),
    }
)
"""Modules of the standard library whose calls change the process."""
_PICTURES = frozenset(
    {"IPython", "bokeh", "ipywidgets", "matplotlib", "plotly", "pylab", "seaborn", "tqdm"}
)
_HARMLESS = re.compile(
    r"(save\w*|dump\w*|write\w*|print\w*|display|show\w*|plot\w*|draw\w*|info|debug|warn"
    r"|warning|error|critical|exception|log|sleep|collect|clear|empty_cache|synchronize|download\w*"
    r"|makedirs|summary|shuffle|rmtree|copy\w*|exit|stack\w*|get\w*|is\w*|has\w*|version|test\w*)"
)


@dataclass(frozen=True)
class Past:
    """What the cells say.

    Attributes:
        bound: The last cell that binds a name.
        set: The last cell that sets an attribute or item, by its text.
        calls: Statements that call something, each with the last cell that has it.
    """

    bound: dict[str, str] = field(default_factory=dict[str, str])
    set: dict[str, str] = field(default_factory=dict[str, str])
    calls: dict[str, tuple[str, Call]] = field(default_factory=dict[str, "tuple[str, Call]"])

    def not_repeated(
        self, space: Mapping[str, Any], packages: Collection[str], carried: Collection[str]
    ) -> list[tuple[str, str]]:
        """Return calls that may have changed what workers use, each with its cell.

        Args:
            space: The notebook's namespace.
            packages: What workers import, by top-level names.
            carried: Calls and targets whose effect goes along.
        """
        return [
            (text, label)
            for text, (label, call) in self.calls.items()
            if text not in carried
            and call.function.rpartition(".")[0] not in carried
            and _may_matter(call, space, packages)
        ]


def recall(cells: Iterable[tuple[str, str]], transform: Callable[[str], str]) -> Past:
    """Read the cells.

    Args:
        cells: Label and text of each.
        transform: Makes Python of the body of a cell magic.
    """
    past = Past()
    for label, text in sorted(cells, key=_when):
        waiting = [text]
        while waiting:
            said = statements.read(waiting.pop())
            if said is None:
                continue
            waiting += map(transform, said.timed)
            past.bound.update(dict.fromkeys(said.binds, label))
            past.set.update(dict.fromkeys(said.targets, label))
            past.calls.update({ast.unparse(call.node): (label, call) for call in said.calls})
    return past


def _when(cell: tuple[str, str]) -> int:
    number = _NUMBER.search(cell[0])
    return int(number[1]) if number else 0


def _may_matter(call: Call, space: Mapping[str, Any], packages: Collection[str]) -> bool:
    """Whether a call may have changed a library that the workers use, or the process."""
    function = call.function
    harmless = _HARMLESS.fullmatch(function.rpartition(".")[2])
    if _CARRIED.match(function) or statements.seeds(function):
        return False
    if harmless and not statements.configures(function):
        return False
    root = space.get(re.split(r"[.\[(]", function, maxsplit=1)[0])
    if isinstance(root, FunctionType) and root.__module__ == "__main__":
        return _configures(root, space, packages)
    home = root.__name__ if isinstance(root, ModuleType) else _home(root)
    return _is_used(home.partition(".")[0], packages)


def _home(value: Any) -> str:
    """Return the module that an imported function or class is from."""
    return str(value.__module__) if importable(value) else ""


def _is_used(package: str, packages: Collection[str]) -> bool:
    if package in sys.stdlib_module_names:
        return package in _PROCESS
    return package in packages and package not in _PICTURES


def _configures(func: FunctionType, space: Mapping[str, Any], packages: Collection[str]) -> bool:
    """Whether a function of the notebook calls what configures a library."""
    said = facts(func.__code__)
    modules = [space[name] for name in said.reads if isinstance(space.get(name), ModuleType)]
    used = [m for m in modules if _is_used(m.__name__.partition(".")[0], packages)]
    names = filter(statements.configures, said.names)
    return any(name in vars(module) for name in names for module in used)
