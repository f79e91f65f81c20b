"""Runs in the kernel: an output of a cell, under a display id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Output", "publish"]


class Output:
    """An output of the cell, replaceable through its display id."""

    def __init__(
        self, shell: InteractiveShell, data: Mapping[str, Any], metadata: Mapping[str, Any] | None
    ) -> None:
        self._shell = shell
        self._id = uuid4().hex
        publish(shell, self._id, data, metadata, update=False)

    def update(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        """Replace the output."""
        publish(self._shell, self._id, data, metadata, update=True)


def publish(
    shell: InteractiveShell,
    name: str,
    data: Mapping[str, Any],
    metadata: Mapping[str, Any] | None,
    *,
    update: bool,
) -> None:
    """Publish a mime bundle under a display id."""
    transient = {"display_id": name}
    shell.display_pub.publish(dict(data), dict(metadata or {}), transient=transient, update=update)
