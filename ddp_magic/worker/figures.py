"""matplotlib's inline backend in a worker; rank 0's figures are shown, the others' are dropped.

Runs in every worker. The backend is the notebook's own (`environment` names it): without a shell it
only lacks what a shell would set up, and that is done here when matplotlib imports it.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

__all__ = ["Figures"]


class Figures:
    """The figures of one rank.

    Args:
        shown: Whether anybody sees them; else they are closed without being drawn.

    Attributes:
        settings: How the notebook shows figures, from `displays.settings`.
    """

    def __init__(self, *, shown: bool) -> None:
        self.settings: dict[str, Any] = {}
        self._shown = shown
        self._backend: Any = None

    def attach(self, backend: Any, shell: Any) -> None:
        """Set the backend up, as a shell does.

        Args:
            backend: The module, just imported.
            shell: What displays; None where nothing is shown.
        """
        self._backend = backend
        backend.matplotlib.interactive(self.settings.get("interactive", True))
        config = backend.InlineBackend.instance()
        config.close_figures = self.settings.get("close", True)
        config.print_figure_kwargs = self.settings.get("options", config.print_figure_kwargs)
        if not self._shown:
            backend.display = _drop
        elif shell is not None:
            formats = self.settings.get("formats", ["png"])
            backend.select_figure_formats(shell, set(formats), **config.print_figure_kwargs)

    def flush(self) -> None:
        """Show what is open; an error in that is told, and is not the program's."""
        if self._backend is None:
            return
        try:
            self._backend.flush_figures()
        except Exception as error:
            frames = error.__traceback__.tb_next if error.__traceback__ else None
            traceback.print_exception(error.with_traceback(frames), file=sys.stderr)


def _drop(*_: Any, **__: Any) -> None:
    """Display nothing."""
