"""Runs in the kernel: what a standby may import ahead of its run, and when that was too early."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from typing import TYPE_CHECKING

from ddp_magic.collect.definitions import How
from ddp_magic.collect.texts import parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ddp_magic.collect import Definitions

__all__ = ["LAZY", "chosen", "has_torch", "lacks", "preloadable", "shadowed", "trainers"]

LAZY = "torch._dynamo"
"""The first optimizer of a process imports it, which takes as long as torch itself."""
_TRAINERS = ("accelerate", "lightning", "pytorch_lightning", "transformers", "ultralytics")


def has_torch() -> bool:
    """Whether workers could import torch; does not import it."""
    if "torch" in sys.modules:
        return True
    try:
        return importlib.util.find_spec("torch") is not None
    except (ImportError, ValueError):
        return False


def trainers() -> tuple[str, ...]:
    """Return the training libraries that the notebook has imported, with their modules.

    Nobody imports these for anything but the run that is to come, and they take seconds.
    """
    roots = {name for name in _TRAINERS if name in sys.modules and _is_installed(name)}
    return tuple(name for name in [*sys.modules] if name.partition(".")[0] in roots)


def lacks(preload: Sequence[str], unfit: Collection[str]) -> bool:
    """Whether the notebook has imported a training library that is not among these."""
    return any("." not in name and name not in unfit for name in {*trainers()} - {*preload})


def chosen(
    preload: Sequence[str], lazy: Sequence[str], unfit: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what may be imported of this, and of that what belongs to the same packages."""
    first = tuple(name for name in preload if name not in unfit)
    roots = {name.partition(".")[0] for name in first}
    more = (name for name in lazy if name.partition(".")[0] in roots and name not in unfit)
    return first, tuple(more)


def preloadable(definitions: Definitions) -> tuple[str, ...]:
    """Return torch, and what a run's module imports of what is installed in site-packages.

    Never a module of the working directory or of an editable install: people edit those.
    """
    lines = [item.text for item in definitions.items if item.how is How.IMPORT]
    names = {*definitions.packages, *definitions.modules}
    for line in (*lines, definitions.body):
        names.update(_imported(line))
    found = {n for n in names if n.partition(".")[0] not in _NEVER and _is_installed(n)}
    return ("torch", *sorted(found - {"torch"}))


def _imported(text: str) -> Iterator[str]:
    """Yield the modules that a text imports when it runs."""
    tree = parse(text)
    for node in tree.body if tree else ():
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


_NEVER = frozenset({"ddp_magic", "ipykernel", "ipywidgets", "anywidget"})


def _is_installed(name: str) -> bool:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    origin = getattr(spec, "origin", None)
    return isinstance(origin, str) and os.path.realpath(origin).startswith(_places())


@functools.cache
def _places() -> tuple[str, ...]:
    paths = (sysconfig.get_path(name) for name in ("purelib", "platlib"))
    return tuple(os.path.realpath(path) + os.sep for path in paths if path)


def shadowed(names: Mapping[str, tuple[str, int] | None], known: Sequence[str]) -> str:
    """Return a preloaded module that a process started now would take from elsewhere, or empty.

    Args:
        names: The top-level modules, each with its file and when that was changed, nanoseconds
            since the epoch.
        known: Where the waiting workers looked for them.
    """
    for name, origin in names.items():
        if origin is not None and _changed_at(origin[0]) != origin[1]:
            return name
    for entry in map(os.path.abspath, sys.path):
        if entry not in known:
            for name in sorted(names.keys() & _named_in(entry, _changed_at(entry))):
                if _is_module(name, entry):
                    return name
    return ""


def _is_module(name: str, folder: str) -> bool:
    """Whether a module is imported from this directory: not from a program that pip put there."""
    spec = importlib.machinery.PathFinder.find_spec(name, [folder])
    return spec is not None and spec.loader is not None


def _changed_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


@functools.lru_cache(maxsize=64)
def _named_in(folder: str, _changed: int) -> frozenset[str]:
    """Return the first names of what a directory holds."""
    try:
        return frozenset(name.partition(".")[0] for name in os.listdir(folder))
    except OSError:
        return frozenset()
