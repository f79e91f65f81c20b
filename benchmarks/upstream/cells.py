"""A notebook's cells up to its training, and a kernel that runs them one after the other."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from jupyter_client.manager import start_new_kernel
from nbformat import read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["run", "training"]


def training(notebook: Path) -> tuple[list[str], str]:
    """Return the code cells before the one that trains, and that one, all without our magics.

    What follows shows what came back, and with another launcher nothing has.
    """
    before: list[str] = []
    for cell in read(notebook, 4).cells:
        if cell.cell_type == "code" and not cell.source.startswith("%load_ext"):
            if cell.source.startswith("%%ddp"):
                return before, cell.source.partition("\n")[2]
            before.append(cell.source)
    sys.exit("no cell of this notebook begins with %%ddp")


def run(
    sources: list[str],
    patience: float,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> tuple[str, list[str]]:
    """Return what the cells showed, and the lines of the first traceback, if one failed.

    They show it on stderr at once. A cell that has not ended after `patience` seconds counts as
    one that failed.
    """
    # jupyter_client 8.10 reads the environment of a kernel for which None was given
    manager, client = start_new_kernel(cwd=cwd, env=dict(env or os.environ))
    shown: list[str] = []

    def show(message: dict[str, dict[str, str]]) -> None:
        shown.append(message["content"].get("text", ""))
        print(shown[-1], end="", file=sys.stderr, flush=True)

    try:
        for source in sources:
            reply = client.execute_interactive(source, timeout=patience, output_hook=show)
            if reply["content"]["status"] == "error":
                trace = _plain("\n".join(reply["content"]["traceback"]))
                return _plain("".join(shown)), trace.strip().splitlines()
    except TimeoutError:
        return _plain("".join(shown)), [f"no end after {patience} s"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return _plain("".join(shown)), []


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
