"""Runs a notebook's cells in an IPython kernel, its training through a library's own launcher.

What runs in the %%ddp cell becomes a function, as the libraries' documentation asks for; it runs
in the notebook's namespace, so that not even a line of it has to be changed, and writes `told` to a
file, since nothing else comes back. One JSON line says what happened.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from jupyter_client.manager import start_new_kernel

if TYPE_CHECKING:
    from jupyter_client.blocking.client import BlockingKernelClient

__all__ = ["main"]

_PATIENCE = 300
_TRAINING = """
def training():
    exec(compile({body!r}, "training cell", "exec"), globals())
    import json, os
    if os.environ.get("RANK", "0") == "0":
        with open({told!r}, "w") as file:
            json.dump(told, file)
"""


def main(launch: str) -> None:
    """Run the notebook that the command line names; `launch` is a cell that calls `training`."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "told.json")
        error = _run(Path(sys.argv[1]), launch, folder, told)
        found = {"told": json.loads(told.read_text())} if told.exists() else {}
        print(json.dumps({"error": error} if error else found or {"error": "told nothing"}))


def _run(notebook: Path, launch: str, folder: str, told: Path) -> str:
    """Return the last line of the first error, an empty text without one."""
    found = nbformat.read(notebook, 4).cells
    cells = [c.source for c in found if c.cell_type == "code" and not c.source.startswith("%load")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    manager, client = start_new_kernel(kernel_name="python3", env=environment, cwd=folder)
    try:
        for cell in cells:
            if cell.startswith("%%ddp"):  # what follows shows what came back, and nothing has
                training = _TRAINING.format(body=cell.partition("\n")[2], told=str(told))
                return _execute(client, training) or _execute(client, launch)
            if error := _execute(client, cell):
                return error
        return "there is no %%ddp cell"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _execute(client: BlockingKernelClient, code: str) -> str:
    def show(message: dict[str, dict[str, str]]) -> None:
        print(message["content"].get("text", ""), end="", file=sys.stderr)

    reply = client.execute_interactive(code, timeout=_PATIENCE, output_hook=show)["content"]
    lines = "\n".join(reply.get("traceback", [])).strip().splitlines()
    return re.sub(r"\x1b\[[0-9;]*m", "", lines[-1]) if lines else ""
