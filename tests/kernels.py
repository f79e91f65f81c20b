"""A real ipykernel, driven as a front-end drives one."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_client.blocking.client import BlockingKernelClient

__all__ = ["Kernel", "kernel"]

_PATIENCE = 90.0


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

    def subshell(self) -> str:
        """Make a subshell, as JupyterLab's subshell console does; return its id."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        while True:
            reply = self.client.get_control_msg(timeout=_PATIENCE)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]["subshell_id"]


@contextlib.contextmanager
def kernel() -> Iterator[Kernel]:
    """Start a kernel and end it."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "JUPYTER_PLATFORM_DIRS": "1"}
    )
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_PATIENCE)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
