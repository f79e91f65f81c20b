"""What goes along besides names: libraries' state, the search path; runs in the kernel."""

from __future__ import annotations

import os
import re
import site
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ddp_magic.collect.definitions import How
from ddp_magic.collect.hiding import hide
from ddp_magic.wording import volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ddp_magic.collect.definitions import Definitions, Item
    from ddp_magic.showing.past import Past

__all__ = ["Entry", "process_entries", "state_entry"]

_KEY = re.compile(r"(content of|module) (.*)", re.DOTALL)


class Entry(NamedTuple):
    """One thing and a few words on it; either may be empty."""

    lead: str
    text: str = ""


def state_entry(item: Item, past: Past) -> Entry:
    """Return what is said of a library's state."""
    label = item.label or past.set.get(item.name, "")
    cell = f" in {label}" if label else ""
    if item.how is How.CALL:
        if ".__dict__.pop(" in item.text:
            return Entry(item.name, f"deleted{cell}")
        return Entry(item.shown or hide(item.text), f"as{cell}")
    value = f"{item.kind}, {volume(item.nbytes)}"
    match = _KEY.fullmatch(item.name)
    if match is None:
        return Entry(item.name, f"set{cell}: the value that it has now ({value})")
    if match[1] == "module":
        return Entry(match[2], f"a module that the notebook has made ({value})")
    return Entry(match[2], f"imported and changed: its content as it is now ({value})")


def process_entries(definitions: Definitions) -> Iterator[Entry]:
    """Yield what is said of the process that the kernel is."""
    libraries = [name for name in definitions.process if name != "decimal"]
    if libraries:
        which = " and ".join(filter(None, [", ".join(libraries[:-1]), libraries[-1]]))
        yield Entry("", f"the random generators of {which} as they are: the same in every worker")
    if "decimal" in definitions.process:
        yield Entry("", "the decimal context")
    yield from (Entry(path, "on sys.path") for path in _added(definitions.path))
    told = any(item.name == "sys.argv" for item in definitions.items)
    if not told and _is_changed(definitions.argv, sys.orig_argv):
        yield Entry("sys.argv", "as the notebook has it")
    yield Entry("", "the working directory, the environment variables and sys.path as they are")


def _added(path: Sequence[str]) -> list[str]:
    """Return the directories of a search path that a fresh interpreter would not look into."""
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    fresh = {os.path.abspath(entry) for entry in (*own, ".")}
    roots = (sys.prefix, sys.base_prefix, sys.exec_prefix, site.getuserbase())
    return [
        entry
        for entry in path
        if entry not in fresh and not any(Path(entry).is_relative_to(root) for root in roots)
    ]


def _is_changed(argv: Sequence[str], original: Sequence[str]) -> bool:
    """Whether `sys.argv` is no longer what the interpreter was started with."""
    if not argv or len(argv) > len(original):
        return True
    program, *arguments = original[len(original) - len(argv) :]
    script = Path(argv[0])  # of `-m name`: the path of name.py or name/__main__.py
    known = program in (argv[0], script.stem, script.parent.name)
    return list(argv[1:]) != arguments or not known
