"""A notebook for tests: a real IPython shell in this process, with the extension loaded."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tests.kernel_side import end

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

__all__ = ["Notebook", "Shown", "until"]


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition, and fail when it never comes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a cell gave: its value, its error, and what it wrote."""

    value: Any
    error: BaseException | None
    out: str
    err: str

    @property
    def told(self) -> str:
        """The error's text."""
        return str(self.error)


class Notebook:
    """Cells one after the other; `close` unloads the extension."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capture = capfd
        self._main = sys.modules["__main__"]
        # as a kernel has it; a suite that was started in the background of a shell ignores SIGINT
        signal.signal(signal.SIGINT, signal.default_int_handler)
        config = Config()
        config.HistoryManager.hist_file = ":memory:"
        config.InteractiveShell.colors = "nocolor"
        InteractiveShell.clear_instance()
        self.shell = InteractiveShell.instance(config=config)
        self.shell.run_line_magic("load_ext", "ddp_magic")

    def run(self, cell: str) -> Shown:
        """Run a cell, whose common indent goes."""
        return self.run_raw(textwrap.dedent(cell).strip("\n"))

    def run_raw(self, cell: str) -> Shown:
        """Run a cell as it is."""
        self._capture.readouterr()
        result = self.shell.run_cell(cell, store_history=True)
        out, err = self._capture.readouterr()
        error = result.error_before_exec or result.error_in_exec
        return Shown(value=result.result, error=error, out=out, err=err)

    def cells(self, *cells: str) -> None:
        """Run cells that must succeed."""
        for cell in cells:
            shown = self.run(cell)
            assert shown.error is None, shown.err + shown.out

    @property
    def ns(self) -> dict[str, Any]:
        """The notebook's namespace."""
        return self.shell.user_ns

    def when(self, marker: Path, act: Callable[[], None]) -> threading.Thread:
        """Act, in a thread of its own, once the marker file is there."""

        def wait() -> None:
            until(marker.exists)
            act()

        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    def interrupt_at(self, marker: Path, times: int = 1) -> threading.Thread:
        """Interrupt this process as Jupyter does, once the marker file is there.

        A further interrupt is sent once a further marker, with ``.2`` behind its name, is there.
        """

        def wait() -> None:
            for number in range(times):
                path = marker if number == 0 else marker.with_suffix(f".{number + 1}")
                until(path.exists)
                os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    def close(self) -> None:
        """Unload the extension, which leaves nothing."""
        self.shell.run_line_magic("unload_ext", "ddp_magic")
        end(self.shell)
        InteractiveShell.clear_instance()
        sys.modules["__main__"] = self._main
