"""Drives a real JupyterLab or Notebook 7 in Debian's headless Chromium, for tests in a browser.

One server and one browser for all tests of a process. A page takes seconds of the processor's time
to load, so one whose notebook is closed has the next one. Everything that Jupyter keeps goes to one
temporary directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.kernels import python_path

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from playwright.sync_api import (
        Browser,
        BrowserContext,
        Dialog,
        Error,
        Locator,
        Page,
        Request,
        WebSocket,
    )

__all__ = ["Jupyter", "Notebook", "Traffic", "jupyter"]

ROOT = Path(__file__).parent.parent
CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
PATIENCE = 60_000
"""Milliseconds; a page on a busy machine, never a fixed wait."""
POLL = 50
"""Milliseconds; Playwright's own way looks at every frame, which it has the page draw."""
App = Literal["lab", "notebook"]
_WIDGET = "window.jupyterapp.shell.currentWidget"
_OPEN = f"""async path => {{
    await window.jupyterapp.serviceManager.kernelspecs.refreshSpecs();
    await window.jupyterapp.commands.execute("docmanager:open", {{ path, factory: "Notebook" }});
    while ({_WIDGET}?.context?.path !== path) await new Promise(then => setTimeout(then, 20));
    await {_WIDGET}.context.ready;
}}"""
_CLOSE = f"() => {{ {_WIDGET}.dispose(); return null; }}"


@dataclass
class Traffic:
    """Counts what a page gets from its kernel."""

    messages: int = 0
    bytes: int = 0

    def watch(self, socket: WebSocket) -> None:
        """Count on this socket from now on."""
        if "/channels" in socket.url:
            socket.on("framereceived", self._count)

    def _count(self, frame: str | bytes) -> None:
        self.messages += 1
        self.bytes += len(frame if isinstance(frame, bytes) else frame.encode())


@dataclass
class Notebook:
    """A notebook that is open, and no other is in its page.

    Attributes:
        page: Playwright's page.
        path: The file.
        address: Where a page has it and nothing else.
        left: What is done with the page in the end.
        traffic: What came from the kernel.
        problems: Uncaught errors of the panel's code (Notebook 7 has some of its own).
        asked: Every address that the page asked for.
        dialogs: What dialogs said that the page opened.
    """

    page: Page
    path: Path
    address: str
    left: Callable[[], None]
    traffic: Traffic = field(default_factory=Traffic)
    problems: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what the page does from now on."""
        for event, note in self._notes():
            self.page.on(event, note)

    def _notes(self) -> list[tuple[Any, Callable[[Any], None]]]:
        return [
            ("websocket", self.traffic.watch),
            ("pageerror", self.note_error),
            ("request", self.note_request),
            ("dialog", self.note_dialog),
        ]

    def note_request(self, request: Request) -> None:
        """Keep an address that was asked for."""
        self.asked.append(request.url)

    def note_dialog(self, dialog: Dialog) -> None:
        """Keep what a dialog says, but JupyterLab's own when the page is left, and go on."""
        if dialog.type == "beforeunload":  # a run may change its cell while its page is reloaded
            dialog.accept()
            return
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def note_error(self, error: Error) -> None:
        """Keep an uncaught error of a module that came from the kernel (a blob)."""
        if "blob:" in (error.stack or ""):
            self.problems.append(str(error))

    def reload(self) -> None:
        """Load the page anew."""
        self.page.goto(self.address)

    def theme(self, *, dark: bool) -> None:
        """Have JupyterLab show this theme."""
        wanted = f"body[data-jp-theme-light={'false' if dark else 'true'}]"
        if not self.page.locator(wanted).count():
            self.page.evaluate(
                "theme => window.jupyterapp.commands.execute("
                "'apputils:change-theme', {theme}).then(() => null)",
                "JupyterLab Dark" if dark else "JupyterLab Light",
            )
            self.page.wait_for_selector(wanted, state="attached")

    def run(self, index: int, *, wait: bool = True) -> Locator:
        """Run a cell and return its output area; with `wait`, when the cell has ended."""
        self.page.bring_to_front()  # or it draws nothing, behind one that was used after it
        done = self.page.evaluate_handle(
            f"""index => {{
                const panel = {_WIDGET};
                panel.content.activeCellIndex = index;
                panel.content.deselectAll();
                const state = {{ ended: false }};
                window.jupyterapp.commands.execute("notebook:run-cell")
                    .then(() => {{ state.ended = true; }});
                return state;
            }}""",
            index,
        )
        self._done = done
        if wait:
            self.wait_for_end()
        return self.output(index)

    def wait_for_kernel(self) -> None:
        """Wait until the kernel is idle."""
        self.until(f"() => {_WIDGET}?.sessionContext?.session?.kernel?.status === 'idle'")

    def wait_for_end(self) -> None:
        """Wait until the cell that was run last has ended."""
        from playwright.sync_api import Error

        try:
            self.until("state => state.ended", self._done)
        except Error as error:
            log = next(p for p in self.path.parents if (p / "server.log").exists()) / "server.log"
            state = self.kernel("[kernel.status, kernel.connectionStatus, kernel.hasPendingInput]")
            error.add_note(f"kernel: {state}; server: {log.read_text()[-3000:]}")
            raise

    def until(self, condition: str, arg: Any = None) -> None:
        """Wait until a function of JavaScript returns something true."""
        self.page.wait_for_function(condition, arg=arg, polling=POLL)

    def ended(self) -> bool:
        """Whether the cell that was run last has ended."""
        return bool(self._done.evaluate("state => state.ended"))

    def output(self, index: int) -> Locator:
        """Return the output area of a cell."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index).locator(".jp-OutputArea")

    def kernel(self, expression: str) -> Any:
        """Evaluate JavaScript with the notebook's kernel connection as ``kernel``."""
        return self.page.evaluate(
            f"() => {{ const kernel = {_WIDGET}.sessionContext.session.kernel; "
            f"return {expression}; }}"
        )

    def save(self) -> nbformat.NotebookNode:
        """Save, and return what is in the file; invalid notebooks raise."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        notebook = nbformat.read(self.path, as_version=4)
        nbformat.validate(notebook)
        return notebook

    def close(self, *, shutdown: bool = True) -> None:
        """Close without saving, and shut the kernel down."""
        with contextlib.suppress(Exception):
            if shutdown:
                self.kernel("kernel.shutdown()")
        for event, note in self._notes():
            self.page.remove_listener(event, note)
        self.left()


@dataclass
class Window:
    """A window of the browser, and its pages of which nobody has a notebook open."""

    context: BrowserContext
    free: dict[App, list[Page]] = field(default_factory=lambda: {"lab": [], "notebook": []})

    def take(self, app: App) -> Page:
        """Return a page, which is empty unless it is of JupyterLab."""
        if self.free[app]:
            return self.free[app].pop()
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE)
        return page

    def leave(self, app: App, page: Page) -> None:
        """Take a page back, with nothing open in it."""
        try:
            if app == "lab":
                page.evaluate(_CLOSE)
            else:
                page.goto("about:blank")
        except Exception:  # of a test that failed
            page.close()
        else:
            self.free[app].append(page)


@dataclass
class Jupyter:
    """A running server and a running browser.

    Attributes:
        url: The server's address.
        top: The folder that it serves.
        root: The folder of notebooks of this test.
        browser: Playwright's browser.
        window: The window that has all pages, but for those with a scale of their own.
    """

    url: str
    top: Path
    root: Path
    browser: Browser
    window: Window

    def folder(self, name: str) -> Jupyter:
        """Return the same with a folder of its own for notebooks, where kernels run, too."""
        root = self.top / name
        root.mkdir(exist_ok=True)
        return replace(self, root=root)

    def write(self, cells: Sequence[str], version: str = "") -> Path:
        """Write a new notebook with these cells, for the kernel of a release of ipykernel."""
        path = self.root / f"test-{time.monotonic_ns()}.ipynb"
        name = self._kernel(version) if version else "python3"
        kernel = {"name": name, "display_name": name, "language": "python"}
        notebook = new_notebook(
            cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
        )
        nbformat.write(notebook, path)
        return path

    def _kernel(self, version: str) -> str:
        """Return the name of a kernel of this release, which the server has from now on."""
        name = f"ipykernel-{version}"
        folder = self.top.parent / "data" / "kernels" / name
        folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": name,
            "language": "python",
            "env": {"PYTHONPATH": python_path(version)},
        }
        (folder / "kernel.json").write_text(json.dumps(facts))
        return name

    def open(
        self,
        source: Sequence[str] | Path,
        *,
        app: App = "lab",
        dark: bool = False,
        scale: float = 1,
        version: str = "",
        anew: bool = False,
    ) -> Notebook:
        """Open a notebook: new, with these cells, or the file; with `anew` the page is loaded.

        Returns when its kernel is idle; a file's may be busy with a cell of another page.
        """
        path = source if isinstance(source, Path) else self.write(source, version)
        own = scale != 1
        window = Window(_context(self.browser, scale)) if own else self.window
        page = window.take(app)
        left = window.context.close if own else lambda: window.leave(app, page)
        name = path.relative_to(self.top).as_posix()
        place = f"lab/workspaces/w{time.monotonic_ns()}/tree" if app == "lab" else "notebooks"
        notebook = Notebook(page, path, f"{self.url}/{place}/{name}", left)
        notebook.watch()
        if app == "lab" and not anew and "/lab/" in page.url:
            page.evaluate(_OPEN, name)
        else:
            notebook.reload()
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        if source is not path:
            notebook.wait_for_kernel()
        if app == "lab":
            notebook.theme(dark=dark)
        return notebook


def _context(browser: Browser, scale: float = 1) -> BrowserContext:
    return browser.new_context(viewport={"width": 1100, "height": 900}, device_scale_factor=scale)


@contextlib.contextmanager
def jupyter(folder: Path) -> Generator[Jupyter]:
    """Start a server for notebooks in ``folder/notebooks``, and a browser.

    A machine without Chromium skips the test, with the reason; in CI it fails.
    """
    if not shutil.which(CHROMIUM):
        reason = f"{CHROMIUM} is not installed (apt-get install chromium)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    root = folder / "notebooks"
    root.mkdir(parents=True)
    with _server(folder, root) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield Jupyter(url, root, root, browser, Window(_context(browser)))
        finally:
            browser.close()


@contextlib.contextmanager
def _server(folder: Path, root: Path) -> Generator[str]:
    config = folder / "config"
    (config / "labconfig").mkdir(parents=True)
    page_config = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(page_config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
        "--ServerApp.password=",
        "--IdentityProvider.token=",
        "--ServerApp.terminals_enabled=False",
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env=_environment(folder, config),
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, server, folder / "server.log")
            yield url
        finally:
            server.terminate()
            server.wait(20)


def _environment(folder: Path, config: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return kept | {
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONPATH": str(ROOT),
    }


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), opener.open(url + "/api/status", timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the Jupyter server did not start:\n{log.read_text()[-3000:]}")
