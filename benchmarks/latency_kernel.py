"""A kernel of any environment for `latency.py`, with its client's clock: what arrived when."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import zmq
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient

__all__ = ["CellFailed", "Done", "Notebook", "notebook"]

PATIENCE = 120.0
"""Seconds for a cell; nothing here takes as long on a quiet machine."""
_MARK = "DDP_LATENCY_KERNEL"
_LOOK = 0.5
_RESTS = 0.1
"""A kernel and its processes rest when they take less than this part of a core between looks."""
_LEAVE = 3.0
"""Seconds for what a dead kernel started to end by itself."""


class CellFailed(Exception):
    """A cell raised, did not end, or did not say what it was to say."""


@dataclass(kw_only=True)
class Done:
    """One cell's course on the client's clock.

    Attributes:
        sent: When "Enter" was pressed, seconds since the epoch.
        replied: When the execute_reply was there.
        failed: What it raised; empty if nothing.
        messages: Every message of the iopub channel, with when it arrived.
    """

    sent: float
    replied: float = 0.0
    failed: str = ""
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def arrivals(self, pattern: str) -> dict[str, float]:
        """Return what a pattern's group matches, with when it first arrived."""
        found: dict[str, float] = {}
        for at, content in self.messages:
            for value in re.findall(pattern, json.dumps(content, default=str)):
                found.setdefault(value, at)
        return found

    def printed(self, name: str) -> bool:
        """Tell whether the cell printed a number after a name."""
        return bool(self.arrivals(rf"{name} (\d+\.\d+)"))

    def number(self, name: str) -> float:
        """Return the number that the cell printed after a name.

        Raises:
            CellFailed: There is none.
        """
        if not (found := self.arrivals(rf"{name} (\d+\.\d+)")):
            shown = "".join(content.get("text", "") for _, content in self.messages)
            wrong = re.findall(r".*(?:Error|Timeout|failed).*", shown)
            raise CellFailed(f"printed no {name}: {(wrong or [shown[-200:]])[-1].strip()}")
        return float(next(iter(found)))


class Notebook:
    """One kernel and its client, which sends cells as JupyterLab does."""

    def __init__(self, client: BlockingKernelClient, token: str) -> None:
        self._client = client
        self._token = token
        self._poller = zmq.Poller()
        self._poller.register(client.iopub_channel.socket, zmq.POLLIN)
        self._poller.register(client.shell_channel.socket, zmq.POLLIN)

    def run(self, code: str) -> Done:
        """Run a cell.

        Raises:
            CellFailed: It raised, or did not end in time.
        """
        done, _ = self._execute({"code": code, "silent": False, "store_history": True})
        if done.failed:
            raise CellFailed(done.failed)
        return done

    def ask(self, expression: str) -> Any:
        """Return the value of an expression, a literal; leaves no trace in the notebook."""
        content = {"code": "", "silent": True, "user_expressions": {"it": expression}}
        answer = self._execute(content)[1]["user_expressions"]["it"]
        if answer["status"] != "ok":
            raise CellFailed(f"{answer['ename']}: {answer['evalue']}")
        return ast.literal_eval(answer["data"]["text/plain"])

    def rest(self) -> None:
        """Wait until what the kernel started rests: the next timed cell is to have the machine."""
        end = time.monotonic() + PATIENCE
        before = -1.0
        while time.monotonic() < end:
            spent = sum(map(_spent, _started_by(self._token)))
            if 0 <= spent - before < _LOOK * _RESTS:
                return
            before = spent
            time.sleep(_LOOK)

    def _execute(self, content: dict[str, Any]) -> tuple[Done, dict[str, Any]]:
        """Send a request and take in what comes, until it is answered and the kernel idle."""
        session = self._client.session
        message = session.msg("execute_request", {"allow_stdin": False, **content})
        message["metadata"]["cellId"] = str(uuid.uuid4())  # by this, the extension knows a page
        request = message["header"]["msg_id"]
        done = Done(sent=time.time())
        self._client.shell_channel.send(message)
        reply: dict[str, Any] = {}
        idle = False
        while not (reply and idle):
            for at, one in self._arrived(done.sent + PATIENCE):
                if one["parent_header"].get("msg_id") != request:
                    continue
                if one["msg_type"] == "execute_reply":
                    done.replied, reply = at, one["content"]
                else:
                    done.messages.append((at, one["content"]))
                    idle = idle or one["content"].get("execution_state") == "idle"
        if reply["status"] != "ok":
            said = f"{reply.get('ename', reply['status'])}: {reply.get('evalue', '')}"
            done.failed = said.strip().splitlines()[0][:300]
        return done, reply

    def _arrived(self, until: float) -> Iterator[tuple[float, dict[str, Any]]]:
        """Wait for messages; yield each with when it was there."""
        ready = self._poller.poll(max(0.0, until - time.time()) * 1000)
        at = time.time()
        if not ready:
            raise CellFailed(f"no answer in {PATIENCE:g} s")
        for socket, _ in ready:
            _, parts = self._client.session.feed_identities(socket.recv_multipart())
            yield at, self._client.session.deserialize(parts)


@contextlib.contextmanager
def notebook(python: Path, place: Path, **environ: str) -> Iterator[Notebook]:
    """Start a kernel of an environment in a directory of its own; end it and all it started."""
    token = uuid.uuid4().hex
    home = place / token[:8]
    (home / "tmp").mkdir(parents=True)
    manager = KernelManager(kernel_name="python3")
    spec: Any = manager.kernel_spec
    spec.argv = [str(python), *spec.argv[1:]]
    manager.start_kernel(
        cwd=str(home),
        env={
            **os.environ,
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(home / "tmp"),
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_PLATFORM_DIRS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "DDP_MAGIC_STANDBY_LIMIT": "64",  # the others' kernels must not keep ours from waiting
            _MARK: token,
            **environ,
        },
    )
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield Notebook(client, token)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        _sweep(token)


def _sweep(token: str) -> None:
    """Give what a kernel started time to end, and kill the rest."""
    end = time.monotonic() + _LEAVE
    while (left := list(_started_by(token))) and time.monotonic() < end:
        time.sleep(0.1)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _spent(process: psutil.Process) -> float:
    """Return the processor seconds that a process took."""
    with contextlib.suppress(psutil.Error):
        return sum(process.cpu_times()[:2])
    return 0.0


def _started_by(token: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(_MARK) == token:
                yield process
