"""Runs in every worker: what happens to a library when, and only if, the user's program imports it.

So a program that displays nothing never pays for IPython, and one without bars not for tqdm.
"""

from __future__ import annotations

import contextlib
import sys
from importlib.util import spec_from_file_location
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["Hooks"]


class Hooks:
    """A finder in front of all others, which knows a few names."""

    def __init__(self) -> None:
        self._after: dict[str, Callable[[ModuleType], None]] = {}
        self._instead: dict[str, str] = {}

    def begin(self) -> None:
        """Watch imports from now on."""
        sys.meta_path.insert(0, self)  # type: ignore[arg-type]

    def after(self, name: str, act: Callable[[ModuleType], None]) -> None:
        """Act on a module once it is imported: now, where a waiting worker has done so already."""
        self._after[name] = act
        if name in sys.modules:
            _safely(act, sys.modules[name])

    def instead(self, name: str, path: str) -> None:
        """Import a file of ours under a library's name."""
        self._instead[name] = path
        sys.modules.pop(name, None)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what the import system asks for; None for what is none of our business."""
        if name in self._instead:
            return spec_from_file_location(name, self._instead[name])
        if name not in self._after:
            return None
        for finder in list(sys.meta_path):
            find: Any = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find and finder is not self else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self._after[name])
                return spec
        return None


class _Loader:
    """Loads a module as its own loader does, then acts; leaves no trace in the module."""

    def __init__(self, own: Loader, act: Callable[[ModuleType], None]) -> None:
        self._own = own
        self._act = act

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._own
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        self._own.exec_module(module)
        _safely(self._act, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


def _safely(act: Callable[[ModuleType], None], module: ModuleType) -> None:
    with contextlib.suppress(Exception):  # another version of the library: it stays as it is
        act(module)
