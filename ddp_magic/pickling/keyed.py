"""Dicts and sets whose keys say their own hash; runs in kernel and workers.

Pickle fills them while a key may have no attributes yet, namely where the key leads back to the
container: two nodes that are in each other's set of neighbours. Here they are filled as soon as
their keys can say their hash, and once more when all is loaded, since a hash may have been wrong.
"""

from __future__ import annotations

from enum import Enum
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ddp_magic.pickling.refusals import CannotTravel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Holders", "fill", "finish", "made_empty"]


class _Holder:
    """Stands in a pickle for a dict or set, which it keeps alive."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __reduce__(self) -> tuple[Any, ...]:
        for key in self.held:
            _require_hash(key, self.held)
        content = list(self.held.items()) if isinstance(self.held, dict) else list(self.held)
        return made_empty, (type(self.held),), content, None, None, fill


def _require_hash(key: Any, container: Any) -> None:
    try:
        hash(key)
    except Exception as error:
        what = f"a {type(container).__name__} with a key that has no hash now ({error!r})"
        raise CannotTravel(what, "Take it out", container) from None


class Holders:
    """Knows which containers are written this way; one for all that share a memo."""

    def __init__(self) -> None:
        self._made: dict[int, _Holder] = {}
        self._kinds: dict[type, bool] = {}

    def holder(self, container: dict[Any, Any] | set[Any]) -> _Holder | None:
        """Return what stands for a container, None where pickle's own way is right."""
        kinds = {*map(type, container)}
        if not any(map(self._says_its_hash, kinds)) and not self._inside(container, kinds):
            return None
        return self._made.setdefault(id(container), _Holder(container))

    def _inside(self, keys: Any, kinds: set[type]) -> bool:
        groups = [kind for kind in (tuple, frozenset) if kind in kinds]
        return bool(groups) and any(
            any(map(self._says_its_hash, {*map(type, key)})) for key in keys if type(key) in groups
        )

    def _says_its_hash(self, kind: type) -> bool:
        if kind not in self._kinds:
            own = isinstance(kind.__hash__, FunctionType) and not issubclass(kind, Enum)
            self._kinds[kind] = own
        return self._kinds[kind]


_filled: list[tuple[Any, list[Any]]] = []
"""Containers with what is still to be put into them."""


def made_empty(kind: Callable[[], Any]) -> Any:
    """Make an empty dict or set."""
    return kind()


def fill(container: Any, content: list[Any]) -> None:
    """Fill a container if its keys can say their hash already."""
    try:
        container.update(content)
    except Exception:
        container.clear()
        _filled.append((container, content))
    else:
        _filled.append((container, []))


def finish() -> None:
    """Fill again what was filled while things were loaded."""
    while _filled:
        container, content = _filled.pop()
        content = content or list(container.items() if isinstance(container, dict) else container)
        container.clear()
        container.update(content)
