"""A real ipykernel, of this or an older release, driven as a front-end drives one."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jupyter_client.manager import KernelManager

from tests.overlays import ROOT, overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_client.blocking.client import BlockingKernelClient

__all__ = [
    "FORKED",
    "LAUNCHED",
    "LIGHT",
    "SET_FORKED",
    "VERSIONS",
    "VIEW",
    "Front",
    "Kernel",
    "kernel",
    "python_path",
]

SET_LIGHT = f"""
from pathlib import Path
from ddp_magic import launch
launch._AGENT = Path({str(Path(__file__).with_name("light_agent.py"))!r})
"""
LIGHT = f"{SET_LIGHT}%load_ext ddp_magic\n"
"""Has runs start without torch's launcher: for tests of what is not the launcher's."""
SET_FORKED = SET_LIGHT.replace("light_agent", "forking_agent")
FORKED = f"{SET_FORKED}%load_ext ddp_magic\n"
"""Has ranks be forks of a process that has torch; the test asks for the fixture ``forks``."""
LAUNCHED = """
from pathlib import Path
from ddp_magic import agent, launch
launch._AGENT = Path(agent.__file__)
"""
"""Has runs start by torch's launcher again."""

VERSIONS = ("6.31.0", "7.3.0", "")
"""Releases of ipykernel that must do; the last is the installed one."""
VIEW = "application/vnd.jupyter.widget-view+json"
_PATIENCE = 90.0


def python_path(version: str) -> str:
    """Return the PYTHONPATH of a kernel of this release, which is installed beside the newest.

    Where it is not, the test is skipped, with the reason; in CI it fails.
    """
    return overlay(f"ipykernel-{version}") if version else str(ROOT)


class Kernel:
    """One kernel with one client.

    Attributes:
        page: Whether cells are sent as a page sends them, naming the cell.
    """

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self.page = False

    @property
    def pid(self) -> int:
        """The kernel's process."""
        provisioner: Any = self.manager.provisioner
        return provisioner.pid

    def start(self, code: str, **header: Any) -> str:
        """Send a cell without waiting; return the request's id."""
        message = self.client.session.msg(
            "execute_request", {"code": code, "silent": False, "store_history": True}
        )
        message["header"].update(header)
        if self.page:
            message["metadata"]["cellId"] = message["header"]["msg_id"]
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def run(self, code: str, **header: Any) -> tuple[str, str]:
        """Run a cell; return how it ended (``ok`` or ``error``) and all that it showed."""
        return self.finish(self.start(code, **header))

    def finish(self, request: str) -> tuple[str, str]:
        """Wait for a cell's end."""
        shown = ""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=_PATIENCE)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            shown += content.get("text", "") + content.get("data", {}).get("text/plain", "")
            shown += "\n".join(content.get("traceback", []))
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                break
        reply = self._reply(request)
        return reply["content"]["status"], re.sub(r"\x1b\[[0-9;]*m", "", shown)

    def _reply(self, request: str) -> dict[str, Any]:
        while True:
            reply = self.client.get_shell_msg(timeout=_PATIENCE)
            if reply["parent_header"].get("msg_id") == request:
                return reply

    def send(self, channel: str, kind: str, content: dict[str, Any], **header: Any) -> None:
        """Send a message to which nobody waits for a reply."""
        message = self.client.session.msg(kind, content)
        message["header"].update(header)
        getattr(self.client, f"{channel}_channel").send(message)

    def subshell(self) -> str:
        """Make a subshell, as JupyterLab's subshell console does; return its id."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        while True:
            reply = self.client.get_control_msg(timeout=_PATIENCE)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]["subshell_id"]


class Front:
    """A kernel whose every message is kept; cells are sent as a page sends them."""

    def __init__(self, made: Kernel) -> None:
        self.kernel = made
        self.messages: list[dict[str, Any]] = []
        made.page = True

    def run(self, code: str) -> str:
        """Run a cell and return its request."""
        request = self.kernel.start(code)
        self.until(lambda: self.ended(request))
        return request

    def ended(self, request: str) -> bool:
        """Whether a cell has ended."""
        return self.has(request, "status", execution_state="idle")

    def until(self, condition: Callable[[], object]) -> None:
        """Take messages in until a condition holds."""
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, [m["content"] for m in self.messages][-5:]
            while self.kernel.client.iopub_channel.msg_ready():
                self.messages.append(self.kernel.client.get_iopub_msg(timeout=1))
            time.sleep(0.01)

    def of(self, request: str, kind: str) -> list[dict[str, Any]]:
        """Return the contents of a cell's messages of a kind."""
        return [
            m["content"]
            for m in self.messages
            if m["msg_type"] == kind and m["parent_header"].get("msg_id") == request
        ]

    def has(self, request: str, kind: str, **content: Any) -> bool:
        """Whether a cell had such a message."""
        return any(content.items() <= found.items() for found in self.of(request, kind))

    def shown(self, request: str) -> str:
        """Return all text that has landed in a cell."""
        kinds = ("stream", "display_data", "update_display_data", "execute_result")
        found = [c for kind in kinds for c in self.of(request, kind)]
        return "".join(c.get("text", "") + c.get("data", {}).get("text/plain", "") for c in found)

    def outputs(self, request: str) -> list[dict[str, Any]]:
        """Return the mime bundles that a page has below a cell by now, each as updated last."""
        named: dict[str, dict[str, Any]] = {}
        for kind in ("display_data", "update_display_data"):
            for number, content in enumerate(self.of(request, kind)):
                name = content.get("transient", {}).get("display_id", f"{kind} {number}")
                if kind == "display_data" or name in named:
                    named[name] = content["data"]
        return [*named.values(), *(c["data"] for c in self.of(request, "execute_result"))]

    def panel(self, number: int = -1) -> Panel:
        """Return a panel that was opened here, the last one unless told."""

        def opened() -> list[dict[str, Any]]:
            found = [m["content"] for m in self.messages if m["msg_type"] == "comm_open"]
            return [c for c in found if c["data"]["state"].get("record_class")]

        self.until(opened)
        return Panel(self, opened()[number])


class Panel:
    """A panel of a run as its page knows it.

    Attributes:
        beside: Whether the kernel said that the page may ask by the control channel.
    """

    def __init__(self, front: Front, opened: dict[str, Any]) -> None:
        state = opened["data"]["state"]
        self.beside: bool = state["beside"]
        self._front = front
        self._comm: str = opened["comm_id"]
        self._type: str = state["record_class"]

    def ask(self, content: dict[str, Any]) -> None:
        """Ask as the panel does."""
        self._front.kernel.send("control", self._type, content)

    def ask_by_comm(self, content: dict[str, Any], subshell: str | None = None) -> None:
        """Ask as a page does that has nothing else."""
        data = {"method": "custom", "content": content}
        message = {"comm_id": self._comm, "data": data}
        self._front.kernel.send("shell", "comm_msg", message, subshell_id=subshell)

    def got(self) -> list[dict[str, Any]]:
        """Return what the page was sent so far."""
        found = [m["content"] for m in self._front.messages if m["msg_type"] == "comm_msg"]
        own = [c["data"] for c in found if c["comm_id"] == self._comm]
        return [data["content"] for data in own if data["method"] == "custom"]

    def until(self, state: str) -> None:
        """Wait until the page knows of the run that it is in this state."""
        self._front.until(lambda: any(m.get("facts", {}).get("state") == state for m in self.got()))


@contextlib.contextmanager
def kernel(version: str = "", *, beside: str = "", **changed: str | None) -> Iterator[Kernel]:
    """Start a kernel, of this release or the installed one, and end it.

    Args:
        version: The release.
        beside: An overlay whose libraries it finds, as ``frameworks``.
        changed: What else is set in its environment; None for what is not to be there.
    """
    place = tempfile.mkdtemp()
    file = f"{place}/kernel-{uuid4()}.json"  # as a Jupyter server names it
    manager = KernelManager(kernel_name="python3", connection_file=file)
    found = overlay(beside) if beside else python_path(version)
    added = {"PYTHONPATH": found, "JUPYTER_PLATFORM_DIRS": "1"}
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **added, **changed}
    manager.start_kernel(env={k: value for k, value in environ.items() if value is not None})
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_PATIENCE)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        shutil.rmtree(place)
