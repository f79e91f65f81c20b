"""Which of the notebook's names stand for what went by value; runs in the kernel.

Whatever a worker pickles by reference, as `torch.save` and DataLoader workers do with classes and
functions, is looked up in ``__main__`` by its name: reached through an instance only, it must have
its name there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["names_of"]


def names_of(objects: Iterable[Any], space: dict[str, Any]) -> Iterator[str]:
    """Yield the names of a namespace by which these functions and classes are found in it."""
    for obj in objects:
        name, *inner = obj.__qualname__.split(".")
        found = space.get(name)
        for step in inner:
            found = vars(found).get(step) if isinstance(found, type) else None
        if found is obj:
            yield name
