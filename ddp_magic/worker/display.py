"""What `display()` does in a worker, as if it stood in a cell.

Runs in every worker. IPython's own functions make what they would make in the notebook, and find a
`Publisher` to hand it to, in other ranks than 0 a `Printer`. The process gets no shell for that:
`get_ipython()` is still None.
"""

from __future__ import annotations

import builtins
import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ddp_magic.worker.figures import Figures
from ddp_magic.worker.hooks import Hooks
from ddp_magic.worker.publisher import Printer, Publisher

if TYPE_CHECKING:
    from types import ModuleType

    from ddp_magic.rundir import RunDir

__all__ = ["Displays"]

_ASKING = frozenset({"IPython.core.display_functions", "matplotlib_inline.backend_inline"})
"""Who is told that there is a shell, one that can display and nothing else."""


_TEXT = ["text/plain"]


class Displays:
    """Has a rank's program display.

    Args:
        run: The run.
        rank: Who displays.
    """

    def __init__(self, run: RunDir, rank: int) -> None:
        self._hooks = Hooks()
        self._shell: Any = None
        self._figures = Figures(shown=rank == 0)
        self._shown = rank == 0
        self._publisher = Publisher(run) if rank == 0 else Printer()
        self._settings: dict[str, Any] = {}

    def begin(self, settings: dict[str, Any]) -> None:
        """Be ready for what the program imports.

        Args:
            settings: The notebook's own, from `displays.settings`.
        """
        self._settings = settings
        self._figures.settings = settings.get("figures") or {}
        if settings.get("builtin"):
            builtins.display = _display  # type: ignore[attr-defined]
        self._hooks.begin()
        self._hooks.instead("tqdm.notebook", str(Path(__file__).parent / "bars.py"))
        self._hooks.after("IPython.core.interactiveshell", self._attach)
        self._hooks.after("matplotlib_inline.backend_inline", self._on_figures)
        if settings.get("wide"):
            self._hooks.after("pandas.core.config_init", _as_in_a_notebook)

    def end(self) -> None:
        """Show the figures that are still open, as the notebook does after a cell."""
        self._figures.flush()

    def _attach(self, module: ModuleType) -> None:
        """Have IPython's display functions, and nothing else, find a shell."""
        shell: Any = module.InteractiveShell
        formatter: Any = module.DisplayFormatter()  # type: ignore[attr-defined]
        types = (self._settings.get("types") or formatter.format_types) if self._shown else _TEXT
        formatter.active_types = types
        for name, value in (self._settings.get("plain") or {}).items():
            setattr(formatter.formatters["text/plain"], name, value)
        self._shell = SimpleNamespace(display_formatter=formatter, display_pub=self._publisher)

        def initialized(cls: Any) -> bool:
            return super(shell, cls).initialized() or _asked_to_display()

        def instance(cls: Any, *arguments: Any, **more: Any) -> Any:
            if _asked_to_display() and not super(shell, cls).initialized():
                return self._shell
            return super(shell, cls).instance(*arguments, **more)

        shell.initialized = classmethod(initialized)
        shell.instance = classmethod(instance)

    def _on_figures(self, module: ModuleType) -> None:
        self._figures.attach(module, self._shell)


def _asked_to_display() -> bool:
    """Whether the function that called our caller displays."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame and frame.f_back
    return frame is not None and frame.f_globals.get("__name__") in _ASKING


def _display(*objects: Any, **options: Any) -> Any:
    """Display objects, as the builtin of notebooks does; imports IPython when first called."""
    from IPython.display import display

    builtins.display = display  # type: ignore[attr-defined]
    return display(*objects, **options)


_display.__name__ = _display.__qualname__ = "display"


def _as_in_a_notebook(_: ModuleType) -> None:
    """Let pandas show tables as wide as in a notebook: it takes a process without one for a tty."""
    sys.modules["pandas._config.config"].set_option("display.max_columns", 20)
