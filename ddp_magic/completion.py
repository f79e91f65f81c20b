"""What Tab offers on the %%ddp line; runs in the kernel. Pure: `magic` registers it."""

from __future__ import annotations

import ast
import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.line import peek
from ddp_magic.line.callsites import keywords, signature
from ddp_magic.line.targets import Cell
from ddp_magic.options import flags

if TYPE_CHECKING:
    from ddp_magic.line.flag import Flag

__all__ = ["completions"]


def completions(line: str, text: str, user_ns: dict[str, Any], body: str = "") -> list[str]:
    """Return what may stand instead of `text`.

    Args:
        line: The line up to the cursor, with or without its ``%%ddp``.
        text: The end of the line that the front-end replaces; it may be a part of a word, since
            front-ends split at ``=`` and commas.
        user_ns: The notebook's namespace.
        body: The cell below the line.
    """
    words = re.split(r"\s+", re.sub(r"^\s*%%?ddp\b", "", line))
    if any(word.startswith("#") for word in words):
        return []
    word = words[-1]
    before = words[-2] if len(words) > 1 else ""
    # `text` may begin inside the word, never before it
    start = max(len(word) - len(text), 0)
    offered = _words(word, before, words[:-1], user_ns, body)
    return [each[start:] for each in dict.fromkeys(offered) if each.startswith(word)]


def _words(
    word: str, before: str, earlier: list[str], user_ns: dict[str, Any], body: str
) -> list[str]:
    """Return whole words that may stand in place of `word`."""
    spelled = {spelling: flag for flag in flags().values() for spelling in flag.flags}
    option, equals, value = word.partition("=")
    if equals and option in spelled:
        return [f"{option}={each}" for each in _values(spelled[option], value, user_ns)]
    if before in spelled and spelled[before].metavar and not word.startswith("-"):
        return _values(spelled[before], word, user_ns)
    if word.startswith("-"):
        used = {spelled[e] for each in earlier if (e := each.partition("=")[0]) in spelled}
        return [
            spelling
            for spelling, flag in spelled.items()
            if flag not in used or flag.repeat
            if spelling.startswith("--") or word == "-"
        ]
    if equals:
        return _expressions(word, user_ns)
    if "." in word:
        return sorted({*_steps(word, user_ns), *_arguments(word, user_ns, body)})
    return _targets(user_ns, body)


def _values(flag: Flag, typed: str, user_ns: dict[str, Any]) -> list[str]:
    """Return values of an option; a list goes on behind its last comma."""
    if "{names}" not in flag.choices:
        return list(flag.choices)
    done, comma, _ = typed.rpartition(",")
    taken = set(done.split(","))
    return [f"{done}{comma}{name}" for name in _variables(user_ns) if name not in taken]


def _variables(user_ns: dict[str, Any]) -> list[str]:
    """Return the names of what the notebook holds, without modules and what IPython keeps."""
    kept = ("In", "Out", "exit", "quit", "get_ipython", "open")
    return sorted(
        name
        for name, value in user_ns.items()
        if not name.startswith("_") and name not in kept and not issubclass(type(value), ModuleType)
    )


def _expressions(word: str, user_ns: dict[str, Any]) -> list[str]:
    """Return names of the notebook behind ``$`` or inside braces."""
    match = re.search(r"(\$|\{(?:.*\W)?)(\w*)$", word)
    if match is None:
        return []
    return [word[: match.start(2)] + name for name in _variables(user_ns)]


def _targets(user_ns: dict[str, Any], body: str) -> list[str]:
    """Return what an override's left side begins with: arguments, variables and heads of paths."""
    found = {f"{argument.rpartition('.')[2]}=" for argument in _passed(user_ns, body)}
    for name in _variables(user_ns):
        value = user_ns[name]
        if peek.is_plain(value):
            found.add(f"{name}=")
        if not issubclass(type(value), (list, tuple)) and peek.members(value):
            found.add(f"{name}.")
    return sorted(found)


def _steps(word: str, user_ns: dict[str, Any]) -> set[str]:
    """Return the next step of a path, found without running anything of the user's."""
    root, *names, _ = word.split(".")
    value = user_ns.get(root)
    for name in names:
        value = peek.members(value).get(name)
    head = word.rpartition(".")[0]
    inside = peek.members(value)
    ends = {f"{head}.{name}=" for name, inner in inside.items() if peek.is_plain(inner)}
    return ends | {f"{head}.{name}." for name, inner in inside.items() if peek.members(inner)}


def _arguments(word: str, user_ns: dict[str, Any], body: str) -> set[str]:
    """Return arguments behind what is called, as ``Trainer.lr=``, one step at a time."""
    head = word.rpartition(".")[0] + "."
    behind = (p.removeprefix(head) for p in _passed(user_ns, body) if p.startswith(head))
    steps = (rest.partition(".") for rest in behind)
    return {f"{head}{step}{dot or '='}" for step, dot, _ in steps}


def _passed(user_ns: dict[str, Any], body: str) -> set[str]:
    """Return the arguments of what the notebook defines and of what the cell calls, by path."""
    module = user_ns.get("__name__", "__main__")
    found: set[str] = set()
    for name, value in list(user_ns.items()):
        called = None if name.startswith("_") else signature(value, module)
        found.update(f"{name}.{each}" for each in (keywords(called) if called is not None else ()))
    try:
        tree = ast.parse(body)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return found  # the cell is being written
    empty: frozenset[str] = frozenset()
    cell = Cell(tree=tree, reads=empty, stores=empty, user_ns=user_ns, shift=0)
    for path, (parameters, _) in cell.callables.items():
        found.update(f"{path}.{each}" for each in keywords(parameters))
    for path, calls in cell.foreign.items():
        written = {k.arg for call in calls for k in call.node.keywords if k.arg}
        found.update(f"{path}.{each}" for each in written)
    return found
