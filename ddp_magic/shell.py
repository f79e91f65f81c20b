"""Runs in the kernel: the only importer of IPython; gives the rest the notebook and its display."""

from __future__ import annotations

import inspect
import os
import re
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from IPython.core.completer import SimpleCompletion, completion_matcher
from IPython.utils.PyColorize import theme_table

from ddp_magic.between import Between
from ddp_magic.channel import hear
from ddp_magic.collect.cells import Cells
from ddp_magic.collect.notebook import Cell, is_ipythons
from ddp_magic.line.whole import below, ddp_line, magic_first
from ddp_magic.origin import Origin
from ddp_magic.output import Output, publish
from ddp_magic.setups import Setups, attach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

    from ddp_magic.collect.setup import Setup

__all__ = ["Shell", "Ui"]

Ui: TypeAlias = Literal["widget", "html", "plain"]
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What the notebook format calls a cell's id."""


class Shell:
    """The live IPython shell: `Notebook` for collection, `Display` for views.

    Attributes:
        cells: What ran, as far as a run has looked at it.
        setup_cells: The %%ddp_setup cells.
        between: Binds names between cells.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.cells = Cells(self)
        self.setup_cells = Setups(self, shell.transform_cell, shell.user_ns_hidden)
        self.between = Between(self.bind)
        self._loading = object()  # the cell that loads us, which began before anybody could tell
        if self._running()[0]:
            self.between.cell_begins(self._loading)
        self._raw = ""
        self._undo = ExitStack()
        self._undo.callback(self.between.flush)
        self._on("pre_run_cell", self._before_cell)
        self._on("post_run_cell", self._after_cell)
        self._undo.callback(attach(self.setup_cells, shell))

    def listen(self, complete: Callable[[str, str, dict[str, Any], str], list[str]]) -> None:
        """Complete %%ddp lines, and tolerate comment lines above one."""

        def match(context: CompletionContext) -> SimpleMatcherResult:
            line = ddp_line(context)
            word = re.split(r"[\s,={$]", line)[-1]
            offered = complete(line, word, self.user_ns, below(context)) if line else []
            return {
                "completions": [SimpleCompletion(text=each) for each in offered],
                "matched_fragment": word,
                "suppress": bool(offered),  # on this line no Python names and no files
                "ordered": True,
            }

        register = completion_matcher(identifier="ddp_magic", api_version=2)
        self._add(self._shell.Completer.custom_matchers, register(match))
        self._add(self._shell.input_transformers_cleanup, magic_first)

    def _add(self, listed: list[Any], item: object) -> None:
        listed.append(item)
        self._undo.callback(listed.remove, item)

    def close(self) -> None:
        """Take back what was registered."""
        self._undo.close()

    def _on(self, event: str, act: Callable[[Any], None]) -> None:
        self._shell.events.register(event, act)
        self._undo.callback(self._shell.events.unregister, event, act)

    def _before_cell(self, info: ExecutionInfo) -> None:
        self._raw = info.raw_cell or ""
        self.between.cell_begins(info)

    def _after_cell(self, result: ExecutionResult | None) -> None:
        self.between.cell_ended(result and result.info)
        if not self._running()[0]:  # else it was a cell within another
            self.between.cell_ended(self._loading)

    # -- the notebook ---------------------------------------------------------------------------

    @property
    def user_ns(self) -> dict[str, Any]:
        """The notebook's namespace."""
        return self._shell.user_ns

    @property
    def flags(self) -> int:
        """Compiler flags of the session."""
        return self._shell.compile.flags

    def transform(self, text: str) -> str:
        """Return the Python that IPython makes of a cell's text."""
        with self.setup_cells.aside():
            return self._shell.transform_cell(text)

    @property
    def setups(self) -> tuple[Setup, ...]:
        """The %%ddp_setup cells, in the order in which they first ran."""
        return self.setup_cells.kept

    def label(self, filename: str) -> str | None:
        """Return ``Cell In[3]`` for a code object's file name, None where it is no cell's."""
        named = self._shell.compile.format_code_name(filename)
        return None if named is None or named[0] == "File" else " ".join(named)

    def hidden(self, name: str) -> bool:
        """Whether the name is IPython's own and unchanged."""
        return is_ipythons(name, self.user_ns, self._shell.user_ns_hidden)

    def cell(self, body: str | None) -> Cell:
        """Return the running cell, of which `body` is what stands below the %%ddp line.

        None where it is a ``%ddp`` line, which has nothing below it.
        """
        label, line = self._running()
        label = label or f"Cell In[{self._shell.execution_count}]"
        if body is None:
            return Cell(label=label, body="", first_line=line + 1)
        text = body.rstrip("\n")
        above = self._raw.rstrip("\n").removesuffix(text)
        first = above.count("\n") + 1 if len(above) < len(self._raw.rstrip("\n")) else 2
        return Cell(label=label, body=body, first_line=first)

    def _running(self) -> tuple[str, int]:
        """Return the running cell's label and line, from its own code's frame; empty if none runs.

        `execution_count` does not tell: IPython counts it up before the cell, and older ones after.
        """
        frame = inspect.currentframe()
        while frame is not None:
            if label := self.label(frame.f_code.co_filename):
                return label, frame.f_lineno
            frame = frame.f_back
        return "", 1

    def bind(self, values: Mapping[str, Any]) -> None:
        """Set names of the notebook, as an assignment in a cell would."""
        self._shell.push(dict(values))

    # -- the display ----------------------------------------------------------------------------

    def origin(self) -> Origin:
        """Return the running cell, as the place of what a thread shows later."""
        return Origin(self._shell.display_pub)

    def show(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Output:
        """Add an output to the cell and return it."""
        return Output(self._shell, data, metadata)

    def replace(self, name: str, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Replace what the notebook displays under an id of its own."""
        publish(self._shell, name, data, metadata, update=True)

    @property
    def formatter(self) -> Any:
        """What makes mime bundles of objects."""
        return self._shell.display_formatter

    def write(self, text: str, *, stderr: bool = False) -> None:
        """Write plain text as the cell's own print would."""
        stream = sys.stderr if stderr else sys.stdout
        stream.write(text)
        stream.flush()

    def coloured(self, tokens: Iterable[tuple[Any, str]]) -> str:
        """Return Pygments' tokens in the colours of IPython's own theme."""
        theme = theme_table.get(self._shell.colors) or theme_table["nocolor"]
        return theme.format(list(tokens))

    def hear(self, name: str, act: Callable[[object], None]) -> Callable[[], None] | None:
        """Have a page's messages of this type reach us beside the cells; return what ends it."""
        return hear(getattr(self._shell, "kernel", None), name, act)

    @property
    def is_terminal(self) -> bool:
        """Whether `write` reaches a terminal."""
        return not self.in_kernel and sys.stdout.isatty()

    @property
    def kernel_id(self) -> str:
        """What the Jupyter server calls this kernel; it names the connection file so."""
        kernel: Any = getattr(self._shell, "kernel", None)
        file = str(getattr(getattr(kernel, "parent", None), "connection_file", ""))
        found = re.search(r"kernel-([0-9a-f-]+)\.json$", file)
        return found[1] if found else ""

    @property
    def ui(self) -> Ui:
        """What this request's front-end can show.

        The request says enough: JupyterLab and Notebook 7 give the cell's id as it stands in the
        notebook; VS Code and its kin give an address. nbclient, nbconvert, papermill, `jupyter run`
        and consoles name no cell.
        """
        wanted = os.environ.get("DDP_MAGIC_UI", "")
        return wanted if wanted in ("widget", "html", "plain") else self._found

    @property
    def attended(self) -> bool:
        """Whether somebody sees what a cell shows after its end.

        A terminal shows it; nbclient and its like close the cell, and at the end the kernel.
        """
        return not self.in_kernel or self._found != "plain" or self.ui != "plain"

    @property
    def _found(self) -> Ui:
        if not self.in_kernel or os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Batch":
            return "plain"
        if "google.colab" in sys.modules:
            return "html"
        cell = self._request.get("metadata", {}).get("cellId")
        if isinstance(cell, str) and _CELL_ID.fullmatch(cell):
            return "widget"  # also in a kernel that VS Code has used before
        return "html" if cell or "__vsc_ipynb_file__" in self.user_ns else "plain"

    @property
    def in_kernel(self) -> bool:
        """Whether this is a Jupyter kernel."""
        return getattr(self._shell, "kernel", None) is not None

    @property
    def _request(self) -> dict[str, Any]:
        """The message that runs the cell."""
        kernel: Any = getattr(self._shell, "kernel", None)
        return kernel.get_parent() or {}
